//! The JSON Schema of a line of the event stream, as the encoder in `json`, `death`, `scope`, `sched` and `usage` writes it.
//!
//! The encoder writes lines without these types, because it must be fast. So a test compares the names of the fields, and another
//! one checks real lines by the schema. A name that is not UTF-8 is followed by its exact bytes, in hexadecimal, under the same
//! name with `_bytes`.
#![expect(missing_docs, reason = "docs/events.md describes the fields")]

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::SCHED_ACTIONS;
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
pub struct EventLine {
    #[schemars(rename = "@timestamp")]
    pub timestamp: Option<String>,
    pub event: EventHead,
    pub boottime_ns: Option<u64>,
    pub process: Option<EventProcess>,
    pub thread: Option<EventThread>,
    pub cgroup: Option<EventCgroup>,
    pub container: Option<EventContainer>,
    pub pod: Option<EventPod>,
    pub task: Option<EventTask>,
    pub sched: Option<EventSched>,
    pub gap: Option<EventGap>,
}

/// What happened.
#[derive(JsonSchema)]
pub struct EventHead {
    #[schemars(schema_with = "actions")]
    pub action: String,
    pub sequence: Option<u64>,
    pub late_ns: Option<u64>,
}

/// The thread group.
#[derive(JsonSchema)]
pub struct EventProcess {
    pub pid: u32,
    pub vpid: Option<u32>,
    pub entity_id: Option<String>,
    pub parent_pid: Option<u32>,
    pub parent_entity_id: Option<String>,
    pub name: Option<String>,
    pub executable: Option<EventExecutable>,
    pub command_args: Option<Vec<String>>,
    pub command_args_truncated: Option<bool>,
    pub user: Option<EventUser>,
    pub real_user: Option<EventUser>,
    pub exit: Option<EventExit>,
}

/// Its program.
#[derive(JsonSchema)]
pub struct EventExecutable {
    pub path: String,
    pub deleted: Option<bool>,
    pub truncated: Option<bool>,
}

/// A user.
#[derive(JsonSchema)]
pub struct EventUser {
    pub id: u32,
}

/// A wait(2) status.
#[derive(JsonSchema)]
pub struct EventExit {
    pub status: i32,
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub signal_name: Option<String>,
    pub core_dumped: Option<bool>,
}

/// The task.
#[derive(JsonSchema)]
pub struct EventThread {
    pub id: u32,
    pub name: Option<String>,
    pub vid: Option<u32>,
}

/// A cgroup.
#[derive(JsonSchema)]
pub struct EventCgroup {
    pub path: String,
    pub unit: Option<String>,
}

/// A container.
#[derive(JsonSchema)]
pub struct EventContainer {
    pub id: String,
    pub runtime: String,
}

/// A pod.
#[derive(JsonSchema)]
pub struct EventPod {
    pub uid: String,
}

/// Further facts of the task, and those of the action.
#[derive(JsonSchema)]
pub struct EventTask {
    pub kind: String,
    pub start_boottime_ns: u64,
    pub exit_signal: Option<i32>,
    pub exit_signal_name: Option<String>,
    pub exit_state: Option<String>,
    pub exit_code: Option<i32>,
    pub flags: Option<Vec<String>>,
    pub cgroup_id: Option<u64>,
    pub pid_ns: Option<EventPidNs>,
    pub creation: Option<String>,
    pub clone_flags: Option<Vec<String>>,
    pub creator: Option<EventTaskRef>,
    pub clone: Option<EventClone>,
    pub errno: Option<i32>,
    pub errno_name: Option<String>,
    pub refused_by: Option<EventLimit>,
    pub exec_path: Option<String>,
    pub path_truncated: Option<bool>,
    pub vfork_held_ns: Option<u64>,
    pub old_tid: Option<u32>,
    pub old_name: Option<String>,
    pub new_name: Option<String>,
    pub nr_threads: Option<i32>,
    pub tracer: Option<EventTaskRef>,
    pub usage: Option<EventUsage>,
    pub children_usage: Option<EventChildrenUsage>,
    pub exit_duration_ns: Option<u64>,
    pub threads_left: Option<u64>,
    pub stuck_ns: Option<u64>,
    pub zombie_duration_ns: Option<u64>,
    pub zombie_duration_bound: Option<String>,
    pub blocked_ns: Option<u64>,
    pub blocked_bound: Option<String>,
    pub sleep: Option<String>,
    pub wchan: Option<String>,
    pub kernel_stack: Option<Vec<String>>,
    pub parent_name: Option<String>,
    pub old_parent_pid: Option<u32>,
    pub old_parent_tid: Option<u32>,
    pub new_parent_pid: Option<u32>,
    pub new_parent_tid: Option<u32>,
    pub reparent_kind: Option<String>,
    pub reaper: Option<EventReaper>,
    pub death: Option<EventDeath>,
    pub scope: Option<EventScope>,
    pub provenance: String,
    pub hook: Option<String>,
}

