//! Writes one event as a line of JSON. Field names are an interface: docs/events.md documents them, and a test compares both.

use super::Stamp;
use super::death;
use super::encode::{Key, Object, key};
use super::stamp::write_entity;
use super::time::rfc3339;
use super::usage;
use crate::cgroup::Place;
use crate::lineage::blocked::wchan;
use crate::lineage::effect::{Action, Effect, Process, Reaper, Span, Thread};
use crate::lineage::flags::{CLONE_FLAGS, TASK_FLAGS, errno_name, exit_state_name, signal_name};
use crate::lineage::id::{Ktime, TaskRef};
use crate::lineage::record::Comm;
use crate::lineage::status::WaitStatus;

/// Appends an event to `line`. `place` is the task's cgroup, unit and container, if known.
pub fn write(effect: &Effect, sequence: u64, stamp: &Stamp, place: Option<&Place>, line: &mut Vec<u8>) {
    let mut event = Object::open(line);
    event.text(key!("@timestamp"), |out| rfc3339(out, stamp.wall_ns(effect.at)));
    event.object(key!("event"), |event| {
        event.name(key!("action"), effect.action.name());
        event.number(key!("sequence"), sequence);
        if effect.late_ns > 0 {
            event.number(key!("late_ns"), effect.late_ns);
        }
    });
    event.number(key!("boottime_ns"), effect.at.0);
    write_host(&mut event, stamp);
    event.object(key!("process"), |process| write_process(process, effect, stamp));
    event.object(key!("thread"), |thread| {
        thread.number(key!("id"), effect.thread.key.tid.0);
        if let Some(name) = effect.thread.name {
            thread.bytes(key!("name"), name.bytes());
        }
        if let Some(namespace) = effect.thread.namespace {
            thread.number(key!("vid"), namespace.vtid);
        }
    });
    if let Some(place) = place {
        write_place(&mut event, place);
    }
    event.object(key!("task"), |task| {
        write_task(task, &effect.thread);
        write_action(task, &effect.action, stamp);
        if let Action::GroupExited { death, .. } = &effect.action {
            death::write(task, death.as_deref(), effect.process.status, stamp);
        }
        task.name(key!("provenance"), effect.provenance.name());
        if let Some(hook) = effect.hook {
            task.name(key!("hook"), hook.name());
        }
    });
    event.close();
    line.push(b'\n');
}

/// Appends a line that says that events are missing here: how many, if that is known, and where they were lost.
pub fn write_gap(place: &str, lost: Option<u64>, line: &mut Vec<u8>) {
    let mut event = Object::open(line);
    event.object(key!("event"), |event| event.name(key!("action"), "gap"));
    event.object(key!("gap"), |gap| {
        gap.name(key!("place"), place);
        write_number(gap, key!("lost"), lost);
    });
    event.close();
    line.push(b'\n');
}

/// Appends the line of a gap that ends at a given time, for lines that are stored. `since` is when it began, as RFC 3339.
pub fn write_gap_at(
    stamp: &Stamp,
    at: Ktime,
    place: &str,
    lost: Option<u64>,
    since: Option<&str>,
    line: &mut Vec<u8>,
) {
    let mut event = Object::open(line);
    event.text(key!("@timestamp"), |out| rfc3339(out, stamp.wall_ns(at)));
    event.object(key!("event"), |event| event.name(key!("action"), "gap"));
    event.number(key!("boottime_ns"), at.0);
    write_host(&mut event, stamp);
    event.object(key!("gap"), |gap| {
        gap.name(key!("place"), place);
        write_number(gap, key!("lost"), lost);
        if let Some(since) = since {
            gap.bytes(key!("since"), since.as_bytes());
        }
    });
    event.close();
    line.push(b'\n');
}

pub(super) fn write_host(event: &mut Object<'_>, stamp: &Stamp) {
    if let Some(host) = stamp.host() {
        event.json(key!("host"), host.json());
    }
}

fn write_place(event: &mut Object<'_>, place: &Place) {
    event.object(key!("cgroup"), |cgroup| {
        cgroup.bytes(key!("path"), place.path.as_bytes());
        if let Some(unit) = &place.unit {
            cgroup.bytes(key!("unit"), unit.as_bytes());
        }
    });
    if let Some(container) = &place.container {
        event.object(key!("container"), |object| {
            object.bytes(key!("id"), container.id.as_bytes());
            object.name(key!("runtime"), container.runtime);
            if let Some(name) = &container.name {
                object.bytes(key!("name"), name.as_bytes());
            }
        });
    }
    if let Some(uid) = &place.pod_uid {
        event.object(key!("pod"), |pod| {
            pod.bytes(key!("uid"), uid.as_bytes());
            if let Some(of) = &place.pod_name {
                pod.bytes(key!("namespace"), of.namespace.as_bytes());
                pod.bytes(key!("name"), of.name.as_bytes());
            }
        });
    }
}

