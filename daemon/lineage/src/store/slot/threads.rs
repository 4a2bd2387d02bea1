//! The tasks of a group. Most groups have one task, the leader: a byte in the group is enough for it.

use crate::store::slot::task::Task;
use crate::store::tables::arena::Ix;

/// The number of tasks of a group, and both ends of their list. The list is in the order of creation, in which the kernel
/// searches for a live thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Threads {
    /// Tasks of `present` that are not past `exit_notify()`.
    pub(crate) live: u32,
    /// Tasks that the kernel still counts: neither `Dead` nor `Released`.
    pub(crate) present: u32,
    pub(crate) first: Option<Ix<Task>>,
    pub(crate) last: Option<Ix<Task>>,
}

/// The part of [`Threads`] that is stored in the group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ThreadBits(u8);

const ANY_LIVE: u8 = 1 << 0;
const ANY_PRESENT: u8 = 1 << 1;
const SEVERAL_PRESENT: u8 = 1 << 2;
/// The list is not empty.
const LINKED: u8 = 1 << 3;
/// The list is in `Extra::threads`. Without this bit, only the leader can be in the list.
const IN_EXTRA: u8 = 1 << 4;

impl Threads {
    /// Whether the leader is the only task in the list, or the list is empty.
    pub(in crate::store) fn are_leader_only(&self, leader: Option<Ix<Task>>) -> bool {
        self.live <= 1
            && self.present <= 1
            && self.first == self.last
            && (self.first.is_none() || self.first == leader)
    }

    pub(in crate::store) fn bits(&self, is_in_extra: bool) -> ThreadBits {
        let bit = |bit: u8, is_set: bool| if is_set { bit } else { 0 };
        ThreadBits(
            bit(ANY_LIVE, self.live > 0)
                | bit(ANY_PRESENT, self.present > 0)
                | bit(SEVERAL_PRESENT, self.present > 1)
                | bit(LINKED, self.first.is_some())
                | bit(IN_EXTRA, is_in_extra),
        )
    }
}

impl ThreadBits {
    pub(in crate::store) const fn are_in_extra(self) -> bool {
        self.0 & IN_EXTRA != 0
    }

    pub(in crate::store) const fn any_live(self) -> bool {
        self.0 & ANY_LIVE != 0
    }

    pub(in crate::store) const fn several_present(self) -> bool {
        self.0 & SEVERAL_PRESENT != 0
    }

    /// Returns these bits after the leader, the only task, died or was removed.
    pub(in crate::store) const fn without_leader(self, died: bool, left: bool) -> Self {
        Self(self.0 & !((died as u8 * ANY_LIVE) | (left as u8 * ANY_PRESENT)))
    }

    /// Returns these bits for a group whose leader is the only task, once its `Extra` is removed.
    pub(in crate::store) const fn without_extra(self) -> Self {
        Self(self.0 & !IN_EXTRA)
    }

    /// Returns the oldest task of a group that has no list of tasks in its `Extra`.
    pub(in crate::store) const fn first_of_leader_only(self, leader: Option<Ix<Task>>) -> Option<Ix<Task>> {
        if self.0 & LINKED == 0 { None } else { leader }
    }

    /// Returns the [`Threads`] of a group that has no list in its `Extra`.
    pub(in crate::store) const fn leader_only(self, leader: Option<Ix<Task>>) -> Threads {
        let first = self.first_of_leader_only(leader);
        Threads {
            live: self.any_live() as u32,
            present: (self.0 & ANY_PRESENT != 0) as u32,
            first,
            last: first,
        }
    }
}
