//! Writes one event as a line of JSON. Field names are an interface: docs/events.md documents them, and a test compares both.

use super::Stamp;
use super::death;
use super::encode::Object;
use super::time::rfc3339;
use super::usage;
use crate::cgroup::Place;
use crate::lineage::blocked::wchan;
use crate::lineage::effect::{Action, Effect, Process, Reaper, Span, Thread};
use crate::lineage::flags::{CLONE_FLAGS, TASK_FLAGS, errno_name, exit_state_name, signal_name};
use crate::lineage::id::{GroupKey, Ktime, TaskRef};
use crate::lineage::record::Comm;
use crate::lineage::status::WaitStatus;

/// Appends an event to `line`. `place` is the task's place, as far as it is known.
pub fn write(effect: &Effect, sequence: u64, stamp: &Stamp, place: Option<&Place>, line: &mut Vec<u8>) {
    let mut event = Object::open(line);
    event.text("@timestamp", |out| rfc3339(out, stamp.wall_ns(effect.at)));
    event.object("event", |event| {
        event.name("action", effect.action.name());
        event.number("sequence", sequence);
        if effect.late_ns > 0 {
            event.number("late_ns", effect.late_ns);
        }
    });
    event.number("boottime_ns", effect.at.0);
    event.object("process", |process| write_process(process, effect, stamp));
    event.object("thread", |thread| {
        thread.number("id", effect.thread.key.tid.0);
        if let Some(name) = effect.thread.name {
            thread.bytes("name", name.bytes());
        }
        if let Some(namespace) = effect.thread.namespace {
            thread.number("vid", namespace.vtid);
        }
    });
    if let Some(place) = place {
        write_place(&mut event, place);
    }
    event.object("task", |task| {
        write_task(task, &effect.thread);
        write_action(task, &effect.action, stamp);
        if let Action::GroupExited { death, .. } = &effect.action {
            death::write(task, death.as_deref(), effect.process.status, stamp);
        }
        task.name("provenance", effect.provenance.name());
        if let Some(hook) = effect.hook {
            task.name("hook", hook.name());
        }
    });
    event.close();
    line.push(b'\n');
}

/// Appends a line that says that events are missing here: how many, if that is known, and where they were lost.
pub fn write_gap(place: &str, lost: Option<u64>, line: &mut Vec<u8>) {
    let mut event = Object::open(line);
    event.object("event", |event| event.name("action", "gap"));
    event.object("gap", |gap| {
        gap.name("place", place);
        write_number(gap, "lost", lost);
    });
    event.close();
    line.push(b'\n');
}

/// Appends the line of a gap at a given time, for lines that are stored.
pub fn write_gap_at(stamp: &Stamp, at: Ktime, place: &str, lost: u64, line: &mut Vec<u8>) {
    let mut event = Object::open(line);
    event.text("@timestamp", |out| rfc3339(out, stamp.wall_ns(at)));
    event.object("event", |event| event.name("action", "gap"));
    event.number("boottime_ns", at.0);
    event.object("gap", |gap| {
        gap.name("place", place);
        gap.number("lost", lost);
    });
    event.close();
    line.push(b'\n');
}

fn write_place(event: &mut Object<'_>, place: &Place) {
    event.object("cgroup", |cgroup| {
        cgroup.bytes("path", place.path.as_bytes());
        if let Some(unit) = &place.unit {
            cgroup.bytes("unit", unit.as_bytes());
        }
    });
    if let Some(container) = &place.container {
        event.object("container", |object| {
            object.bytes("id", container.id.as_bytes());
            object.name("runtime", container.runtime);
        });
    }
    if let Some(uid) = &place.pod_uid {
        event.object("pod", |pod| pod.bytes("uid", uid.as_bytes()));
    }
}

