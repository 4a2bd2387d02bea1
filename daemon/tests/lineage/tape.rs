//! The records that the hooks of one family of rungs would make of the model's steps.

use taskscope::lineage::id::{Ktime, TaskRef};
use taskscope::lineage::record::{
    CloneFailed, Comm, Exec, ExitParts, ExitSource, Exited, Exiting, Fact, GroupExit, Namespaced, New,
    Record, ReleaseSource, Released, Renamed, Reparented, Snapshot, SnapshotSource, TaskPlace,
};

use crate::kernel::{State, View};

/// A family of rungs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// kprobe or fentry, with `exit_notify()` itself or what follows it.
    Function(ExitSource),
    Tracepoint,
}

#[derive(Debug)]
pub(crate) struct Tape {
    family: Family,
    pub(crate) records: Vec<Record>,
}

const EXIT_DEAD: u32 = 16;
const EXIT_ZOMBIE: u32 = 32;

pub(crate) fn comm(number: u8) -> Comm {
    let mut bytes = [0; 16];
    bytes[0] = b'c';
    bytes[1] = b'a' + number / 26 % 26;
    bytes[2] = b'a' + number % 26;
    Comm(bytes)
}

fn exit_state(state: State) -> u32 {
    match state {
        State::Running | State::Exiting => 0,
        State::Zombie => EXIT_ZOMBIE,
        State::Going | State::Dead => EXIT_DEAD,
    }
}

fn parts(view: &View) -> ExitParts {
    // A released task is detached from its signal structure.
    let group = (view.state != State::Dead)
        .then(|| GroupExit { code: view.group_exit.unwrap_or(0), by_group: view.group_exit.is_some() });
    ExitParts { exit_code: Some(view.exit_code), group }
}

fn place(view: &View) -> TaskPlace {
    let vtid = if view.is_namespace_init { 1 } else { view.task.key.tid.0 };
    let namespace = Namespaced { vtid, vtgid: None, inode: 4000 + view.namespace, level: view.level };
    TaskPlace { cgroup_id: Some(1), namespace: Some(namespace), credentials: Some((0, 0)) }
}

pub(crate) fn snapshot(at: u64, view: &View) -> Record {
    let fact = Fact::Snapshot(Box::new(Snapshot {
        task: view.task,
        leader_start: Some(Ktime(view.leader_start)),
        source: SnapshotSource::Iterator,
        parent: Some(view.parent),
        tracer: Some(view.tracer),
        exit_state: Some(exit_state(view.state)),
        exit: parts(view),
        exit_signal: Some(view.exit_signal),
        task_flags: Some(if view.state == State::Running { 0 } else { 4 }),
        nr_threads: Some(view.nr_threads),
        state: None,
        place: place(view),
        comm: Some(comm(view.comm)),
        usage: Some(view.usage),
    }));
    Record { at: Ktime(at), cpu: 0, fact }
}

impl Tape {
    pub(crate) fn new_for(family: Family) -> Self {
        Self { family, records: Vec::new() }
    }

    fn is_function(&self) -> bool {
        self.family != Family::Tracepoint
    }

    fn put(&mut self, at: u64, fact: Fact) {
        self.records.push(Record { at: Ktime(at), cpu: 0, fact });
    }

    pub(crate) fn born(&mut self, at: u64, view: &View, creator: TaskRef, flags: u64) {
        self.put(
            at,
            Fact::New(New {
                task: view.task,
                leader_start: Some(Ktime(view.leader_start)),
                creator: Some(creator),
                parent: Some(view.parent),
                clone_flags: Some(flags),
                exit_signal: Some(view.exit_signal),
                task_flags: Some(0x40),
                place: place(view),
                comm: Some(comm(view.comm)),
            }),
        );
    }

    pub(crate) fn clone_failed(&mut self, at: u64, creator: TaskRef, flags: u64) {
        if self.is_function() {
            let failed = CloneFailed {
                creator: Some(creator),
                clone_flags: Some(flags),
                exit_signal: Some(17),
                errno: 11,
                refused_by: None,
            };
            self.put(at, Fact::CloneFailed(failed));
        }
    }

    pub(crate) fn renamed(&mut self, at: u64, task: TaskRef, old: u8, new: u8) {
        self.put(at, Fact::Renamed(Renamed { task, old: comm(old), new: comm(new) }));
    }

    pub(crate) fn exec(&mut self, at: u64, view: &View, old_tid: u32) {
        let fact = Fact::Exec(Box::new(Exec {
            task: view.task,
            old_tid: Some(taskscope::lineage::id::Tid(old_tid)),
            place: place(view),
            task_flags: Some(0),
            exit_signal: Some(view.exit_signal),
            comm: Some(comm(view.comm)),
            path: Some(b"/bin/x".to_vec()),
            executable: Some(b"/bin/x".to_vec()),
            truncated: false,
        }));
        self.put(at, fact);
    }

    fn exiting(&mut self, at: u64, view: &View, code: i32, has_children: bool, ignored: bool) {
        self.put(
            at,
            Fact::Exiting(Exiting {
                task: view.task,
                exit: ExitParts { exit_code: Some(code), ..parts(view) },
                task_flags: Some(0x4),
                nr_threads: Some(view.nr_threads),
                exit_signal: Some(view.exit_signal),
                has_children: Some(has_children),
                tracer: None,
                seccomp_mode: None,
                parent_ignores_sigchld: Some(ignored),
            }),
        );
    }

    pub(crate) fn exiting_by_function(
        &mut self,
        at: u64,
        view: &View,
        code: i32,
        has_children: bool,
        ignored: bool,
    ) {
        if self.is_function() {
            self.exiting(at, view, code, has_children, ignored);
        }
    }

