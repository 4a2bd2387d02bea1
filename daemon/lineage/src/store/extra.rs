//! Facts that few groups have, in a side table, so that a group stays small: as an `Extra` while the group lives, and as a
//! `SmallExtra` once it is a zombie.

use crate::model::id::Ktime;
use crate::store::Store;
use crate::store::slot::extra_ix::{ExtraIx, ExtraPlace};
use crate::store::slot::group::{Extra, Group, Rare, fact};
use crate::store::slot::pending_reparent::PendingReparent;
use crate::store::slot::small_extra::{Base, SmallExtra};
use crate::store::slot::task::Task;
use crate::store::slot::threads::Threads;
use crate::store::tables::arena::Ix;

impl Store {
    #[inline(never)]
    pub(crate) fn extra(&mut self, group: Ix<Group>) -> &mut Extra {
        let members = &mut self.groups[group];
        let extra = match members.extra.get() {
            ExtraPlace::Full(extra) => extra,
            beside => {
                let extra = match beside {
                    ExtraPlace::Small(small) => self.small_extras.remove(small).unpack(Base::of(members)),
                    _ => Extra::default(),
                };
                let extra = self.extras.insert(extra);
                members.extra = ExtraIx::full(extra);
                extra
            }
        };
        if members.has(fact::ZOMBIE) {
            self.unpacked.push(group);
        }
        &mut self.extras[extra]
    }

    #[inline]
    pub(crate) fn extra_of(&self, group: &Group) -> Option<Extra> {
        if group.extra.is_nothing() { None } else { self.some_extra_of(group) }
    }

    #[inline(never)]
    fn some_extra_of(&self, group: &Group) -> Option<Extra> {
        match group.extra.get() {
            ExtraPlace::Nothing => None,
            ExtraPlace::Full(extra) => Some(self.extras[extra]),
            ExtraPlace::Small(small) => Some(self.small_extras[small].unpack(Base::of(group))),
        }
    }

    /// Returns the `Extra` of a group, if it has one.
    #[inline]
    fn full_extra(&self, group: &Group) -> Option<&Extra> {
        match group.extra.get() {
            ExtraPlace::Full(extra) => Some(&self.extras[extra]),
            ExtraPlace::Nothing | ExtraPlace::Small(_) => None,
        }
    }

    /// Frees the extra facts of a group that is gone, and what they refer to.
    #[inline(never)]
    pub(in crate::store) fn remove_extra(&mut self, extra: ExtraIx) {
        match extra.get() {
            ExtraPlace::Nothing => {}
            ExtraPlace::Small(small) => {
                self.small_extras.remove(small);
            }
            ExtraPlace::Full(extra) => {
                let Extra { pending, rare, .. } = self.extras.remove(extra);
                if let Some(pending) = pending {
                    self.pending_reparents.remove(pending);
                }
                if let Some(rare) = rare {
                    self.rares.remove(rare);
                }
            }
        }
    }

    /// Notes that a group became a zombie, or that a zombie lost a fact that did not fit into a `SmallExtra`.
    #[inline]
    pub(in crate::store) fn note_unpacked(&mut self, group: Ix<Group>) {
        let members = &self.groups[group];
        if members.has(fact::ZOMBIE) && matches!(members.extra.get(), ExtraPlace::Full(_)) {
            self.unpacked.push(group);
        }
    }

    /// Packs the extra facts of noted zombies into a `SmallExtra`.
    #[inline]
    pub(crate) fn pack_extras(&mut self) {
        if !self.unpacked.is_empty() {
            self.pack_noted();
        }
    }

    fn pack_noted(&mut self) {
        while let Some(group) = self.unpacked.pop() {
            let Some((extra, small)) = self.packed_extra(group) else { continue };
            self.extras.remove(extra);
            let small = self.small_extras.insert(small);
            let members = &mut self.groups[group];
            members.extra = ExtraIx::small(small);
            members.threads = members.threads.without_extra();
        }
    }

    /// Returns a zombie's `Extra` as a `SmallExtra`, if it has an `Extra` that fits.
    fn packed_extra(&self, group: Ix<Group>) -> Option<(Ix<Extra>, SmallExtra)> {
        let members = &self.groups[group];
        let ExtraPlace::Full(extra) = members.extra.get() else { return None };
        if !members.has(fact::ZOMBIE) || !self.threads_of(members).are_leader_only(members.leader) {
            return None;
        }
        Some((extra, SmallExtra::pack(&self.extras[extra], Base::of(members))?))
    }

    pub(in crate::store) fn can_pack_extra(&self, group: Ix<Group>) -> bool {
        self.packed_extra(group).is_some()
    }