fn write_process(object: &mut Object<'_>, effect: &Effect, stamp: &Stamp) {
    let process: &Process = &effect.process;
    object.number("pid", process.key.tgid.0);
    if let Some(vpid) = process.vpid {
        object.number("vpid", vpid);
    }
    write_entity(object, "entity_id", process.key, stamp);
    if let Some(parent) = process.parent {
        object.number("parent_pid", parent.tgid.0);
        write_entity(object, "parent_entity_id", parent, stamp);
    }
    if let Some(name) = process.name.or(effect.thread.name) {
        object.bytes("name", name.bytes());
    }
    if let Some(executable) = &process.executable {
        object.object("executable", |inner| {
            inner.bytes("path", executable.bytes());
            if executable.is_deleted() {
                inner.yes("deleted");
            }
            if executable.is_cut() {
                inner.yes("truncated");
            }
        });
    }
    let of_exec = match &effect.action {
        Action::Execed { args, .. } => args.as_ref().map(|(args, truncated)| (args, *truncated)),
        _ => None,
    };
    let arguments = of_exec.or(process.arguments.as_ref().map(|it| (&it.args, it.truncated)));
    if let Some((args, truncated)) = arguments {
        object.list("command_args", args);
        if truncated {
            object.yes("command_args_truncated");
        }
    }
    if let Some((real, effective)) = process.credentials {
        object.object("user", |user| user.number("id", effective));
        object.object("real_user", |user| user.number("id", real));
    }
    if let Some(status) = process.status {
        object.object("exit", |exit| write_status(exit, status));
    }
}

fn write_entity(object: &mut Object<'_>, key: &str, group: GroupKey, stamp: &Stamp) {
    if let Some(start) = group.start {
        object.text(key, |out| stamp.write_entity_id(out, group, start));
    }
}

fn write_status(exit: &mut Object<'_>, status: WaitStatus) {
    exit.signed("status", status.0);
    if let Some(code) = status.code() {
        exit.signed("code", code);
    }
    if let Some(signal) = status.signal() {
        exit.signed("signal", signal);
        if let Some(name) = signal_name(signal) {
            exit.name("signal_name", name);
        }
    }
    if status.core_dumped() {
        exit.yes("core_dumped");
    }
}

fn write_task(task: &mut Object<'_>, thread: &Thread) {
    task.name("kind", thread.kind.name());
    task.number("start_boottime_ns", thread.key.start.0);
    write_exit_signal(task, thread.exit_signal);
    if let Some(name) = thread.exit_state.and_then(exit_state_name) {
        task.name("exit_state", name);
    }
    if let Some(code) = thread.exit_code {
        task.signed("exit_code", code);
    }
    if let Some(flags) = thread.flags {
        task.bits("flags", TASK_FLAGS, |bit| flags & bit != 0);
    }
    if let Some(cgroup_id) = thread.cgroup_id {
        task.number("cgroup_id", cgroup_id);
    }
    if let Some(namespace) = thread.namespace {
        task.object("pid_ns", |ns| {
            ns.number("inode", namespace.inode);
            ns.number("level", namespace.level);
        });
    }
}

fn write_exit_signal(task: &mut Object<'_>, signal: Option<i32>) {
    if let Some(signal) = signal {
        task.signed("exit_signal", signal);
        if let Some(name) = signal_name(signal) {
            task.name("exit_signal_name", name);
        }
    }
}

