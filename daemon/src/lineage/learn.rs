//! Facts that any record may bring. What can change carries the time it was seen: an older word does not undo a newer one.

use super::Lineage;
use super::arena::Ix;
use super::flags::{PF_IO_WORKER, PF_USER_WORKER};
use super::group::{Group, fact};
use super::id::{Ktime, TaskRef};
use super::record::{Comm, Place};
use super::task::{Task, known};

impl Lineage {
    pub(super) fn learn_flags(&mut self, ix: Ix<Task>, flags: Option<u32>) {
        if let Some(flags) = flags {
            let task = &mut self.tasks[ix];
            task.flags = flags;
            task.known |= known::FLAGS;
            if flags & PF_IO_WORKER != 0 {
                task.known |= known::IO_WORKER;
            }
            if flags & PF_USER_WORKER != 0 {
                task.known |= known::USER_WORKER;
            }
        }
    }

    /// False if a newer comm is known.
    pub(super) fn learn_comm(&mut self, ix: Ix<Task>, comm: Option<Comm>, at: Ktime) -> bool {
        let Some(comm) = comm else { return false };
        let task = &mut self.tasks[ix];
        if task.knows(known::COMM) && task.comm_at > at {
            return false;
        }
        task.comm = comm;
        task.comm_at = at;
        task.known |= known::COMM;
        true
    }

    pub(super) fn learn_place(&mut self, ix: Ix<Task>, place: &Place, at: Ktime) {
        let Some(group) = self.tasks[ix].group else { return };
        let is_leader = self.groups[group].leader == Some(ix);
        let mut profile = *self.profile(group);
        if let Some(namespace) = place.namespace {
            let task = &mut self.tasks[ix];
            task.vtid = namespace.vtid;
            task.known |= known::VTID;
            let members = &mut self.groups[group];
            let former = self.profiles.get(members.profile).namespace;
            if former != namespace.inode && self.namespaces.get(&former) == Some(&group) {
                self.namespaces.remove(&former);
            }
            profile.namespace = namespace.inode;
            profile.namespace_level = namespace.level;
            members.set(fact::NAMESPACE, true);
            // A group's id is its leader's.
            if let (Some(vtgid), Some(leader)) = (namespace.vtgid, members.leader) {
                self.tasks[leader].vtid = vtgid;
                self.tasks[leader].known |= known::VTID;
            }
            if is_leader && namespace.vtid == 1 && namespace.level > 0 {
                self.namespaces.insert(namespace.inode, group);
            }
        }
        let attached_at = self.rare_of(&self.groups[group]).map_or(Ktime(0), |rare| rare.attached_at);
        let members = &mut self.groups[group];
        // An exec is newer than anything the birth can tell of the group.
        if is_leader && members.exec_at <= at {
            if let Some(cgroup_id) = place.cgroup_id.filter(|_| attached_at <= at) {
                profile.cgroup_id = cgroup_id;
                members.set(fact::CGROUP, true);
            }
            if let Some((uid, euid)) = place.credentials {
                (profile.uid, profile.euid) = (uid, euid);
                members.set(fact::CREDENTIALS, true);
            }
        }
        self.profiles.change(&mut members.profile, &profile);
    }

    pub(super) fn learn_exit_signal(&mut self, group: Ix<Group>, signal: Option<i32>) {
        // -1 is a thread's; a leader shows it only in the middle of an exec by another thread.
        if let Some(signal) = signal.filter(|&signal| signal >= 0) {
            let members = &mut self.groups[group];
            members.exit_signal = signal;
            members.set(fact::EXIT_SIGNAL, true);
        }
    }

    pub(super) fn learn_tracer(&mut self, group: Ix<Group>, tracer: Option<TaskRef>) {
        if tracer.is_some() || self.rare_of(&self.groups[group]).is_some() {
            self.rare(group).tracer = tracer;
        }
    }
}
