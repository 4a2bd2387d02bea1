//! Packs the usage of a group into 40 bytes, because few processes need counters of 64 bits. Usage that does not fit is stored
//! unpacked in a second table.

use crate::config::Room;
use crate::model::id::Tgid;
use crate::model::record::TaskUsage;
use crate::model::usage::GroupUsage;
use crate::store::slot::charged_to::ChargedTo;
use crate::store::tables::arena::{Arena, Ix};
use crate::store::tables::index::TID_LIMIT;

/// Bits of a time in ns: 137 seconds.
const TIME_BITS: u32 = 37;
/// Bits of a count beside each time.
const COUNT_BITS: u32 = 64 - TIME_BITS;
/// Bits of the major faults beside the parent's tgid, and beside the numbers of tasks.
const MAJOR_LOW_BITS: u32 = 10;
const MAJOR_BITS: u32 = 19;
const TASKS_BITS: u32 = 12;
const FEW_BITS: u32 = 4;

const PENDING_SHIFT: u32 = TASKS_BITS;
const UNKNOWN_SHIFT: u32 = PENDING_SHIFT + FEW_BITS;
const MAJOR_SHIFT: u32 = UNKNOWN_SHIFT + FEW_BITS;
/// The usage is known.
const IS_KNOWN: u32 = 1 << 29;
/// The usage is in the second table.
const IS_WIDE: u32 = 1 << 30;
/// [`ChargedTo::by_wait`].
const BY_WAIT: u32 = 1 << 31;

const _: () = assert!(MAJOR_SHIFT + MAJOR_BITS - MAJOR_LOW_BITS <= 29, "counts and flags share a word");
const _: () = assert!(TID_LIMIT <= 1 << (32 - MAJOR_LOW_BITS), "a tgid and the major faults share a word");

/// What a group used, and the process to which that was added. Either can be unknown.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PackedUsage {
    figures: [u64; 4],
    charged_to: u32,
    counts: u32,
}

const fn low(value: u64, bits: u32) -> u64 {
    value & ((1 << bits) - 1)
}

impl PackedUsage {
    pub(crate) fn charged_to(&self) -> Option<ChargedTo> {
        let to = self.charged_to >> MAJOR_LOW_BITS;
        (to != 0).then_some(ChargedTo { to: Tgid(to), by_wait: self.counts & BY_WAIT != 0 })
    }

    /// No process has a tgid above the limit, so such a tgid is not stored.
    pub(crate) fn set_charged_to(&mut self, charged_to: Option<ChargedTo>) {
        let charged_to = charged_to.filter(|charged_to| charged_to.to.0 < TID_LIMIT);
        let to = charged_to.map_or(0, |charged_to| charged_to.to.0);
        self.charged_to = self.charged_to & ((1 << MAJOR_LOW_BITS) - 1) | to << MAJOR_LOW_BITS;
        self.counts &= !BY_WAIT;
        if charged_to.is_some_and(|charged_to| charged_to.by_wait) {
            self.counts |= BY_WAIT;
        }
    }

    fn wide(&self) -> Option<Ix<GroupUsage>> {
        if self.counts & IS_WIDE == 0 { None } else { Ix::of_number(self.figures[0] as u32) }
    }

    fn unpack(&self) -> GroupUsage {
        let [first, second, third, fourth] = self.figures;
        let few = |shift: u32| self.counts >> shift & ((1 << FEW_BITS) - 1);
        let major_high = low(u64::from(self.counts >> MAJOR_SHIFT), MAJOR_BITS - MAJOR_LOW_BITS);
        GroupUsage {
            sum: TaskUsage {
                exec_runtime_ns: low(first, TIME_BITS),
                min_flt: first >> TIME_BITS,
                run_delay_ns: low(second, TIME_BITS),
                run_count: second >> TIME_BITS,
                utime_ns: low(third, TIME_BITS),
                nvcsw: third >> TIME_BITS,
                stime_ns: low(fourth, TIME_BITS),
                nivcsw: fourth >> TIME_BITS,
                maj_flt: major_high << MAJOR_LOW_BITS | low(u64::from(self.charged_to), MAJOR_LOW_BITS),
            },
            tasks: self.counts & ((1 << TASKS_BITS) - 1),
            pending: few(PENDING_SHIFT),
            unknown: few(UNKNOWN_SHIFT),
        }
    }