fn write_action(task: &mut Object<'_>, action: &Action, stamp: &Stamp) {
    match action {
        Action::Forked { creation, clone_flags, creator } => {
            if let Some(creation) = creation {
                task.name("creation", creation.name());
            }
            write_clone_flags(task, *clone_flags);
            write_ref(task, "creator", *creator);
        }
        Action::CloneFailed { clone_flags, exit_signal, errno, refused_by } => {
            write_clone_flags(task, *clone_flags);
            task.object("clone", |clone| write_exit_signal(clone, *exit_signal));
            task.signed("errno", *errno);
            if let Some(name) = errno_name(*errno) {
                task.name("errno_name", name);
            }
            if let Some(limit) = refused_by {
                task.object("refused_by", |object| {
                    object.name("kind", limit.kind.code());
                    if !limit.name.is_empty() {
                        object.bytes("name", limit.name.as_bytes());
                    }
                    write_number(object, "used", limit.used);
                    write_number(object, "limit", limit.limit);
                });
            }
        }
        Action::Execed { path, truncated, vfork_held_ns, args: _ } => {
            if let Some(path) = path {
                task.bytes("exec_path", path.bytes());
            }
            if *truncated {
                task.yes("path_truncated");
            }
            write_number(task, "vfork_held_ns", *vfork_held_ns);
        }
        Action::ExecTakeover { old_tid } => task.number("old_tid", old_tid.0),
        Action::Renamed { old, new } => {
            task.bytes("old_name", old.bytes());
            task.bytes("new_name", new.bytes());
        }
        Action::Exiting { nr_threads } => write_threads(task, *nr_threads),
        Action::Exited { usage, nr_threads, tracer, vfork_held_ns, exit_ns } => {
            write_threads(task, *nr_threads);
            write_ref(task, "tracer", *tracer);
            write_number(task, "vfork_held_ns", *vfork_held_ns);
            write_number(task, "exit_duration_ns", *exit_ns);
            if let Some(usage) = usage {
                task.object("usage", |object| usage::write(object, usage));
            }
        }
        Action::LeaderDied { threads_left } => task.number("threads_left", *threads_left),
        Action::ExitStuck { stuck_ns } => task.number("stuck_ns", *stuck_ns),
        Action::BlockedFlagged(sleep) => {
            write_blocked(task, sleep.blocked);
            task.name("sleep", sleep.doing().name());
            if let Some(wchan) = wchan(&sleep.stack) {
                task.bytes("wchan", wchan.as_bytes());
            }
            task.list("kernel_stack", &sleep.stack);
        }
        Action::BlockedCleared { blocked } => write_blocked(task, *blocked),
        Action::ZombieBegan { tracer } => write_ref(task, "tracer", *tracer),
        Action::ZombieFlagged { zombie, parent_name } => {
            write_span(task, Some(*zombie));
            if let Some(name) = parent_name {
                task.bytes("parent_name", name.bytes());
            }
        }
        Action::Reparented { old_parent, new_parent, kind } => {
            if let Some(old) = old_parent {
                task.number("old_parent_pid", old.tgid.0);
                task.number("old_parent_tid", old.key.tid.0);
            }
            task.number("new_parent_pid", new_parent.tgid.0);
            task.number("new_parent_tid", new_parent.key.tid.0);
            task.name("reparent_kind", kind.name());
        }
        Action::Reaped { reaper, zombie } => {
            write_reaper(task, *reaper, stamp);
            write_span(task, *zombie);
        }
        Action::Released { reaper, usage, children_usage, life: _ } => {
            write_reaper(task, *reaper, stamp);
            usage::write_group(task, usage.as_ref());
            if let Some(children) = children_usage {
                task.object("children_usage", |object| usage::write_children(object, children));
            }
        }
        Action::GroupExited { usage, death: _ } => usage::write_group(task, usage.as_ref()),
        Action::Autoreaped => {}
    }
}

fn write_number(task: &mut Object<'_>, key: &str, value: Option<u64>) {
    if let Some(value) = value {
        task.number(key, value);
    }
}

fn write_threads(task: &mut Object<'_>, nr_threads: Option<i32>) {
    if let Some(nr_threads) = nr_threads {
        task.signed("nr_threads", nr_threads);
    }
}

fn write_clone_flags(task: &mut Object<'_>, flags: Option<u64>) {
    if let Some(flags) = flags {
        task.bits("clone_flags", CLONE_FLAGS, |bit| flags & bit != 0);
    }
}

fn write_ref(task: &mut Object<'_>, key: &str, reference: Option<TaskRef>) {
    if let Some(reference) = reference {
        task.object(key, |object| {
            object.number("pid", reference.tgid.0);
            object.number("tid", reference.key.tid.0);
        });
    }
}

fn write_reaper(task: &mut Object<'_>, reaper: Option<Reaper>, stamp: &Stamp) {
    let Some(reaper) = reaper else { return };
    task.object("reaper", |object| {
        object.number("pid", reaper.process.tgid.0);
        if let Some(by) = reaper.task {
            object.number("tid", by.key.tid.0);
        }
        write_entity(object, "entity_id", reaper.process, stamp);
        if let Some(name) = reaper.name {
            write_name(object, name);
        }
        object.name("kind", reaper.kind.name());
    });
}

fn write_name(object: &mut Object<'_>, name: Comm) {
    object.bytes("name", name.bytes());
}

fn write_span(task: &mut Object<'_>, span: Option<Span>) {
    if let Some(span) = span {
        task.number("zombie_duration_ns", span.ns);
        if let Some(bound) = span.bound.name() {
            task.name("zombie_duration_bound", bound);
        }
    }
}

fn write_blocked(task: &mut Object<'_>, span: Span) {
    task.number("blocked_ns", span.ns);
    if let Some(bound) = span.bound.name() {
        task.name("blocked_bound", bound);
    }
}
