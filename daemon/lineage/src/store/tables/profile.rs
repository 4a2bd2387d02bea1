//! Facts that many groups share: cgroup, pid namespace, credentials, clone flags. Each combination is stored once, and a group
//! has its number, four bytes.
#![cfg_attr(
    not(test),
    expect(clippy::indexing_slicing, reason = "only `change` makes numbers of slots, and slots stay")
)]

use std::collections::HashMap;

use crate::model::cgroup_counts::CgroupCounts;

/// One combination. Bits of [`fact`](crate::store::slot::group::fact) show which fields are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Profile {
    pub(crate) cgroup_id: u64,
    pub(crate) clone_flags: u64,
    pub(crate) namespace: u32,
    pub(crate) namespace_level: u32,
    pub(crate) uid: u32,
    pub(crate) euid: u32,
}

/// The number of a [`Profile`]. The default is the profile of a group without known facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProfileIx(u32);

impl ProfileIx {
    /// Returns the number.
    pub(crate) const fn number(self) -> usize {
        self.0 as usize
    }
}

#[derive(Debug)]
struct Slot {
    profile: Profile,
    /// The number of groups and exited processes that refer to it.
    holders: u32,
    /// The tasks of these groups, so that those of a cgroup are known without a walk over all groups.
    counts: CgroupCounts,
}

/// Entries for combinations that were used lately, by a hash of a few bits.
const RECENT: usize = 64;
/// A sweep needs at least this many combinations.
const SMALL: usize = 1024;

/// All combinations in use, and some that were in use.
#[derive(Debug)]
pub(crate) struct Profiles {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_value: HashMap<Profile, u32>,
    recent: [u32; RECENT],
    sweep_at: usize,
}

impl Default for Profiles {
    fn default() -> Self {
        let nothing_known = Slot { profile: Profile::default(), holders: 1, counts: CgroupCounts::default() };
        Self {
            slots: vec![nothing_known],
            free: Vec::new(),
            by_value: HashMap::from([(Profile::default(), 0)]),
            recent: [0; RECENT],
            sweep_at: SMALL,
        }
    }
}

impl Profile {
    fn recent_place(&self) -> usize {
        let ids = self.cgroup_id ^ (u64::from(self.namespace) << 20) ^ (u64::from(self.uid) << 40);
        let mixed = (ids ^ self.clone_flags.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // The topmost bits: only these depend on all others. The low byte of the flags is always zero.
        (mixed >> (u64::BITS - RECENT.ilog2())) as usize % RECENT
    }
}

impl Profiles {
    pub(crate) fn get(&self, ix: ProfileIx) -> &Profile {
        &self.slots[ix.0 as usize].profile
    }

    /// Changes `held` to the number of another combination.
    pub(crate) fn change(&mut self, held: &mut ProfileIx, profile: &Profile) {
        if self.get(*held) == profile {
            return;
        }
        let place = profile.recent_place();
        let recent = self.recent[place];
        let new = if self.slots[recent as usize].profile == *profile {
            recent
        } else {
            self.find_or_insert(profile)
        };
        self.recent[place] = new;
        self.slots[new as usize].holders += 1;
        self.release(*held);
        *held = ProfileIx(new);
    }

    /// Removes one reference. The combination stays until a sweep, because the next process probably has the same.
    pub(crate) fn release(&mut self, held: ProfileIx) {
        if held != ProfileIx::default() {
            self.slots[held.0 as usize].holders -= 1;
        }
    }

    /// Returns the counts of the groups that have this combination. The caller changes them with the tasks of a group.
    pub(crate) fn counts_mut(&mut self, held: ProfileIx) -> &mut CgroupCounts {
        &mut self.slots[held.0 as usize].counts
    }

    /// Returns the combinations that groups with tasks have, with the counts of these tasks.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&Profile, &CgroupCounts)> {
        let slots = self.slots.iter().filter(|slot| slot.counts != CgroupCounts::default());
        slots.map(|slot| (&slot.profile, &slot.counts))
    }

    /// Returns the counts of all combinations, by number.
    pub(crate) fn all_counts(&self) -> impl Iterator<Item = &CgroupCounts> {
        self.slots.iter().map(|slot| &slot.counts)
    }

    #[cold]
    fn find_or_insert(&mut self, profile: &Profile) -> u32 {
        if let Some(&known) = self.by_value.get(profile) {
            return known;
        }
        if self.by_value.len() >= self.sweep_at {
            self.sweep();
        }
        let slot = Slot { profile: *profile, holders: 0, counts: CgroupCounts::default() };
        let ix = if let Some(ix) = self.free.pop() {
            self.slots[ix as usize] = slot;
            ix
        } else {
            self.slots.push(slot);
            // Each combination is used by a group or an exited process, and there are far fewer than 2^32 of these.
            (self.slots.len() - 1) as u32
        };
        self.by_value.insert(*profile, ix);
        ix
    }

    /// Removes combinations without references.
    fn sweep(&mut self) {
        let (slots, free) = (&mut self.slots, &mut self.free);
        self.by_value.retain(|_, &mut ix| {
            let slot = &mut slots[ix as usize];
            if slot.holders == 0 {
                slot.profile = Profile::default();
                free.push(ix);
            }
            slot.holders > 0
        });
        // A free entry must not be found by its former content.
        self.recent = [0; RECENT];
        self.sweep_at = (self.by_value.len() * 2).max(SMALL);
    }

    /// Combinations kept.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.by_value.len()
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
            + self.free.capacity() * size_of::<u32>()
            + self.by_value.capacity() * (size_of::<(Profile, u32)>() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_cgroup(cgroup_id: u64) -> Profile {
        Profile { cgroup_id, ..Profile::default() }
    }

    #[test]
    fn a_combination_is_kept_once() {
        let mut profiles = Profiles::default();
        let (mut one, mut two) = (ProfileIx::default(), ProfileIx::default());
        profiles.change(&mut one, &of_cgroup(7));
        profiles.change(&mut two, &of_cgroup(8));
        profiles.change(&mut two, &of_cgroup(7));
        assert_eq!(one, two);
        assert_eq!(profiles.get(one).cgroup_id, 7);
        profiles.change(&mut two, &Profile::default());
        assert_eq!(two, ProfileIx::default());
    }

    #[test]
    fn combinations_that_take_turns_have_places_of_their_own() {
        // As of a group before its flags are known, of a fork and of a vfork.
        let flags = [0, 0x120_0000, 0x4100];
        let mut places = flags.map(|clone_flags| Profile { clone_flags, ..of_cgroup(4711) }.recent_place());
        places.sort_unstable();
        assert!(places.is_sorted_by(|one, other| one < other), "{places:?}");
    }

    #[test]
    fn unused_combinations_are_removed_and_the_others_stay() {
        let mut profiles = Profiles::default();
        let mut kept = ProfileIx::default();
        profiles.change(&mut kept, &of_cgroup(1));
        let mut passing = ProfileIx::default();
        for id in 2..20 * SMALL as u64 {
            profiles.change(&mut passing, &of_cgroup(id));
            assert_eq!(profiles.get(passing).cgroup_id, id);
        }
        assert!(profiles.len() <= SMALL + 1, "{}", profiles.len());
        assert_eq!(profiles.get(kept).cgroup_id, 1);
    }
}
