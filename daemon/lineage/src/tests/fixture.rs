//! A lineage for tests: records of a few tasks go in, effects come out.

use crate::Lineage;
use crate::config::Config;
use crate::model::effect::{Action, Effect};
use crate::model::flags::EXIT_ZOMBIE;
use crate::model::id::{Ktime, TaskKey, TaskRef, Tgid, Tid};
use crate::model::record::{
    Comm, Exec, ExitParts, ExitSource, Exited, Exiting, Fact, GroupExit, New, Record, ReleaseSource,
    Released, Reparented, Snapshot, SnapshotSource, TaskPlace,
};
use crate::model::task::TaskState;

/// A comm.
pub(crate) fn comm(text: &str) -> Comm {
    let mut bytes = [0; 16];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    Comm(bytes)
}

/// The time between two records, ns.
const STEP: u64 = 1000;

/// A lineage that is fed record by record.
pub(crate) struct Fixture {
    pub(crate) lineage: Lineage,
    pub(crate) now: Ktime,
    pub(crate) effects: Vec<Effect>,
    reported: usize,
}

impl Fixture {
    /// Returns a lineage with pid 1 alive and no effects yet.
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        let mut fixture =
            Self { lineage: Lineage::new(config), now: Ktime(1_000_000), effects: Vec::new(), reported: 0 };
        let swapper = TaskRef { key: TaskKey { tid: Tid(0), start: Ktime(0) }, tgid: Tgid(0) };
        fixture.fork_as(swapper, 1, "init");
        fixture.actions();
        fixture
    }

    pub(crate) fn record(&mut self, fact: Fact) {
        self.now.0 += STEP;
        self.record_at(self.now, fact);
    }

    /// A record that arrives now and was made at another time.
    pub(crate) fn record_at(&mut self, at: Ktime, fact: Fact) {
        let record = Record { at, cpu: 0, fact };
        self.lineage.apply(&record, self.now, &mut self.effects);
        #[cfg(test)]
        self.lineage.check().unwrap_or_else(|error| panic!("after {record:?}: {error}"));
    }

    /// Returns pid 1.
    pub(crate) fn init(&self) -> TaskRef {
        let key = self.lineage.store.find_current(Tid(1)).map(|ix| self.lineage.store[ix].key()).unwrap();
        TaskRef { key, tgid: Tgid(1) }
    }

    pub(crate) fn new_of(&self, parent: TaskRef, tid: u32, name: &str) -> New {
        New {
            task: TaskRef {
                key: TaskKey { tid: Tid(tid), start: Ktime(self.now.0 + STEP / 2) },
                tgid: Tgid(tid),
            },
            leader_start: Some(Ktime(self.now.0 + STEP / 2)),
            creator: Some(parent),
            parent: Some(parent),
            clone_flags: Some(0),
            exit_signal: Some(17),
            task_flags: Some(0x40),
            place: TaskPlace::default(),
            comm: Some(comm(name)),
        }
    }

    pub(crate) fn fork_as(&mut self, parent: TaskRef, tid: u32, name: &str) -> TaskRef {
        let new = self.new_of(parent, tid, name);
        self.record(Fact::New(new));
        new.task
    }

    pub(crate) fn fork(&mut self, parent: TaskRef, tid: u32) -> TaskRef {
        self.fork_as(parent, tid, "sh")
    }

    /// Adds a thread to the group of `leader`.
    pub(crate) fn thread(&mut self, leader: TaskRef, tid: u32) -> TaskRef {
        let mut new = self.new_of(leader, tid, "worker");
        new.task.tgid = leader.tgid;
        new.leader_start = Some(leader.key.start);
        new.clone_flags = Some(0x3d_0f00);
        new.exit_signal = Some(-1);
        self.record(Fact::New(new));
        new.task
    }

    pub(crate) fn exec(&mut self, task: TaskRef, path: &str) {
        self.exec_from(task, task.key.tid.0, path);
    }

    pub(crate) fn exec_from(&mut self, task: TaskRef, old_tid: u32, path: &str) {
        self.record(Fact::Exec(Box::new(Exec {
            task,
            old_tid: Some(Tid(old_tid)),
            place: TaskPlace::default(),
            task_flags: Some(0),
            exit_signal: Some(17),
            comm: Some(comm(path.rsplit('/').next().unwrap())),
            path: Some(path.into()),
            executable: Some(path.into()),
            truncated: false,
        })));
    }

    pub(crate) fn exiting(&mut self, task: TaskRef, code: i32) {
        self.record(Fact::Exiting(Self::exiting_of(task, code)));
    }

    pub(crate) fn exiting_with_children(&mut self, task: TaskRef) {
        self.record(Fact::Exiting(Exiting { has_children: Some(true), ..Self::exiting_of(task, 0) }));
    }

    pub(crate) fn exiting_of(task: TaskRef, code: i32) -> Exiting {
        Exiting {
            task,
            exit: ExitParts { exit_code: Some(code), group: None },
            task_flags: Some(0x4),
            nr_threads: None,
            exit_signal: None,
            has_children: None,
            tracer: None,
            seccomp_mode: None,
            parent_ignores_sigchld: None,
        }
    }

    pub(crate) fn exited_of(task: TaskRef, state: u32, code: i32, by_group: bool) -> Exited {
        Exited {
            task,
            source: ExitSource::ExitNotify,
            exit_state: Some(state),
            exit: ExitParts {
                exit_code: Some(code),
                group: Some(GroupExit { code: if by_group { code } else { 0 }, by_group }),
            },
            exit_signal: None,
            task_flags: Some(0x4),
            nr_threads: None,
            parent: None,
            tracer: Some(None),
            new_reaper: None,
            usage: None,
        }
    }

    pub(crate) fn exited(&mut self, task: TaskRef, state: u32, code: i32, by_group: bool) {
        self.record(Fact::Exited(Self::exited_of(task, state, code, by_group)));
    }

    /// Applies the record of a zombie's last switch, on the tracepoint rung.
    pub(crate) fn last_switch(&mut self, task: TaskRef, new_reaper: Option<TaskRef>) {
        self.last_switch_of(Exited { new_reaper, ..Self::exited_of(task, EXIT_ZOMBIE, 0, true) });
    }

    /// Applies a death that only the record of the last switch shows.
    pub(crate) fn last_switch_of(&mut self, exited: Exited) {
        self.record(Fact::Exited(Exited { source: ExitSource::FinalSwitch, ..exited }));
    }

    pub(crate) fn reparented(&mut self, child: TaskRef, old: TaskRef, new_parent: TaskRef) {
        self.record(Fact::Reparented(Reparented {
            child,
            old_parent: Some(old),
            new_parent,
            exit_signal: Some(17),
        }));
    }

    pub(crate) fn released_of(task: TaskRef, by: Option<TaskRef>, source: ReleaseSource) -> Released {
        Released {
            task,
            source,
            by,
            parent: None,
            tracer: Some(None),
            exit_state: Some(16),
            exit: ExitParts::default(),
            exit_signal: None,
            task_flags: None,
            de_thread: false,
        }
    }

    pub(crate) fn released(&mut self, task: TaskRef, by: TaskRef) {
        self.record(Fact::Released(Self::released_of(task, Some(by), ReleaseSource::Entry)));
    }

    /// Applies a snapshot that shows these tasks.
    pub(crate) fn snapshot(&mut self, shown: &[TaskRef]) {
        self.lineage.begin_snapshot(self.now);
        for &task in shown {
            let is_dead = self
                .lineage
                .store
                .find(task.key)
                .is_some_and(|ix| self.lineage.store[ix].state() >= TaskState::Zombie);
            self.record(Fact::Snapshot(Box::new(Snapshot {
                exit_state: Some(if is_dead { EXIT_ZOMBIE } else { 0 }),
                ..Self::snapshot_of(task)
            })));
        }
        self.lineage.end_snapshot(self.now, &mut self.effects);
    }

    /// Returns the record of a live task in the iterator's snapshot, without other facts.
    pub(crate) fn snapshot_of(task: TaskRef) -> Snapshot {
        Snapshot {
            task,
            leader_start: None,
            source: SnapshotSource::Iterator,
            parent: None,
            tracer: None,
            exit_state: Some(0),
            exit: ExitParts::default(),
            exit_signal: None,
            task_flags: None,
            nr_threads: None,
            state: None,
            place: TaskPlace::default(),
            comm: None,
            usage: None,
        }
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, ns: u64) {
        self.now.0 += ns;
        self.lineage.tick(self.now, &mut self.effects);
    }

    /// Returns the effects since the last call.
    pub(crate) fn new_effects(&mut self) -> Vec<Effect> {
        let effects = self.effects[self.reported..].to_vec();
        self.reported = self.effects.len();
        effects
    }

    /// Returns the effects since the last call as `tid:action`.
    pub(crate) fn actions(&mut self) -> Vec<String> {
        self.new_effects()
            .iter()
            .map(|effect| format!("{}:{}", effect.thread.key.tid, effect.action.name()))
            .collect()
    }

    /// Returns the only effect with this action since the last call.
    pub(crate) fn one(&mut self, action: &str) -> Effect {
        let effects = self.new_effects();
        let names: Vec<_> = effects.iter().map(|effect| effect.action.name()).collect();
        let mut found = effects.iter().filter(|effect| effect.action.name() == action);
        match (found.next(), found.next()) {
            (Some(effect), None) => effect.clone(),
            _ => panic!("wanted one {action}, found {names:?}"),
        }
    }

    pub(crate) fn parent_of(&self, task: TaskRef) -> Option<u32> {
        let ix = self.lineage.store.find(task.key)?;
        let group = self.lineage.store[ix].group()?;
        self.lineage.store[group].parent_key().map(|parent| parent.tgid.0)
    }
}

/// Returns how long a zombie lasted, from a `reaped` effect.
pub(crate) fn zombie_ns(effect: &Effect) -> Option<u64> {
    match &effect.action {
        Action::Reaped { zombie, .. } => zombie.map(|zombie| zombie.ns),
        other => panic!("not a reaped: {other:?}"),
    }
}
