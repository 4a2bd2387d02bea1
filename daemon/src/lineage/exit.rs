//! `do_exit()` begins, `exit_notify()` decides.

use super::Lineage;
use super::arena::Ix;
use super::effect::{Action, Effect, Hook, Provenance};
use super::flags::{EXIT_DEAD, PF_EXITING};
use super::group::fact;
use super::id::{Ktime, TaskRef};
use super::record::{ExitParts, ExitSource, Exited, Exiting, Usage};
use super::status::GroupStatus;
use super::task::{Queue, Task, TaskState, known};
use super::view::Told;

/// What is known of a task's death, from whichever record told it first.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Death {
    pub(super) exit_state: Option<u32>,
    pub(super) exit: ExitParts,
    pub(super) task_flags: Option<u32>,
    pub(super) nr_threads: Option<i32>,
    pub(super) tracer: Option<TaskRef>,
    pub(super) usage: Option<Usage>,
    /// Told by the release: when it became a zombie is not known.
    pub(super) at_release: bool,
    /// The old leader dies for an exec by another thread: the group lives.
    pub(super) de_thread: bool,
}

impl Lineage {
    pub(super) fn on_exiting(&mut self, at: Ktime, exiting: &Exiting, out: &mut Vec<Effect>) {
        let told = Told::observed(at);
        let Some(ix) = self.subject(exiting.task, None, told, out) else {
            self.stats.late += 1;
            return;
        };
        self.seen_running(ix, at);
        let Some(group) = self.tasks[ix].group else {
            self.stats.late += 1;
            return;
        };
        if self.tasks[ix].state >= TaskState::Exiting {
            if self.tasks[ix].state == TaskState::Exiting {
                self.stats.duplicate += 1;
            } else {
                self.stats.late += 1;
            }
            return;
        }
        self.learn_flags(ix, exiting.task_flags);
        let task = &mut self.tasks[ix];
        task.flags |= PF_EXITING;
        task.state = TaskState::Exiting;
        task.since = at;
        if let Some(code) = exiting.exit.exit_code {
            task.exit_code = code;
            task.known |= known::EXIT_CODE;
        }
        if self.is_leader(ix) && !self.groups[group].has(fact::EXIT_SIGNAL) {
            self.learn_exit_signal(group, exiting.exit_signal);
        }
        self.queues.put(&mut self.tasks, ix, Queue::Exiting);
        self.tell(out, ix, told, Action::Exiting { nr_threads: exiting.nr_threads });
    }

    pub(super) fn on_exited(&mut self, at: Ktime, exited: &Exited, out: &mut Vec<Effect>) {
        let told = Told { at, provenance: Provenance::Observed, hook: Some(Hook::Exit(exited.source)) };
        let Some(ix) = self.subject(exited.task, None, told, out) else {
            self.stats.late += 1;
            return;
        };
        self.seen_running(ix, at);
        let Some(group) = self.tasks[ix].group else {
            self.complete(exited);
            return;
        };
        if self.is_leader(ix) {
            self.learn_parent(group, exited.parent, told, out);
            if let Some(tracer) = exited.tracer {
                self.learn_tracer(group, tracer);
            }
        }
        self.hand_on_children(ix, exited.heir, told, out);
        if self.tasks[ix].state >= TaskState::Zombie {
            self.complete(exited);
            return;
        }
        let certain = exited.source != ExitSource::FinalSwitch || !self.is_leader(ix);
        let death = Death {
            exit_state: exited.exit_state,
            exit: exited.exit,
            task_flags: exited.task_flags,
            nr_threads: exited.nr_threads,
            tracer: exited.tracer.flatten(),
            usage: exited.usage,
            ..Death::default()
        };
        self.learn_exit_signal_once(ix, exited.exit_signal);
        self.die(ix, &death, told, out);
        // A leader found dead at its final switch may have been a zombie for a moment, taken by a wait before.
        if certain && self.tasks[ix].state == TaskState::Dead {
            self.autoreaped(ix, told, out);
        }
    }

    fn learn_exit_signal_once(&mut self, ix: Ix<Task>, signal: Option<i32>) {
        if let Some(group) = self.tasks[ix].group
            && self.is_leader(ix)
            && !self.groups[group].has(fact::EXIT_SIGNAL)
        {
            self.learn_exit_signal(group, signal);
        }
    }

