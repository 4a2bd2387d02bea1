//! Tasks as the kernel has them now, merged with what the records told.

use super::Lineage;
use super::arena::Ix;
use super::effect::{Effect, Provenance};
use super::exit::Death;
use super::flags::EXIT_DEAD;
use super::group::Group;
use super::id::{Ktime, TaskRef};
use super::record::{Comm, Snapshot};
use super::task::{TaskState, known};
use super::view::Told;

impl Lineage {
    pub(super) fn on_snapshot(&mut self, at: Ktime, seen: &Snapshot, out: &mut Vec<Effect>) {
        let told = Told { at, provenance: Provenance::Snapshot, hook: None };
        let Some(ix) = self.subject(seen.task, seen.leader_start, told, out) else {
            self.stats.late += 1;
            return;
        };
        let Some(group) = self.tasks[ix].group else {
            self.stats.late += 1;
            return;
        };
        let task = &mut self.tasks[ix];
        if task.state == TaskState::Implied {
            task.state = TaskState::Running;
            task.since = at;
            task.provenance = told.provenance;
        }
        self.learn_flags(ix, seen.task_flags);
        self.learn_comm(ix, seen.comm, at);
        self.learn_place(ix, &seen.place, at);
        if self.groups[group].leader == Some(ix) {
            self.learn_exit_signal(group, seen.exit_signal);
            self.learn_parent(group, seen.parent, told, out);
            if let Some(tracer) = seen.tracer {
                self.learn_tracer(group, tracer);
            }
        }
        let exited = seen.exit_state.is_some_and(|state| state != 0);
        if exited && self.tasks[ix].state < TaskState::Zombie {
            let death = Death {
                exit_state: seen
                    .exit_state
                    .filter(|&state| state == EXIT_DEAD)
                    .or(Some(super::flags::EXIT_ZOMBIE)),
                exit: seen.exit,
                task_flags: seen.task_flags,
                nr_threads: seen.nr_threads,
                tracer: seen.tracer.flatten(),
                usage: seen.usage,
                ..Death::default()
            };
            self.die(ix, &death, told, out);
        }
    }

    /// The idle task: parent of init and kthreadd, never born, in no snapshot.
    pub(super) fn plant(&mut self) {
        let idle = TaskRef {
            key: super::id::TaskKey { tid: super::id::Tid(0), start: Ktime(0) },
            tgid: super::id::Tgid(0),
        };
        let told = Told { at: Ktime(0), provenance: Provenance::Inferred, hook: None };
        if let Some(ix) = self.named(idle, told, &mut Vec::new()) {
            self.stats.implied = 0;
            let task = &mut self.tasks[ix];
            task.state = TaskState::Running;
            task.flags = super::flags::PF_KTHREAD;
            task.comm = Comm(*b"swapper/0\0\0\0\0\0\0\0");
            task.known |= known::COMM | known::FLAGS | known::BIRTH_TOLD;
        }
    }

    pub(super) fn learn_tracer(&mut self, group: Ix<Group>, tracer: Option<TaskRef>) {
        if tracer.is_some() || self.groups[group].rare.is_some() {
            self.rare(group).tracer = tracer;
        }
    }
}

impl Lineage {
    /// A snapshot of all tasks is about to be applied.
    pub fn begin_snapshot(&mut self, _at: Ktime) {}

    /// All of it was applied.
    pub fn end_snapshot(&mut self, _at: Ktime, _out: &mut Vec<Effect>) {}

    /// It broke off: what was seen stays, nothing is concluded from what was not.
    pub fn abandon_snapshot(&mut self) {}
}
