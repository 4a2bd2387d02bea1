//! Stores facts that any record can have. A fact that can change has a time, so an older record does not overwrite a newer one.

use crate::Lineage;
use crate::model::flags::{PF_IO_WORKER, PF_USER_WORKER};
use crate::model::id::{Ktime, TaskRef};
use crate::model::record::{Comm, TaskPlace};
use crate::store::slot::group::{Group, fact};
use crate::store::slot::task::{Task, known};
use crate::store::tables::arena::Ix;

impl Lineage {
    pub(crate) fn learn_flags(&mut self, ix: Ix<Task>, flags: Option<u32>) {
        if let Some(flags) = flags {
            let task = &mut self.store[ix];
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

    /// Stores the comm. Returns false if a newer comm is known.
    pub(crate) fn learn_comm(&mut self, ix: Ix<Task>, comm: Option<Comm>, at: Ktime) -> bool {
        let Some(comm) = comm else { return false };
        let task = &mut self.store[ix];
        if task.knows(known::COMM) && task.comm_at > at {
            return false;
        }
        task.comm = comm;
        task.comm_at = at;
        task.known |= known::COMM;
        true
    }

    pub(crate) fn learn_place(&mut self, ix: Ix<Task>, place: &TaskPlace, at: Ktime) {
        let Some(group) = self.store[ix].group() else { return };
        let is_leader = self.store[group].leader() == Some(ix);
        let mut profile = *self.store.profile(group);
        if let Some(namespace) = place.namespace {
            let task = &mut self.store[ix];
            task.vtid = namespace.vtid;
            task.known |= known::VTID;
            profile.namespace = namespace.inode;
            profile.namespace_level = namespace.level;
            self.store[group].set(fact::NAMESPACE, true);
            // The vtid of a group is that of its leader.
            if let (Some(vtgid), Some(leader)) = (namespace.vtgid, self.store[group].leader()) {
                self.store[leader].vtid = vtgid;
                self.store[leader].known |= known::VTID;
            }
        }
        let attached_at = self.store.rare_of(&self.store[group]).map_or(Ktime(0), |rare| rare.attached_at);
        let is_init = is_leader && place.namespace.is_some_and(|own| own.vtid == 1 && own.level > 0);
        let members = &mut self.store[group];
        // A fork record must not overwrite what a later exec has set.
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
        self.store.set_profile(group, &profile);
        if is_init {
            self.store.set_namespace_init(group);
        }
    }

    pub(crate) fn learn_exit_signal(&mut self, group: Ix<Group>, signal: Option<i32>) {
        // Threads have the exit signal -1; a leader has it only while another thread's exec replaces it.
        if let Some(signal) = signal.filter(|&signal| signal >= 0) {
            self.store[group].set_exit_signal(signal);
        }
    }

    pub(crate) fn learn_tracer(&mut self, group: Ix<Group>, tracer: Option<TaskRef>) {
        if tracer.is_some() || self.store.rare_of(&self.store[group]).is_some() {
            self.store.rare(group).tracer = tracer;
        }
    }
}
