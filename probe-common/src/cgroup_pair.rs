//! Two cgroups in one number: a task's cgroup in the v2 hierarchy, and its cgroup in the hierarchy of a v1 controller.
//!
//! Runtimes that use v1 controllers (`docker/ID`) leave their tasks in the root of the v2 hierarchy or in the cgroup of their own
//! service. A cgroup's id is its inode number (`kernfs_node.id`); each hierarchy counts from 1, the id of its root. The upper
//! half of the 64 bits is a generation, which is 0 until a hierarchy has had 2^32 nodes.

/// The bit that marks a number as a pair.
const PAIR: u64 = 1 << 63;

/// Id of the root of every hierarchy.
const ROOT: u64 = 1;

/// A task's cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CgroupPair {
    /// Id in the v2 hierarchy.
    pub unified: u64,
    /// Id in the hierarchy of the v1 controller; `None` for its root and where there is no such controller.
    pub controller: Option<u64>,
}

impl CgroupPair {
    /// Returns one number for both ids. If an id is too large, returns the v2 id alone.
    #[inline]
    #[must_use]
    pub const fn pack(unified: u64, controller: u64) -> u64 {
        if controller <= ROOT || controller >> 31 != 0 || unified >> 32 != 0 {
            return unified;
        }
        PAIR | controller << 32 | unified
    }

    /// Returns the ids that a number stands for.
    #[must_use]
    pub const fn of(number: u64) -> Self {
        if number & PAIR == 0 {
            return Self { unified: number, controller: None };
        }
        Self { unified: number & 0xffff_ffff, controller: Some((number & !PAIR) >> 32) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_survives_its_number() {
        for (unified, controller) in [(1, 2), (77, 4711), (0xffff_ffff, 0x7fff_ffff)] {
            let number = CgroupPair::pack(unified, controller);
            assert_eq!(CgroupPair::of(number), CgroupPair { unified, controller: Some(controller) });
        }
    }

    #[test]
    fn the_root_of_a_controller_and_what_is_too_large_leave_the_v2_id() {
        for (unified, controller) in [(77, 0), (77, 1), (77, 1 << 31), (1 << 32, 5)] {
            let number = CgroupPair::pack(unified, controller);
            assert_eq!(CgroupPair::of(number), CgroupPair { unified, controller: None });
        }
    }
}
