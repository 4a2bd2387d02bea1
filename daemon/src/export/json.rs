//! Writes one event as a line of JSON. Field names are an interface: docs/events.md documents them, and a test compares both.
//!
//! - `action`: the fields of the action
//! - `encoder`: writes many events, and keeps the parts that the lines of a task have in common

mod action;
mod encoder;

pub use self::encoder::Encoder;

use self::action::{write_action, write_exit_signal, write_number};
use super::Stamp;
use super::death;
use super::encode::{Object, key};
use super::stamp::write_entity;
use super::time::rfc3339;
use crate::cgroup::Place;
use crate::lineage::effect::{Action, Effect, Process, Thread};
use crate::lineage::flags::{TASK_FLAGS, exit_state_name, signal_name};
use crate::lineage::id::Ktime;
use crate::lineage::status::WaitStatus;

/// A part of a line that the lines of a task have in common, as long as nothing in it changes.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// The process, without its exit status.
    Process,
    /// The thread, its cgroup, container and pod.
    Thread,
    /// The task up to its exit signal.
    Task,
    /// The numbers of its cgroup and pid namespace.
    Ids,
}

/// Writes parts.
trait Parts {
    /// Writes a part into `object` as `write` does.
    fn part(&mut self, part: Part, object: &mut Object<'_>, write: impl FnOnce(&mut Object<'_>));
}

/// Keeps no parts.
struct Anew;

impl Parts for Anew {
    fn part(&mut self, _: Part, object: &mut Object<'_>, write: impl FnOnce(&mut Object<'_>)) {
        write(object);
    }
}

/// Appends an event to `line`. `place` is the task's cgroup, unit and container, if known.
pub fn write(effect: &Effect, sequence: u64, stamp: &Stamp, place: Option<&Place>, line: &mut Vec<u8>) {
    write_with(&mut Anew, effect, sequence, stamp, place, line);
}

fn write_with(
    parts: &mut impl Parts,
    effect: &Effect,
    sequence: u64,
    stamp: &Stamp,
    place: Option<&Place>,
    line: &mut Vec<u8>,
) {
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
    event.object(key!("process"), |process| {
        parts.part(Part::Process, process, |process| write_process(process, effect, stamp));
        if let Some(status) = effect.process.status {
            process.object(key!("exit"), |exit| write_status(exit, status));
        }
    });
    parts.part(Part::Thread, &mut event, |event| {
        event.object(key!("thread"), |thread| write_thread(thread, &effect.thread));
        if let Some(place) = place {
            write_place(event, place);
        }
    });
    event.object(key!("task"), |task| {
        parts.part(Part::Task, task, |task| {
            task.name(key!("kind"), effect.thread.kind.name());
            task.number(key!("start_boottime_ns"), effect.thread.key.start.0);
            write_exit_signal(task, effect.thread.exit_signal);
        });
        write_state(task, &effect.thread);
        parts.part(Part::Ids, task, |task| write_ids(task, &effect.thread));
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
}

fn write_thread(object: &mut Object<'_>, thread: &Thread) {
    object.number(key!("id"), thread.key.tid.0);
    if let Some(name) = thread.name {
        object.bytes(key!("name"), name.bytes());
    }
    if let Some(namespace) = thread.namespace {
        object.number(key!("vid"), namespace.vtid);
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

fn write_state(task: &mut Object<'_>, thread: &Thread) {
    if let Some(name) = thread.exit_state.and_then(exit_state_name) {
        task.name(key!("exit_state"), name);
    }
    if let Some(code) = thread.exit_code {
        task.signed(key!("exit_code"), code);
    }
    if let Some(flags) = thread.flags {
        task.bits(key!("flags"), TASK_FLAGS, |bit| flags & bit != 0);
    }
}

fn write_ids(task: &mut Object<'_>, thread: &Thread) {
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
