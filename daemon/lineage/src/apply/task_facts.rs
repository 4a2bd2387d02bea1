//! Facts that any record may bring. What can change carries the time it was seen: an older word does not undo a newer one.

use crate::Lineage;
use crate::model::flags::{PF_IO_WORKER, PF_USER_WORKER};
use crate::model::id::{Ktime, TaskRef};
use crate::model::record::{Comm, Place};
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

    /// False if a newer comm is known.
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

    pub(crate) fn learn_place(&mut self, ix: Ix<Task>, place: &Place, at: Ktime) {
        let Some(group) = self.store[ix].group() else { return };
        let is_leader = self.store[group].leader() == Some(ix);
        if let Some(namespace) = place.namespace {
            let task = &mut self.store[ix];
            task.vtid = namespace.vtid;
            task.known |= known::VTID;
            let is_init = is_leader && namespace.vtid == 1 && namespace.level > 0;
            self.store.set_namespace(group, namespace.inode, namespace.level, is_init);
            if let Some(vtgid) = namespace.vtgid {
                let members = &mut self.store[group];
                members.vtgid = vtgid;
                members.set(fact::VTGID, true);
            }
        }
        let members = &mut self.store[group];
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

    pub(crate) fn learn_exit_signal(&mut self, group: Ix<Group>, signal: Option<i32>) {
        // -1 is a thread's; a leader shows it only in the middle of an exec by another thread.
        if let Some(signal) = signal.filter(|&signal| signal >= 0) {
            let members = &mut self.store[group];
            members.exit_signal = signal;
            members.set(fact::EXIT_SIGNAL, true);
        }
    }

    pub(crate) fn learn_tracer(&mut self, group: Ix<Group>, tracer: Option<TaskRef>) {
        if tracer.is_some() || self.store[group].rare().is_some() {
            self.store.rare(group).tracer = tracer;
        }
    }
}
