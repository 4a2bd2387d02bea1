//! The JSON Schema of a line of the event stream, as the encoder in `json`, `death`, `host`, `leak`, `scope`, `sched` and `usage` writes it.
//!
//! The encoder writes lines without these types, because it must be fast. So a test compares the names of the fields, and another
//! one checks real lines by the schema. A name that is not UTF-8 is followed by its exact bytes, in hexadecimal, under the same
//! name with `_bytes`.
#![expect(dead_code, reason = "the types are described, and never made; docs/events.md describes the fields")]

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{SCHED_ACTIONS, host::Host};
use crate::lineage::ActionKind;

/// Lines without a process: events are missing, or none has happened.
const OTHER_ACTIONS: [&str; 2] = ["gap", "heartbeat"];

/// Returns the JSON Schema of a line.
#[must_use]
pub fn event_schema() -> Schema {
    schemars::schema_for!(EventLine)
}

fn actions(_: &mut SchemaGenerator) -> Schema {
    let kinds = ActionKind::ALL.iter().map(|kind| kind.name());
    let names: Vec<&str> = kinds.chain(SCHED_ACTIONS).chain(OTHER_ACTIONS).collect();
    json_schema!({ "type": "string", "enum": names })
}

/// A line of the event stream.
#[derive(JsonSchema)]
#[schemars(title = "An event", description = "A line of `taskscope events`: docs/events.md")]
struct EventLine {
    #[schemars(rename = "@timestamp")]
    timestamp: Option<String>,
    event: EventHead,
    boottime_ns: Option<u64>,
    host: Option<Host>,
    process: Option<EventProcess>,
    thread: Option<EventThread>,
    cgroup: Option<EventCgroup>,
    container: Option<EventContainer>,
    pod: Option<EventPod>,
    task: Option<EventTask>,
    sched: Option<EventSched>,
    gap: Option<EventGap>,
}

/// What happened.
#[derive(JsonSchema)]
struct EventHead {
    #[schemars(schema_with = "actions")]
    action: String,
    sequence: Option<u64>,
    late_ns: Option<u64>,
}

/// The thread group.
#[derive(JsonSchema)]
struct EventProcess {
    pid: u32,
    vpid: Option<u32>,
    entity_id: Option<String>,
    start_timestamp: Option<String>,
    parent_pid: Option<u32>,
    parent_entity_id: Option<String>,
    name: Option<String>,
    executable: Option<EventExecutable>,
    command_args: Option<Vec<String>>,
    command_args_truncated: Option<bool>,
    user: Option<EventUser>,
    real_user: Option<EventUser>,
    exit: Option<EventExit>,
}

/// Its program.
#[derive(JsonSchema)]
struct EventExecutable {
    path: String,
    deleted: Option<bool>,
    truncated: Option<bool>,
}

/// A user.
#[derive(JsonSchema)]
struct EventUser {
    id: u32,
}

/// A wait(2) status.
#[derive(JsonSchema)]
struct EventExit {
    status: i32,
    code: Option<i32>,
    signal: Option<i32>,
    signal_name: Option<String>,
    core_dumped: Option<bool>,
}

/// The task.
#[derive(JsonSchema)]
struct EventThread {
    id: u32,
    name: Option<String>,
    vid: Option<u32>,
}

/// A cgroup.
#[derive(JsonSchema)]
struct EventCgroup {
    path: String,
    unit: Option<String>,
}

/// A container.
#[derive(JsonSchema)]
struct EventContainer {
    id: String,
    runtime: String,
    name: Option<String>,
}

/// A pod.
#[derive(JsonSchema)]
struct EventPod {
    uid: String,
    namespace: Option<String>,
    name: Option<String>,
}

/// Further facts of the task, and those of the action.
#[derive(JsonSchema)]
struct EventTask {
    kind: String,
    start_boottime_ns: u64,
    exit_signal: Option<i32>,
    exit_signal_name: Option<String>,
    exit_state: Option<String>,
    exit_code: Option<i32>,
    flags: Option<Vec<String>>,
    cgroup_id: Option<u64>,
    pid_ns: Option<EventPidNs>,
    creation: Option<String>,
    clone_flags: Option<Vec<String>>,
    creator: Option<EventTaskRef>,
    clone: Option<EventClone>,
    errno: Option<i32>,
    errno_name: Option<String>,
    refused_by: Option<EventLimit>,
    exec_path: Option<String>,
    path_truncated: Option<bool>,
    vfork_held_ns: Option<u64>,
    old_tid: Option<u32>,
    old_name: Option<String>,
    new_name: Option<String>,
    nr_threads: Option<i32>,
    tracer: Option<EventTaskRef>,
    usage: Option<EventUsage>,
    children_usage: Option<EventChildrenUsage>,
    exit_duration_ns: Option<u64>,
    threads_left: Option<u64>,
    stuck_ns: Option<u64>,
    zombie_duration_ns: Option<u64>,
    zombie_duration_bound: Option<String>,
    blocked_ns: Option<u64>,
    blocked_bound: Option<String>,
    sleep: Option<String>,
    wchan: Option<String>,
    kernel_stack: Option<Vec<String>>,
    parent_name: Option<String>,
    old_parent_pid: Option<u32>,
    old_parent_tid: Option<u32>,
    new_parent_pid: Option<u32>,
    new_parent_tid: Option<u32>,
    reparent_kind: Option<String>,
    reaper: Option<EventReaper>,
    leak: Option<EventLeak>,
    death: Option<EventDeath>,
    scope: Option<EventScope>,
    provenance: String,
    hook: Option<String>,
}