fn write_process(object: &mut Object<'_>, effect: &Effect, stamp: &Stamp) {
    let process: &Process = &effect.process;
    object.number(key!("pid"), process.key.tgid.0);
    if let Some(vpid) = process.vpid {
        object.number(key!("vpid"), vpid);
    }
    write_entity(object, key!("entity_id"), process.key, stamp);
    if let Some(start) = process.key.start {
        object.text(key!("start_timestamp"), |out| rfc3339(out, stamp.wall_ns(start)));
    }
    if let Some(parent) = process.parent {
        object.number(key!("parent_pid"), parent.tgid.0);
        write_entity(object, key!("parent_entity_id"), parent, stamp);
    }
    if let Some(name) = process.name.or(effect.thread.name) {
        object.bytes(key!("name"), name.bytes());
    }
    if let Some(executable) = &process.executable {
        object.object(key!("executable"), |inner| {
            inner.bytes(key!("path"), executable.bytes());
            if executable.is_deleted() {
                inner.yes(key!("deleted"));
            }
            if executable.is_cut() {
                inner.yes(key!("truncated"));
            }
        });
    }
    let of_exec = match &effect.action {
        Action::Execed { args, .. } => args.as_ref().map(|(args, truncated)| (args, *truncated)),
        _ => None,
    };
    let arguments = of_exec.or(process.arguments.as_ref().map(|it| (&it.args, it.truncated)));
    if let Some((args, truncated)) = arguments {
        object.list(key!("command_args"), args);
        if truncated {
            object.yes(key!("command_args_truncated"));
        }
    }
    if let Some((real, effective)) = process.credentials {
        object.object(key!("user"), |user| user.number(key!("id"), effective));
        object.object(key!("real_user"), |user| user.number(key!("id"), real));
    }
    if let Some(status) = process.status {
        object.object(key!("exit"), |exit| write_status(exit, status));
    }
}

fn write_status(exit: &mut Object<'_>, status: WaitStatus) {
    exit.signed(key!("status"), status.0);
    if let Some(code) = status.code() {
        exit.signed(key!("code"), code);
    }
    if let Some(signal) = status.signal() {
        exit.signed(key!("signal"), signal);
        if let Some(name) = signal_name(signal) {
            exit.name(key!("signal_name"), name);
        }
    }
    if status.core_dumped() {
        exit.yes(key!("core_dumped"));
    }
}

fn write_task(task: &mut Object<'_>, thread: &Thread) {
    task.name(key!("kind"), thread.kind.name());
    task.number(key!("start_boottime_ns"), thread.key.start.0);
    write_exit_signal(task, thread.exit_signal);
    if let Some(name) = thread.exit_state.and_then(exit_state_name) {
        task.name(key!("exit_state"), name);
    }
    if let Some(code) = thread.exit_code {
        task.signed(key!("exit_code"), code);
    }
    if let Some(flags) = thread.flags {
        task.bits(key!("flags"), TASK_FLAGS, |bit| flags & bit != 0);
    }
    if let Some(cgroup_id) = thread.cgroup_id {
        task.number(key!("cgroup_id"), cgroup_id);
    }
    if let Some(namespace) = thread.namespace {
        task.object(key!("pid_ns"), |ns| {
            ns.number(key!("inode"), namespace.inode);
            ns.number(key!("level"), namespace.level);
        });
    }
}

fn write_exit_signal(task: &mut Object<'_>, signal: Option<i32>) {
    if let Some(signal) = signal {
        task.signed(key!("exit_signal"), signal);
        if let Some(name) = signal_name(signal) {
            task.name(key!("exit_signal_name"), name);
        }
    }
}

