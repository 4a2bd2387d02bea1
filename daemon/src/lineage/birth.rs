//! `copy_process()`: a task is made, or is not.

use super::Lineage;
use super::arena::Ix;
use super::effect::{Action, Creation, Effect};
use super::flags::{CLONE_THREAD, CLONE_VFORK, CLONE_VM, PF_KTHREAD, SIGCHLD};
use super::group::{Group, fact};
use super::id::Ktime;
use super::record::{CloneFailed, Comm, New, Place};
use super::task::{Task, TaskState, known};
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
        let Some(ix) = self.subject(new.task, new.leader_start, told, out) else {
            self.stats.late += 1;
            return;
        };
        let Some(group) = self.tasks[ix].group else {
            self.stats.late += 1;
            return;
        };
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
        if task.state > TaskState::Running {
            self.stats.late += 1;
            return;
        }
        task.provenance = told.provenance;
        if task.state == TaskState::Implied {
            task.state = TaskState::Running;
            task.since = at;
        }
        let creation = new.clone_flags.map(|flags| Creation::of(flags, new.task_flags.unwrap_or(0)));
        if new.task.is_leader() {
            // A vfork'ed child that exec'ed before its birth was told does not hold anyone any more.
            let holds = creation == Some(Creation::Vfork) && self.groups[group].execs == 0;
            self.groups[group].set(fact::HOLDS_PARENT, holds);
            if let Some(parents) = self.groups[group].parent.and_then(|parent| self.tasks[parent].group) {
                self.debt(parents).forked += 1;
            }
        }
        self.tell(
            out,
            ix,
            told,
            Action::Forked { creation, clone_flags: new.clone_flags, creator: new.creator },
        );
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
            self.groups[group].executable = self.groups[creators].executable.clone();
        }
    }

    pub(super) fn on_clone_failed(&mut self, at: Ktime, failed: &CloneFailed, out: &mut Vec<Effect>) {
        let told = Told::observed(at);
        let Some(creator) = failed.creator else {
            self.stats.unattributable += 1;
            return;
        };
        let Some(ix) = self.subject(creator, None, told, out) else {
            self.stats.late += 1;
            return;
        };
        self.seen_running(ix, at);
        let &CloneFailed { clone_flags, exit_signal, errno, .. } = failed;
        self.tell(out, ix, told, Action::CloneFailed { clone_flags, exit_signal, errno });
    }

    /// A task whose own record shows it alive.
    pub(super) fn seen_running(&mut self, ix: Ix<Task>, at: Ktime) {
        let task = &mut self.tasks[ix];
        if task.state == TaskState::Implied {
            task.state = TaskState::Running;
            task.since = at;
            self.stats.learned += 1;
        }
    }

    pub(super) fn learn_flags(&mut self, ix: Ix<Task>, flags: Option<u32>) {
        if let Some(flags) = flags {
            let task = &mut self.tasks[ix];
            task.flags = flags;
            task.known |= known::FLAGS;
        }
    }

    pub(super) fn learn_comm(&mut self, ix: Ix<Task>, comm: Option<Comm>, at: Ktime) -> bool {
        let Some(comm) = comm else { return false };
        let task = &mut self.tasks[ix];
        if task.knows(known::COMM) && task.comm_at > at {
            return false;
        }
        let changed = task.comm != comm;
        task.comm = comm;
        task.comm_at = at;
        task.known |= known::COMM;
        changed
    }

    pub(super) fn learn_place(&mut self, ix: Ix<Task>, place: &Place, at: Ktime) {
        let Some(group) = self.tasks[ix].group else { return };
        let is_leader = self.groups[group].leader == Some(ix);
        if let Some(namespace) = place.namespace {
            let task = &mut self.tasks[ix];
            task.vtid = namespace.vtid;
            task.known |= known::VTID;
            let members = &mut self.groups[group];
            members.namespace = namespace.inode;
            members.namespace_level = namespace.level;
            members.set(fact::NAMESPACE, true);
            if let Some(vtgid) = namespace.vtgid {
                members.vtgid = vtgid;
                members.set(fact::VTGID, true);
            }
            if is_leader && namespace.vtid == 1 && namespace.level > 0 {
                self.namespaces.insert(namespace.inode, self.tasks[ix].key);
            }
        }
        let members = &mut self.groups[group];
        // An exec is newer than anything the birth can tell of the group.
        if !is_leader || members.exec_at > at {
            return;
        }
        if let Some(cgroup_id) = place.cgroup_id {
            members.cgroup_id = cgroup_id;
            members.set(fact::CGROUP, true);
        }
        if let Some((uid, euid)) = place.credentials {
            (members.uid, members.euid) = (uid, euid);
            members.set(fact::CREDENTIALS, true);
        }
    }

    pub(super) fn learn_exit_signal(&mut self, group: Ix<Group>, signal: Option<i32>) {
        // -1 is a thread's; a leader shows it only in the middle of an exec by another thread.
        if let Some(signal) = signal.filter(|&signal| signal >= 0) {
            let members = &mut self.groups[group];
            members.exit_signal = signal;
            members.set(fact::EXIT_SIGNAL, true);
        }
    }
}

/// The exit signal an orphan or an exec'ed process has.
pub(super) const RESET_EXIT_SIGNAL: i32 = SIGCHLD;