    /// A second exit record of a task adds what the first could not know.
    fn complete(&mut self, exited: &Exited) {
        let Some(ix) = self.find(exited.task.key) else { return };
        if exited.source == ExitSource::FinalSwitch || exited.usage.is_some() {
            self.stats.completed += 1;
        } else {
            self.stats.duplicate += 1;
        }
        if let Some(code) = exited.exit.exit_code
            && !self.tasks[ix].knows(known::EXIT_CODE)
        {
            self.tasks[ix].exit_code = code;
            self.tasks[ix].known |= known::EXIT_CODE;
        }
    }

    /// A live task dies: `exit_notify()` has decided between zombie and dead.
    pub(super) fn die(&mut self, ix: Ix<Task>, death: &Death, told: Told, out: &mut Vec<Effect>) {
        let Some(group) = self.tasks[ix].group else { return };
        let is_leader = self.groups[group].leader == Some(ix);
        let exiting_since = self.tasks[ix].since;
        let was_exiting = self.tasks[ix].state == TaskState::Exiting;
        self.learn_flags(ix, death.task_flags);
        if let Some(code) = death.exit.exit_code {
            self.tasks[ix].exit_code = code;
            self.tasks[ix].known |= known::EXIT_CODE;
        }
        let code = self.tasks[ix].knows(known::EXIT_CODE).then_some(self.tasks[ix].exit_code);
        let parts = ExitParts { exit_code: code, group: death.exit.group };
        self.groups[group].status.learn(&parts, is_leader);
        // Without a word on it: only a leader waits for anyone.
        let dead = death.exit_state.map_or(!is_leader, |state| state == EXIT_DEAD);
        if is_leader && death.nr_threads == Some(1) {
            self.groups[group].set(fact::SOLE, true);
        }
        self.leave(ix, if dead { TaskState::Dead } else { TaskState::Zombie }, told.at);
        if is_leader && let Some(tracer) = death.tracer {
            self.learn_tracer(group, Some(tracer));
        }
        let vfork_held_ns = if is_leader { self.free_parent(group, told.at) } else { None };
        let &Death { usage, nr_threads, tracer, .. } = death;
        self.tell(out, ix, told, Action::Exited { usage, nr_threads, tracer, vfork_held_ns });
        if dead {
            self.queues.put(&mut self.tasks, ix, Queue::Dead);
        } else if is_leader && death.at_release && was_exiting {
            // The earliest it can have become one.
            self.tasks[ix].since = exiting_since;
            self.groups[group].set(fact::ZOMBIE_YOUNGER, true);
        }
        if death.de_thread {
            return;
        }
        if is_leader && !dead && !self.groups[group].is_sole() {
            self.leader_died(ix, told, out);
        }
        self.after_a_death(group, told, out);
    }

    /// A leader died before the others of its group.
    fn leader_died(&mut self, ix: Ix<Task>, told: Told, out: &mut Vec<Effect>) {
        let Some(group) = self.tasks[ix].group else { return };
        self.rare(group).leader_died_at = Some(told.at);
        let members = &mut self.groups[group];
        members.set(fact::LEADER_DIED, true);
        // In a group exit the others die as well, in whatever order.
        let threads_left = members.live;
        if threads_left > 0 && !matches!(members.status, GroupStatus::Group(_)) {
            self.tell(out, ix, told, Action::LeaderDied { threads_left });
        }
    }

    /// Moves a task on to a state in which its group does not count it as live, or not at all.
    pub(super) fn leave(&mut self, ix: Ix<Task>, state: TaskState, at: Ktime) {
        self.queues.take(&mut self.tasks, ix);
        let task = &mut self.tasks[ix];
        let before = task.state;
        task.state = state;
        task.since = at;
        let Some(group) = task.group else { return };
        let members = &mut self.groups[group];
        if before < TaskState::Zombie {
            members.live = members.live.saturating_sub(1);
        }
        if before < TaskState::Dead && state >= TaskState::Dead {
            members.present = members.present.saturating_sub(1);
        }
    }

    /// What the death or the departure of one task means for its group.
    pub(super) fn after_a_death(
        &mut self,
        group: super::arena::Ix<super::group::Group>,
        told: Told,
        out: &mut Vec<Effect>,
    ) {
        let members = &self.groups[group];
        let Some(leader) = members.leader else { return };
        if members.is_dead() && self.tasks[leader].state >= TaskState::Zombie && !members.has(fact::EXIT_TOLD)
        {
            self.groups[group].set(fact::EXIT_TOLD, true);
            self.tell(out, leader, told, Action::GroupExited);
        }
        self.zombie_may_begin(group, told, out);
    }
}