fn write_action(task: &mut Object<'_>, action: &Action, stamp: &Stamp) {
    match action {
        Action::Forked { creation, clone_flags, creator } => {
            if let Some(creation) = creation {
                task.name(key!("creation"), creation.name());
            }
            write_clone_flags(task, *clone_flags);
            write_ref(task, key!("creator"), *creator);
        }
        Action::CloneFailed { clone_flags, exit_signal, errno, refused_by } => {
            write_clone_flags(task, *clone_flags);
            task.object(key!("clone"), |clone| write_exit_signal(clone, *exit_signal));
            task.signed(key!("errno"), *errno);
            if let Some(name) = errno_name(*errno) {
                task.name(key!("errno_name"), name);
            }
            if let Some(limit) = refused_by {
                task.object(key!("refused_by"), |object| {
                    object.name(key!("kind"), limit.kind.code());
                    if !limit.name.is_empty() {
                        object.bytes(key!("name"), limit.name.as_bytes());
                    }
                    write_number(object, key!("used"), limit.used);
                    write_number(object, key!("limit"), limit.limit);
                });
            }
        }
        Action::Execed { path, truncated, vfork_held_ns, args: _, since_fork_ns: _ } => {
            if let Some(path) = path {
                task.bytes(key!("exec_path"), path.bytes());
            }
            if *truncated {
                task.yes(key!("path_truncated"));
            }
            write_number(task, key!("vfork_held_ns"), *vfork_held_ns);
        }
        Action::ExecTakeover { old_tid } => task.number(key!("old_tid"), old_tid.0),
        Action::Renamed { old, new } => {
            task.bytes(key!("old_name"), old.bytes());
            task.bytes(key!("new_name"), new.bytes());
        }
        Action::Exiting { nr_threads } => write_threads(task, *nr_threads),
        Action::Exited { usage, nr_threads, tracer, vfork_held_ns, exit_ns } => {
            write_threads(task, *nr_threads);
            write_ref(task, key!("tracer"), *tracer);
            write_number(task, key!("vfork_held_ns"), *vfork_held_ns);
            write_number(task, key!("exit_duration_ns"), *exit_ns);
            if let Some(usage) = usage {
                task.object(key!("usage"), |object| usage::write(object, usage));
            }
        }
        Action::LeaderDied { threads_left } => task.number(key!("threads_left"), *threads_left),
        Action::ExitStuck { stuck_ns } => task.number(key!("stuck_ns"), *stuck_ns),
        Action::BlockedFlagged(sleep) => {
            write_blocked(task, sleep.blocked);
            task.name(key!("sleep"), sleep.doing().name());
            if let Some(wchan) = wchan(&sleep.stack) {
                task.bytes(key!("wchan"), wchan.as_bytes());
            }
            task.list(key!("kernel_stack"), &sleep.stack);
        }
        Action::BlockedCleared { blocked } => write_blocked(task, *blocked),
        Action::LeakFlagged(leak) | Action::LeakCleared(leak) => super::leak::write(task, leak, stamp),
        Action::ZombieBegan { tracer } => write_ref(task, key!("tracer"), *tracer),
        Action::ZombieFlagged { zombie, parent_name } => {
            write_span(task, Some(*zombie));
            if let Some(name) = parent_name {
                task.bytes(key!("parent_name"), name.bytes());
            }
        }
        Action::Reparented { old_parent, new_parent, kind } => {
            if let Some(old) = old_parent {
                task.number(key!("old_parent_pid"), old.tgid.0);
                task.number(key!("old_parent_tid"), old.key.tid.0);
            }
            task.number(key!("new_parent_pid"), new_parent.tgid.0);
            task.number(key!("new_parent_tid"), new_parent.key.tid.0);
            task.name(key!("reparent_kind"), kind.name());
        }
        Action::Reaped { reaper, zombie } => {
            write_reaper(task, *reaper, stamp);
            write_span(task, *zombie);
        }
        Action::Released { reaper, usage, children_usage, life: _ } => {
            write_reaper(task, *reaper, stamp);
            usage::write_group(task, usage.as_ref());
            if let Some(children) = children_usage {
                task.object(key!("children_usage"), |object| usage::write_children(object, children));
            }
        }
        Action::GroupExited { usage, death: _, since_exec_ns: _ } => usage::write_group(task, usage.as_ref()),
        Action::ScopeBegan(scope) | Action::ScopeEnded(scope) => super::scope::write(task, scope, stamp),
        Action::Autoreaped => {}
    }
}

fn write_number(task: &mut Object<'_>, key: Key, value: Option<u64>) {
    if let Some(value) = value {
        task.number(key, value);
    }
}

fn write_threads(task: &mut Object<'_>, nr_threads: Option<i32>) {
    if let Some(nr_threads) = nr_threads {
        task.signed(key!("nr_threads"), nr_threads);
    }
}

fn write_clone_flags(task: &mut Object<'_>, flags: Option<u64>) {
    if let Some(flags) = flags {
        task.bits(key!("clone_flags"), CLONE_FLAGS, |bit| flags & bit != 0);
    }
}

fn write_ref(task: &mut Object<'_>, key: Key, reference: Option<TaskRef>) {
    if let Some(reference) = reference {
        task.object(key, |object| {
            object.number(key!("pid"), reference.tgid.0);
            object.number(key!("tid"), reference.key.tid.0);
        });
    }
}

fn write_reaper(task: &mut Object<'_>, reaper: Option<Reaper>, stamp: &Stamp) {
    let Some(reaper) = reaper else { return };
    task.object(key!("reaper"), |object| {
        object.number(key!("pid"), reaper.process.tgid.0);
        if let Some(by) = reaper.task {
            object.number(key!("tid"), by.key.tid.0);
        }
        write_entity(object, key!("entity_id"), reaper.process, stamp);
        if let Some(name) = reaper.name {
            write_name(object, name);
        }
        object.name(key!("kind"), reaper.kind.name());
    });
}

fn write_name(object: &mut Object<'_>, name: Comm) {
    object.bytes(key!("name"), name.bytes());
}

fn write_span(task: &mut Object<'_>, span: Option<Span>) {
    if let Some(span) = span {
        task.number(key!("zombie_duration_ns"), span.ns);
        if let Some(bound) = span.bound.name() {
            task.name(key!("zombie_duration_bound"), bound);
        }
    }
}

fn write_blocked(task: &mut Object<'_>, span: Span) {
    task.number(key!("blocked_ns"), span.ns);
    if let Some(bound) = span.bound.name() {
        task.name(key!("blocked_bound"), bound);
    }
}