    pub(crate) fn exiting_by_tracepoint(
        &mut self,
        at: u64,
        view: &View,
        code: i32,
        has_children: bool,
        ignored: bool,
    ) {
        if !self.is_function() {
            self.exiting(at, view, code, has_children, ignored);
        }
    }

    fn exited(&mut self, at: u64, view: &View, source: ExitSource, new_reaper: Option<TaskRef>) {
        let fact = Fact::Exited(Exited {
            task: view.task,
            source,
            exit_state: Some(exit_state(view.state)),
            exit: parts(view),
            exit_signal: Some(view.exit_signal),
            task_flags: Some(0x4),
            nr_threads: (view.state != State::Dead).then_some(view.nr_threads),
            parent: Some(view.parent),
            tracer: Some(view.tracer),
            new_reaper,
            usage: Some(view.usage),
        });
        self.put(at, fact);
    }

    /// Adds the record of `exit_notify()`. `taken`: a wait(2) has set `EXIT_DEAD` and has not reached `release_task()` yet.
    pub(crate) fn exited_by_function(&mut self, at: u64, view: &View, taken: bool) {
        if let Family::Function(source) = self.family {
            let state = if taken { State::Dead } else { view.state };
            let nr_threads = view.nr_threads;
            self.exited(at, &View { state, nr_threads, ..*view }, source, None);
        }
    }

    pub(crate) fn final_switch(&mut self, at: u64, view: &View, new_reaper: Option<TaskRef>) {
        let new_reaper = if self.is_function() { None } else { new_reaper };
        self.exited(at, view, ExitSource::FinalSwitch, new_reaper);
    }

    pub(crate) fn reparented(&mut self, at: u64, child: TaskRef, old: TaskRef, new: TaskRef) {
        if self.is_function() {
            let reparented =
                Reparented { child, old_parent: Some(old), new_parent: new, exit_signal: Some(17) };
            self.put(at, Fact::Reparented(reparented));
        }
    }

    fn release(&mut self, at: u64, view: &View, by: Option<TaskRef>, source: ReleaseSource, de_thread: bool) {
        let fact = Fact::Released(Released {
            task: view.task,
            source,
            by,
            parent: Some(view.parent),
            tracer: if by.is_some() { Some(view.tracer) } else { None },
            exit_state: Some(EXIT_DEAD),
            exit: parts(view),
            exit_signal: Some(view.exit_signal),
            task_flags: Some(0x4),
            de_thread,
        });
        self.put(at, fact);
    }

    pub(crate) fn released(&mut self, at: u64, view: &View, by: TaskRef, de_thread: bool, second_turn: bool) {
        if self.is_function() {
            let source = if second_turn { ReleaseSource::SecondTurn } else { ReleaseSource::Entry };
            self.release(at, view, Some(by), source, de_thread);
        }
    }

    pub(crate) fn freed(&mut self, at: u64, view: &View) {
        if !self.is_function() {
            self.release(at, view, None, ReleaseSource::Free, false);
        }
    }
}

/// A record in one line, for a failure's story.
pub(crate) fn line(record: &Record) -> String {
    let name = |task: TaskRef| format!("{}@{}/{}", task.key.tid, task.key.start.0, task.tgid);
    let maybe = |task: Option<TaskRef>| task.map_or("?".to_owned(), name);
    match &record.fact {
        Fact::New(new) => format!(
            "new {} parent {} creator {} flags {:x}",
            name(new.task),
            maybe(new.parent),
            maybe(new.creator),
            new.clone_flags.unwrap_or(0)
        ),
        Fact::CloneFailed(failed) => format!("clone_failed {}", maybe(failed.creator)),
        Fact::Exec(exec) => format!("exec {} old_tid {:?}", name(exec.task), exec.old_tid.map(|tid| tid.0)),
        Fact::ExecArgs(args) => format!("exec_args {}", name(args.task)),
        Fact::Renamed(renamed) => format!("renamed {}", name(renamed.task)),
        Fact::Exiting(exiting) => format!(
            "exiting {} children {:?} ignored {:?} {:?}",
            name(exiting.task),
            exiting.has_children,
            exiting.parent_ignores_sigchld,
            exiting.exit.group
        ),
        Fact::Exited(exited) => format!(
            "exited {} {:?} state {:?} parent {} new_reaper {} nr {:?} tracer {:?}",
            name(exited.task),
            exited.source,
            exited.exit_state,
            maybe(exited.parent),
            maybe(exited.new_reaper),
            exited.nr_threads,
            exited.tracer.flatten().map(name)
        ),
        Fact::Reparented(reparented) => format!(
            "reparented {} from {} to {}",
            name(reparented.child),
            maybe(reparented.old_parent),
            name(reparented.new_parent)
        ),
        Fact::Released(released) => format!(
            "released {} {:?} by {} parent {}{}",
            name(released.task),
            released.source,
            maybe(released.by),
            maybe(released.parent),
            if released.de_thread { " de_thread" } else { "" }
        ),
        Fact::Snapshot(seen) => format!(
            "snapshot {} state {:?} parent {} nr {:?}",
            name(seen.task),
            seen.exit_state,
            maybe(seen.parent),
            seen.nr_threads
        ),
        Fact::CgroupAttached(attached) => {
            format!("cgroup_attached {} {:?}", name(attached.task), attached.cgroup_id)
        }
        Fact::Signal(sent) => {
            format!("signal {} to {} by {}", sent.signal, name(sent.target), maybe(sent.sender))
        }
        Fact::CgroupChanged(changed) => format!("cgroup {} {:?}", changed.cgroup_id, changed.change),
        Fact::OomVictim(oom) => format!("oom victim {}", oom.tid.0),
    }
}