/// A pid namespace.
#[derive(JsonSchema)]
struct EventPidNs {
    inode: u32,
    level: u32,
}

/// A task by its ids.
#[derive(JsonSchema)]
struct EventTaskRef {
    pid: u32,
    tid: u32,
}

/// What a clone(2) that failed asked for.
#[derive(JsonSchema)]
struct EventClone {
    exit_signal: Option<i32>,
    exit_signal_name: Option<String>,
}

/// The limit that refused a fork.
#[derive(JsonSchema)]
struct EventLimit {
    kind: String,
    name: Option<String>,
    used: Option<u64>,
    limit: Option<u64>,
}

/// The process that reaped it.
#[derive(JsonSchema)]
struct EventReaper {
    pid: u32,
    tid: Option<u32>,
    entity_id: Option<String>,
    name: Option<String>,
    kind: String,
}

/// What tasks used.
#[derive(JsonSchema)]
struct EventUsage {
    exec_runtime_ns: Option<u64>,
    run_delay_ns: Option<u64>,
    run_count: Option<u64>,
    user_ns: Option<u64>,
    system_ns: Option<u64>,
    voluntary_switches: Option<u64>,
    involuntary_switches: Option<u64>,
    minor_faults: Option<u64>,
    major_faults: Option<u64>,
    tasks: Option<u64>,
    tasks_pending: Option<u64>,
    tasks_unknown: Option<u64>,
    processes: Option<u64>,
    processes_unknown: Option<u64>,
}

/// What dead children used.
#[derive(JsonSchema)]
struct EventChildrenUsage {
    reaped: Option<EventUsage>,
    autoreaped: Option<EventUsage>,
}

/// A leak other than zombies.
#[derive(JsonSchema)]
struct EventLeak {
    kind: String,
    certainty: String,
    count: u64,
    span_ns: u64,
    live: Option<u64>,
    ended: Option<u64>,
    last: Option<EventMember>,
    scope_name: Option<String>,
    median_life_ns: Option<u64>,
    median_pause_ns: Option<u64>,
    cause: Option<String>,
    alive: Option<u64>,
    spreads: Option<bool>,
    job: Option<EventMember>,
    pids: Option<Vec<String>>,
}

/// Why it ended.
#[derive(JsonSchema)]
struct EventDeath {
    cause: String,
    certainty: String,
    missing: Option<String>,
    by_signal: Option<EventSignal>,
    oom: Option<EventOom>,
    other_signal: Option<EventSignal>,
}

/// The memory limit that was reached.
#[derive(JsonSchema)]
struct EventOom {
    scope: String,
    certainty: String,
    cgroup: Option<String>,
    cgroup_name: Option<String>,
    limit_bytes: Option<u64>,
    used_bytes: Option<u64>,
}

/// A signal.
#[derive(JsonSchema)]
struct EventSignal {
    signal: i32,
    signal_name: Option<String>,
    si_code: Option<i32>,
    sent_boottime_ns: u64,
    sent_to: String,
    ignored: Option<bool>,
    times: u32,
    sender_received: Option<EventReceived>,
    sender: EventSender,
}

/// The same signal, which the sender had received before.
#[derive(JsonSchema)]
struct EventReceived {
    before_ns: u64,
    pid: Option<u32>,
    name: Option<String>,
    by_kernel: Option<bool>,
}

/// Its sender.
#[derive(JsonSchema)]
struct EventSender {
    pid: Option<u32>,
    tid: Option<u32>,
    entity_id: Option<String>,
    name: Option<String>,
    real_user: Option<EventUser>,
    login_user: Option<EventUser>,
    terminal: Option<String>,
    ancestors: Option<Vec<String>>,
}

/// The life of a unit, container or session.
#[derive(JsonSchema)]
struct EventScope {
    name: Option<String>,
    made_boottime_ns: Option<u64>,
    made_by: Option<EventMember>,
    began_boottime_ns: Option<u64>,
    starts: Option<u64>,
    empty_ns: Option<u64>,
    first: Option<EventMember>,
    ended_boottime_ns: Option<u64>,
    duration_ns: Option<u64>,
    end: Option<String>,
    last: Option<EventMember>,
    first_death: Option<EventFirstDeath>,
}

/// A process of it.
#[derive(JsonSchema)]
struct EventMember {
    pid: u32,
    entity_id: Option<String>,
    name: Option<String>,
}

/// The first death that led to its end.
#[derive(JsonSchema)]
struct EventFirstDeath {
    pid: u32,
    entity_id: Option<String>,
    name: Option<String>,
    cause: String,
    boottime_ns: u64,
}

/// A step of the scheduler.
#[derive(JsonSchema)]
struct EventSched {
    cpu: u32,
    ran_ns: Option<u64>,
    state: Option<String>,
    next: Option<EventOther>,
    slept_ns: Option<u64>,
    new: Option<bool>,
    waker: Option<EventOther>,
    waited_ns: Option<u64>,
    off_cpu_ns: Option<u64>,
    previous: Option<EventOther>,
}

/// The other task of a step.
#[derive(JsonSchema)]
struct EventOther {
    pid: u32,
    tid: u32,
    name: Option<String>,
}

/// Missing events.
#[derive(JsonSchema)]
struct EventGap {
    place: String,
    lost: Option<u64>,
    since: Option<String>,
}