    /// Changes the fields from which a `SmallExtra` counts its times. Not inlined, because frequent callers seldom need it.
    #[inline(never)]
    pub(in crate::store) fn change_base(&mut self, group: Ix<Group>, change: impl FnOnce(&mut Group)) {
        let members = &mut self.groups[group];
        let ExtraPlace::Small(small) = members.extra.get() else { return change(members) };
        let extra = self.small_extras[small].unpack(Base::of(members));
        change(members);
        if let Some(packed) = SmallExtra::pack(&extra, Base::of(members)) {
            self.small_extras[small] = packed;
        } else {
            self.small_extras.remove(small);
            members.extra = ExtraIx::full(self.extras.insert(extra));
        }
    }

    /// Notes that a record showed this parent at that time.
    #[inline]
    pub(crate) fn advance_parent_at(&mut self, group: Ix<Group>, at: Ktime) {
        let members = &mut self.groups[group];
        if at <= members.parent_at {
            return;
        }
        if members.extra.is_small() {
            self.change_base(group, |members| members.parent_at = at);
        } else {
            members.parent_at = at;
        }
    }

    /// Returns the number of tasks of a group, and both ends of their list.
    #[inline]
    pub(in crate::store) fn threads_of(&self, group: &Group) -> Threads {
        if group.threads.are_in_extra() {
            self.threads_in_extra(group)
        } else {
            group.threads.leader_only(group.leader)
        }
    }

    #[inline(never)]
    fn threads_in_extra(&self, group: &Group) -> Threads {
        self.full_extra(group).map(|extra| extra.threads).unwrap_or_default()
    }

    /// Sets the number of tasks of a group, and both ends of their list.
    #[inline]
    pub(in crate::store) fn set_threads(&mut self, group: Ix<Group>, threads: Threads) {
        let members = &mut self.groups[group];
        let is_in_extra = members.threads.are_in_extra() || !threads.are_leader_only(members.leader);
        members.threads = threads.bits(is_in_extra);
        if is_in_extra {
            self.extra(group).threads = threads;
        }
    }

    /// Returns the number of tasks of a group that are not past `exit_notify()`.
    pub(crate) fn live(&self, group: &Group) -> u32 {
        self.threads_of(group).live
    }

    /// Returns the number of tasks of a group that the kernel still counts.
    pub(crate) fn present(&self, group: &Group) -> u32 {
        self.threads_of(group).present
    }

    /// Returns the oldest task of a group.
    #[inline]
    pub(crate) fn first_thread(&self, group: Ix<Group>) -> Option<Ix<Task>> {
        let members = &self.groups[group];
        if members.threads.are_in_extra() {
            self.threads_in_extra(members).first
        } else {
            members.threads.first_of_leader_only(members.leader)
        }
    }

    pub(crate) fn rare(&mut self, group: Ix<Group>) -> &mut Rare {
        let rare = if let Some(rare) = self.extra(group).rare {
            rare
        } else {
            let rare = self.rares.insert(Rare::default());
            self.extra(group).rare = Some(rare);
            rare
        };
        &mut self.rares[rare]
    }

    #[inline]
    pub(crate) fn rare_of(&self, group: &Group) -> Option<&Rare> {
        self.full_extra(group)?.rare.map(|rare| &self.rares[rare])
    }

    /// Returns the number of threads that the kernel counted when a record showed the leader dead, and that no record has shown.
    #[inline]
    pub(crate) fn hidden_threads(&self, group: &Group) -> Option<u32> {
        self.extra_of(group)?.hidden_threads()
    }

    /// Returns when a group was last reparented; 0 if never.
    #[inline]
    pub(crate) fn reparented_at(&self, group: &Group) -> Ktime {
        self.extra_of(group).map_or(Ktime(0), |extra| extra.reparented_at)
    }

    /// Returns the uncertain reparenting of this group.
    pub(crate) fn pending_reparent(&self, group: &Group) -> Option<&PendingReparent> {
        self.full_extra(group)?.pending.map(|pending| &self.pending_reparents[pending])
    }

    /// Returns the uncertain reparenting of this group, to add steps.
    pub(crate) fn pending_reparent_mut(&mut self, group: Ix<Group>) -> Option<&mut PendingReparent> {
        let pending = self.full_extra(&self.groups[group])?.pending?;
        Some(&mut self.pending_reparents[pending])
    }

    /// Sets the uncertain reparenting of this group, and replaces an earlier one.
    pub(crate) fn set_pending_reparent(&mut self, group: Ix<Group>, pending: PendingReparent) {
        let new = self.pending_reparents.insert(pending);
        if let Some(former) = self.extra(group).pending.replace(new) {
            self.pending_reparents.remove(former);
        }
    }

    /// Removes and returns the uncertain reparenting of this group.
    pub(crate) fn take_pending_reparent(&mut self, group: Ix<Group>) -> Option<PendingReparent> {
        let ExtraPlace::Full(extra) = self.groups[group].extra.get() else { return None };
        let pending = self.extras[extra].pending.take()?;
        self.note_unpacked(group);
        Some(self.pending_reparents.remove(pending))
    }
}