/// A pid namespace.
#[derive(JsonSchema)]
pub struct EventPidNs {
    pub inode: u32,
    pub level: u32,
}

/// A task by its ids.
#[derive(JsonSchema)]
pub struct EventTaskRef {
    pub pid: u32,
    pub tid: u32,
}

/// What a clone(2) that failed asked for.
#[derive(JsonSchema)]
pub struct EventClone {
    pub exit_signal: Option<i32>,
    pub exit_signal_name: Option<String>,
}

/// The limit that refused a fork.
#[derive(JsonSchema)]
pub struct EventLimit {
    pub kind: String,
    pub name: Option<String>,
    pub used: Option<u64>,
    pub limit: Option<u64>,
}

/// The process that reaped it.
#[derive(JsonSchema)]
pub struct EventReaper {
    pub pid: u32,
    pub tid: Option<u32>,
    pub entity_id: Option<String>,
    pub name: Option<String>,
    pub kind: String,
}

/// What tasks used.
#[derive(JsonSchema)]
pub struct EventUsage {
    pub exec_runtime_ns: Option<u64>,
    pub run_delay_ns: Option<u64>,
    pub run_count: Option<u64>,
    pub user_ns: Option<u64>,
    pub system_ns: Option<u64>,
    pub voluntary_switches: Option<u64>,
    pub involuntary_switches: Option<u64>,
    pub minor_faults: Option<u64>,
    pub major_faults: Option<u64>,
    pub tasks: Option<u64>,
    pub tasks_pending: Option<u64>,
    pub tasks_unknown: Option<u64>,
    pub processes: Option<u64>,
    pub processes_unknown: Option<u64>,
}

/// What dead children used.
#[derive(JsonSchema)]
pub struct EventChildrenUsage {
    pub reaped: Option<EventUsage>,
    pub autoreaped: Option<EventUsage>,
}

/// Why it ended.
#[derive(JsonSchema)]
pub struct EventDeath {
    pub cause: String,
    pub certainty: String,
    pub missing: Option<String>,
    pub by_signal: Option<EventSignal>,
    pub oom: Option<EventOom>,
    pub other_signal: Option<EventSignal>,
}

/// The limit on memory that was met.
#[derive(JsonSchema)]
pub struct EventOom {
    pub scope: String,
    pub certainty: String,
    pub cgroup: Option<String>,
    pub cgroup_name: Option<String>,
    pub limit_bytes: Option<u64>,
    pub used_bytes: Option<u64>,
}

/// A signal.
#[derive(JsonSchema)]
pub struct EventSignal {
    pub signal: i32,
    pub signal_name: Option<String>,
    pub si_code: Option<i32>,
    pub sent_boottime_ns: u64,
    pub sent_to: String,
    pub ignored: Option<bool>,
    pub times: u32,
    pub sender: EventSender,
}

/// Its sender.
#[derive(JsonSchema)]
pub struct EventSender {
    pub pid: Option<u32>,
    pub tid: Option<u32>,
    pub entity_id: Option<String>,
    pub name: Option<String>,
    pub real_user: Option<EventUser>,
    pub ancestors: Option<Vec<String>>,
}

/// The life of a unit, container or session.
#[derive(JsonSchema)]
pub struct EventScope {
    pub name: Option<String>,
    pub made_boottime_ns: Option<u64>,
    pub made_by: Option<EventMember>,
    pub began_boottime_ns: Option<u64>,
    pub starts: Option<u64>,
    pub empty_ns: Option<u64>,
    pub first: Option<EventMember>,
    pub ended_boottime_ns: Option<u64>,
    pub duration_ns: Option<u64>,
    pub end: Option<String>,
    pub last: Option<EventMember>,
    pub first_death: Option<EventFirstDeath>,
}

/// A process of it.
#[derive(JsonSchema)]
pub struct EventMember {
    pub pid: u32,
    pub entity_id: Option<String>,
    pub name: Option<String>,
}

/// The first death that led to its end.
#[derive(JsonSchema)]
pub struct EventFirstDeath {
    pub pid: u32,
    pub entity_id: Option<String>,
    pub name: Option<String>,
    pub cause: String,
    pub boottime_ns: u64,
}

/// A step of the scheduler.
#[derive(JsonSchema)]
pub struct EventSched {
    pub cpu: u32,
    pub ran_ns: Option<u64>,
    pub state: Option<String>,
    pub next: Option<EventOther>,
    pub slept_ns: Option<u64>,
    pub new: Option<bool>,
    pub waker: Option<EventOther>,
    pub waited_ns: Option<u64>,
    pub off_cpu_ns: Option<u64>,
    pub previous: Option<EventOther>,
}

/// The other task of a step.
#[derive(JsonSchema)]
pub struct EventOther {
    pub pid: u32,
    pub tid: u32,
    pub name: Option<String>,
}

/// Missing events.
#[derive(JsonSchema)]
pub struct EventGap {
    pub place: String,
    pub lost: Option<u64>,
    pub since: Option<String>,
}
