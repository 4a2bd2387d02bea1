//! `copy_process()`: a task is created, or the call fails.

use crate::Lineage;
use crate::apply::transition::Transition;
use crate::model::effect::{Action, Effect};
use crate::model::event_context::EventContext;
use crate::model::flags::{CLONE_THREAD, CLONE_VFORK, CLONE_VM, PF_KTHREAD};
use crate::model::id::Ktime;
use crate::model::kinds::Creation;
use crate::model::record::{CloneFailed, New};
use crate::model::task::TaskState;
use crate::store::candidates::FORKS;
use crate::store::slot::group::{Group, fact};
use crate::store::slot::task::known;
use crate::store::tables::arena::Ix;
use crate::store::tables::profile::Profile;

impl Creation {
    /// Returns how the task was created, from the flags of clone(2) and the PF_ bits.
    #[must_use]
    pub const fn of(clone_flags: u64, task_flags: u32) -> Self {
        if task_flags & PF_KTHREAD != 0 {
            Self::Kernel
        } else if clone_flags & CLONE_THREAD != 0 {
            Self::Thread
        } else if clone_flags & CLONE_VFORK != 0 {
            Self::Vfork
        } else if clone_flags & CLONE_VM != 0 {
            Self::Hybrid
        } else {
            Self::Fork
        }
    }
}

impl Lineage {
    pub(crate) fn on_new(&mut self, at: Ktime, new: &New, out: &mut Vec<Effect>) {
        let t = &mut Transition::new(EventContext::observed(at), out);
        let Some((ix, group)) = self.resolve_or_create_new(new.task, new.leader_start, t) else { return };
        // A fork record that arrives late must not overwrite fields that can change.
        if !self.store[ix].knows(known::FLAGS) {
            self.learn_flags(ix, new.task_flags);
        }
        self.learn_comm(ix, new.comm, at);
        self.learn_place(ix, &new.place, at);
        if new.task.is_leader() {
            if !self.store[group].has(fact::EXIT_SIGNAL) {
                self.learn_exit_signal(group, new.exit_signal);
            }
            self.learn_birth(group, new);
            if self.learn_parent(group, new.parent, t).is_none() {
                return;
            }
        }
        let task = &mut self.store[ix];
        if task.knows(known::FORK_EMITTED) {
            self.stats.duplicate += 1;
            return;
        }
        task.known |= known::FORK_EMITTED;
        task.provenance = t.ctx.provenance;
        let creation = new.clone_flags.map(|flags| Creation::of(flags, new.task_flags.unwrap_or(0)));
        if new.task.is_leader() {
            // A child that called execve(2) before its fork record arrived has already resumed its vfork parent.
            let holds = creation == Some(Creation::Vfork) && self.store[group].execs == 0;
            self.store[group].set(fact::HOLDS_PARENT, holds);
            if let Some(parents) = self.store.parents_of(group) {
                let debt = self.store.debt(parents);
                debt.forked += 1;
                if debt.forked.is_multiple_of(FORKS) {
                    self.store.note_many_forks(parents);
                }
            }
            self.store.count_birth();
        }
        if self.store[ix].state() > TaskState::Running {
            self.stats.late += 1;
            return;
        }
        self.store.set_seen_running(ix, at);
        let &New { clone_flags, creator, .. } = new;
        self.emit(t, ix, Action::Forked { creation, clone_flags, creator });
        if new.task.is_leader() {
            self.note_birth_in_scope(group, at);
            self.begin_scopes_of(group, t);
        }
    }

    /// Stores the facts that only a fork record of a group has.
    fn learn_birth(&mut self, group: Ix<Group>, new: &New) {
        if let Some(flags) = new.clone_flags {
            let profile = Profile { clone_flags: flags, ..*self.store.profile(group) };
            self.store.set_profile(group, &profile);
            self.store[group].set(fact::CLONE_FLAGS, true);
        }
        let Some(creator) = new.creator else { return };
        if new.parent.is_some_and(|parent| parent.tgid != creator.tgid) {
            self.store.rare(group).creator = Some(creator);
        }
        // The child runs its creator's program until it execs.
        if self.store[group].executable.is_none()
            && let Some(creators) = self.store.find(creator.key).and_then(|ix| self.store[ix].group())
        {
            let executable = self.store[creators].executable.clone();
            self.store[group].executable = executable;
        }
    }

    pub(crate) fn on_clone_failed(&mut self, at: Ktime, failed: &CloneFailed, out: &mut Vec<Effect>) {
        let t = &mut Transition::new(EventContext::observed(at), out);
        let Some(creator) = failed.creator else {
            self.stats.unattributable += 1;
            return;
        };
        let Some((ix, _)) = self.resolve_or_create(creator, t) else { return };
        self.store.set_seen_running(ix, at);
        let &CloneFailed { clone_flags, exit_signal, errno, .. } = failed;
        let refused_by = failed.refused_by.clone();
        self.emit(t, ix, Action::CloneFailed { clone_flags, exit_signal, errno, refused_by });
    }
}