    /// Packs a usage. Returns false if it does not fit.
    fn pack(&mut self, usage: &GroupUsage) -> bool {
        let GroupUsage { sum, tasks, pending, unknown } = usage;
        let times = sum.exec_runtime_ns | sum.run_delay_ns | sum.utime_ns | sum.stime_ns;
        let counts = sum.min_flt | sum.run_count | sum.nvcsw | sum.nivcsw;
        let excess = times >> TIME_BITS
            | counts >> COUNT_BITS
            | sum.maj_flt >> MAJOR_BITS
            | u64::from(tasks >> TASKS_BITS | (pending | unknown) >> FEW_BITS);
        if excess != 0 {
            return false;
        }
        self.figures = [
            sum.exec_runtime_ns | sum.min_flt << TIME_BITS,
            sum.run_delay_ns | sum.run_count << TIME_BITS,
            sum.utime_ns | sum.nvcsw << TIME_BITS,
            sum.stime_ns | sum.nivcsw << TIME_BITS,
        ];
        // The remaining bits are below 2^19.
        let major = sum.maj_flt as u32;
        let tgid = self.charged_to >> MAJOR_LOW_BITS << MAJOR_LOW_BITS;
        self.charged_to = tgid | major & ((1 << MAJOR_LOW_BITS) - 1);
        self.counts = self.counts & BY_WAIT
            | IS_KNOWN
            | tasks
            | pending << PENDING_SHIFT
            | unknown << UNKNOWN_SHIFT
            | major >> MAJOR_LOW_BITS << MAJOR_SHIFT;
        true
    }
}

/// The usage of all groups that have a dead task: a slot for each, and a second table for usage that does not fit into a slot.
pub(crate) struct UsageStore {
    slots: Arena<PackedUsage>,
    wide: Arena<GroupUsage>,
}

impl UsageStore {
    pub(crate) const fn new(room: Option<Room>) -> Self {
        Self { slots: Arena::new(room), wide: Arena::new(None) }
    }

    /// Slots in use.
    pub(crate) const fn len(&self) -> usize {
        self.slots.len()
    }

    /// Adds an empty slot.
    pub(crate) fn insert(&mut self) -> Ix<PackedUsage> {
        self.slots.insert(PackedUsage::default())
    }

    /// Removes a slot and returns its content, which the caller must store or pass to [`UsageStore::release`].
    pub(crate) fn remove(&mut self, ix: Ix<PackedUsage>) -> PackedUsage {
        self.slots.remove(ix)
    }

    pub(crate) fn slot(&self, ix: Ix<PackedUsage>) -> &PackedUsage {
        &self.slots[ix]
    }

    pub(crate) fn slot_mut(&mut self, ix: Ix<PackedUsage>) -> &mut PackedUsage {
        &mut self.slots[ix]
    }

    pub(crate) fn usage(&self, packed: &PackedUsage) -> Option<GroupUsage> {
        if let Some(wide) = packed.wide() {
            return Some(self.wide[wide]);
        }
        (packed.counts & IS_KNOWN != 0).then(|| packed.unpack())
    }

    pub(crate) fn set_usage(&mut self, ix: Ix<PackedUsage>, usage: &GroupUsage) {
        Self::store(&mut self.wide, &mut self.slots[ix], usage);
    }

    /// Sets the usage of a `PackedUsage` that is not in a slot, such as that of an exited process.
    pub(crate) fn set_usage_of(&mut self, packed: &mut PackedUsage, usage: &GroupUsage) {
        Self::store(&mut self.wide, packed, usage);
    }

