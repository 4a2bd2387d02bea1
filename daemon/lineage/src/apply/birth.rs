//! `copy_process()`: a task is made, or is not.

use super::Lineage;
use super::arena::Ix;
use super::effect::{Action, Creation, Effect};
use super::flags::{CLONE_THREAD, CLONE_VFORK, CLONE_VM, PF_KTHREAD};
use super::group::{Group, fact};
use super::id::Ktime;
use super::record::{CloneFailed, New};
use super::task::{TaskState, known};
use super::view::Told;

impl Creation {
    /// Tells the way by the flags of clone(2) and the PF_ bits.
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
    pub(super) fn on_new(&mut self, at: Ktime, new: &New, out: &mut Vec<Effect>) {
        let told = Told::observed(at);
        let Some((ix, group)) = self.newcomer(new.task, new.leader_start, told, out) else { return };
        // Of what can change later, a birth told late says nothing new.
        if !self.tasks[ix].knows(known::FLAGS) {
            self.learn_flags(ix, new.task_flags);
        }
        self.learn_comm(ix, new.comm, at);
        self.learn_place(ix, &new.place, at);
        if new.task.is_leader() {
            if !self.groups[group].has(fact::EXIT_SIGNAL) {
                self.learn_exit_signal(group, new.exit_signal);
            }
            self.learn_birth(group, new);
            self.learn_parent(group, new.parent, told, out);
        }
        let task = &mut self.tasks[ix];
        if task.knows(known::BIRTH_TOLD) {
            self.stats.duplicate += 1;
            return;
        }
        task.known |= known::BIRTH_TOLD;
        task.provenance = told.provenance;
        let creation = new.clone_flags.map(|flags| Creation::of(flags, new.task_flags.unwrap_or(0)));
        if new.task.is_leader() {
            // A child that exec'ed before its birth was told holds nobody any more.
            let holds = creation == Some(Creation::Vfork) && self.groups[group].execs == 0;
            self.groups[group].set(fact::HOLDS_PARENT, holds);
            if let Some(parents) = self.parents_of(group) {
                self.debt(parents).forked += 1;
            }
        }
        if self.tasks[ix].state > TaskState::Running {
            self.stats.late += 1;
            return;
        }
        self.seen_running(ix, at);
        let &New { clone_flags, creator, .. } = new;
        self.tell(out, ix, told, Action::Forked { creation, clone_flags, creator });
    }

    /// What only the birth of a group tells.
    fn learn_birth(&mut self, group: Ix<Group>, new: &New) {
        if let Some(flags) = new.clone_flags {
            self.groups[group].clone_flags = flags;
            self.groups[group].set(fact::CLONE_FLAGS, true);
        }
        let Some(creator) = new.creator else { return };
        if new.parent.is_some_and(|parent| parent.tgid != creator.tgid) {
            self.rare(group).creator = Some(creator);
        }
        // The child runs its creator's program until it execs.
        if self.groups[group].executable.is_none()
            && let Some(creators) = self.find(creator.key).and_then(|ix| self.tasks[ix].group)
        {
            let executable = self.groups[creators].executable.clone();
            self.groups[group].executable = executable;
        }
    }

    pub(super) fn on_clone_failed(&mut self, at: Ktime, failed: &CloneFailed, out: &mut Vec<Effect>) {
        let told = Told::observed(at);
        let Some(creator) = failed.creator else {
            self.stats.unattributable += 1;
            return;
        };
        let Some((ix, _)) = self.subject(creator, told, out) else { return };
        self.seen_running(ix, at);
        let &CloneFailed { clone_flags, exit_signal, errno, .. } = failed;
        self.tell(out, ix, told, Action::CloneFailed { clone_flags, exit_signal, errno });
    }
}
