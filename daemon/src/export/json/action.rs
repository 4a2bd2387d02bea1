//! The fields of an event's action.

use super::Object;
use crate::export::Stamp;
use crate::export::encode::{Key, key};
use crate::export::stamp::write_entity;
use crate::export::{leak, scope, usage};
use crate::lineage::blocked::wchan;
use crate::lineage::effect::{Action, Reaper, Span};
use crate::lineage::flags::{CLONE_FLAGS, errno_name, signal_name};
use crate::lineage::id::TaskRef;
use crate::lineage::record::Comm;

/// Writes what the action has besides the process and the task.
pub(super) fn write_action(task: &mut Object<'_>, action: &Action, stamp: &Stamp) {
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
        Action::LeakFlagged(leak) | Action::LeakCleared(leak) => leak::write(task, leak, stamp),
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
        Action::ScopeBegan(scope) | Action::ScopeEnded(scope) => scope::write(task, scope, stamp),
        Action::Autoreaped => {}
    }
}

pub(super) fn write_number(task: &mut Object<'_>, key: Key, value: Option<u64>) {
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

pub(super) fn write_exit_signal(task: &mut Object<'_>, signal: Option<i32>) {
    if let Some(signal) = signal {
        task.signed(key!("exit_signal"), signal);
        if let Some(name) = signal_name(signal) {
            task.name(key!("exit_signal_name"), name);
        }
    }
}
