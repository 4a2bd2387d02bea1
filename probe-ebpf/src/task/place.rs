//! The cgroup, pid namespace and users of a task.

use probe_common::{CgroupPair, TaskId, Valid, Where};

use super::{Task, mark};
use crate::{
    globals::offset,
    kread::{Mem, Probed, pointer},
};

/// Inode number of the initial pid namespace: `PID_NS_INIT_INO`, fixed by
/// <https://elixir.bootlin.com/linux/v6.18/source/include/uapi/linux/nsfs.h> and by `proc_ns.h` before.
const PID_NS_INIT_INO: u32 = 0xEFFF_FFFC;

/// No place known.
const NOWHERE: Where = Where { cgroup_id: 0, vtid: 0, vtgid: 0, pid_ns: 0, ns_level: 0, uid: 0, euid: 0 };

impl<M: Mem> Task<M> {
    /// Fills `place`, whose task has the id `id`.
    #[inline(always)]
    pub fn place(self, id: &TaskId, place: &mut Where, valid: &mut u32) {
        *place = NOWHERE;
        if let Some(cgroup_id) = self.cgroup_id() {
            place.cgroup_id = cgroup_id;
            mark(valid, Valid::CGROUP);
        }
        if let Some(cred) = pointer::<M>(self.base, offset!(task_cred))
            && let (Some(uid), Some(euid)) =
                (M::get(cred, offset!(cred_uid)), M::get(cred, offset!(cred_euid)))
        {
            place.uid = uid;
            place.euid = euid;
            mark(valid, Valid::CREDENTIALS);
        }
        self.namespace(id, place, valid);
    }

    /// Address of the set of cgroups that it is in, 0 where that is not known: another one after each move.
    #[inline(always)]
    pub fn css_set_address(self) -> u64 {
        self.get(offset!(task_cgroups)).unwrap_or(0)
    }

    /// Id of its cgroup in the v2 hierarchy, or of the pair with that of a v1 controller.
    #[inline(always)]
    pub fn cgroup_id(self) -> Option<u64> {
        let css_set = pointer::<M>(self.base, offset!(task_cgroups))?;
        let cgroup = pointer::<M>(css_set, offset!(css_set_dfl_cgrp))?;
        let node = pointer::<M>(cgroup, offset!(cgroup_kn))?;
        let unified = M::get(node, offset!(kernfs_id))?;
        Some(Self::controller_id(css_set).map_or(unified, |controller| CgroupPair::pack(unified, controller)))
    }

    /// Its cgroup in the v2 hierarchy.
    #[inline(always)]
    pub fn unified_cgroup(self) -> Option<*const u8> {
        let css_set = pointer::<M>(self.base, offset!(task_cgroups))?;
        pointer::<M>(css_set, offset!(css_set_dfl_cgrp))
    }

    /// Its cgroup in the hierarchy of the v1 controller that the daemon chose, if it chose one.
    #[inline(always)]
    pub fn controller_cgroup(self) -> Option<*const u8> {
        let css_set = pointer::<M>(self.base, offset!(task_cgroups))?;
        let state = pointer::<M>(css_set, offset!(css_set_controller))?;
        pointer::<M>(state, offset!(css_cgroup))
    }

    /// Returns the id of the cgroup of the v1 controller that the daemon chose. If it chose none, the offset is absent, and the
    /// verifier removes this code.
    #[inline(always)]
    fn controller_id(css_set: *const u8) -> Option<u64> {
        let state = pointer::<M>(css_set, offset!(css_set_controller))?;
        let cgroup = pointer::<M>(state, offset!(css_cgroup))?;
        let node = pointer::<M>(cgroup, offset!(cgroup_kn))?;
        M::get(node, offset!(kernfs_id))
    }

    /// Its `struct mem_cgroup`.
    #[inline(always)]
    pub fn memory_cgroup(self) -> Option<*const u8> {
        let css_set = pointer::<M>(self.base, offset!(task_cgroups))?;
        pointer::<M>(css_set, offset!(css_set_memory))
    }

    #[inline(always)]
    fn namespace(self, id: &TaskId, place: &mut Where, valid: &mut u32) {
        let Some(pid) = pointer::<M>(self.base, offset!(task_thread_pid)) else { return };
        let Some(level) = M::get::<u32>(pid, offset!(pid_level)) else { return };
        place.ns_level = level;
        if level == 0 {
            place.vtid = id.tid;
            place.vtgid = id.tgid;
            place.pid_ns = PID_NS_INIT_INO;
            return mark(valid, Valid::NAMESPACE | Valid::VTGID);
        }
        // A variable index is arithmetic that older verifiers refuse on a typed pointer: read the pointer as a number.
        let Some(pid) = pointer::<Probed>(self.base, offset!(task_thread_pid)) else { return };
        let Some((vtid, pid_ns)) = number(pid, level) else { return };
        place.vtid = vtid;
        place.pid_ns = pid_ns;
        mark(valid, Valid::NAMESPACE);
        if id.tid == id.tgid {
            place.vtgid = vtid;
            return mark(valid, Valid::VTGID);
        }
        // A thread's group lives in the same namespace, so the leader's number at the same level is the group's id there.
        if let Some(leader) = self.probed().group_leader()
            && let Some(pid) = pointer::<Probed>(leader.base, offset!(task_thread_pid))
            && let Some((vtgid, _)) = number(pid, level)
        {
            place.vtgid = vtgid;
            mark(valid, Valid::VTGID);
        }
    }
}

/// Reads `pid->numbers[level]`: the number, and the inode of its namespace. Reads with a helper, because the verifier allows no
/// direct load with a variable index.
#[inline(always)]
fn number(pid: *const u8, level: u32) -> Option<(u32, u32)> {
    let (numbers, size) = (offset!(pid_numbers), offset!(upid_size));
    if numbers == probe_common::ABSENT || size == probe_common::ABSENT {
        return None;
    }
    let upid =
        (pid as u64).wrapping_add(u64::from(numbers) + u64::from(level) * u64::from(size)) as *const u8;
    let nr = Probed::get(upid, offset!(upid_nr))?;
    let namespace = pointer::<Probed>(upid, offset!(upid_ns))?;
    Some((nr, Probed::get(namespace, offset!(ns_inum))?))
}