    fn store(wide: &mut Arena<GroupUsage>, packed: &mut PackedUsage, usage: &GroupUsage) {
        let before = packed.wide();
        if packed.pack(usage) {
            if let Some(before) = before {
                wide.remove(before);
            }
        } else if let Some(before) = before {
            wide[before] = *usage;
        } else {
            packed.figures = [u64::from(wide.insert(*usage).number()), 0, 0, 0];
            packed.counts = packed.counts & BY_WAIT | IS_KNOWN | IS_WIDE;
        }
    }

    /// Releases a usage.
    pub(crate) fn release(&mut self, packed: PackedUsage) {
        if let Some(wide) = packed.wide() {
            self.wide.remove(wide);
        }
    }

    /// Bytes of slots in use.
    pub(crate) const fn used_bytes(&self) -> usize {
        self.slots.used_bytes() + self.wide.used_bytes()
    }

    /// Bytes held.
    pub(crate) const fn bytes(&self) -> usize {
        self.slots.bytes() + self.wide.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn usage() -> impl Strategy<Value = GroupUsage> {
        let figure = || (any::<u64>(), 0..64_u32).prop_map(|(value, shift)| value >> shift);
        let count = || (any::<u32>(), 0..32_u32).prop_map(|(value, shift)| value >> shift);
        (prop::collection::vec(figure(), 9), count(), count(), count()).prop_map(
            |(figures, tasks, pending, unknown)| GroupUsage {
                sum: TaskUsage {
                    exec_runtime_ns: figures[0],
                    run_delay_ns: figures[1],
                    run_count: figures[2],
                    utime_ns: figures[3],
                    stime_ns: figures[4],
                    nvcsw: figures[5],
                    nivcsw: figures[6],
                    min_flt: figures[7],
                    maj_flt: figures[8],
                },
                tasks,
                pending,
                unknown,
            },
        )
    }

    proptest! {
        #[test]
        fn figures_come_back_as_they_were(usages in prop::collection::vec(usage(), 1..6), to in 0..TID_LIMIT, by_wait: bool) {
            let mut store = UsageStore::new(None);
            let ix = store.insert();
            assert_eq!(store.usage(store.slot(ix)), None);
            let charged_to = (to != 0).then_some(ChargedTo { to: Tgid(to), by_wait });
            store.slot_mut(ix).set_charged_to(charged_to);
            for usage in &usages {
                store.set_usage(ix, usage);
                assert_eq!(store.usage(store.slot(ix)).as_ref(), Some(usage));
                assert_eq!(store.slot(ix).charged_to(), charged_to);
            }
            store.slot_mut(ix).set_charged_to(None);
            assert_eq!(store.usage(store.slot(ix)).as_ref(), usages.last());
            let packed = store.remove(ix);
            store.release(packed);
            assert_eq!((store.slots.len(), store.wide.len()), (0, 0));
        }
    }

    #[test]
    fn a_usual_process_needs_no_second_table() {
        let sum = TaskUsage {
            exec_runtime_ns: 100_000_000_000,
            run_delay_ns: 100_000_000_000,
            utime_ns: 100_000_000_000,
            stime_ns: 100_000_000_000,
            run_count: 100_000_000,
            nvcsw: 100_000_000,
            nivcsw: 100_000_000,
            min_flt: 100_000_000,
            maj_flt: 500_000,
        };
        let usage = GroupUsage { sum, tasks: 4000, pending: 15, unknown: 15 };
        let mut store = UsageStore::new(None);
        let ix = store.insert();
        store.set_usage(ix, &usage);
        assert_eq!(store.usage(store.slot(ix)), Some(usage));
        assert_eq!(store.wide.len(), 0);
    }

    #[test]
    fn it_is_forty_bytes() {
        assert_eq!(size_of::<PackedUsage>(), 40);
    }
}
