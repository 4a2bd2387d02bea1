//! Packs the extra facts of a zombie into 20 bytes; an [`Extra`] is four times as large. The packing loses nothing: facts that do
//! not fit stay in an `Extra`.

use crate::model::id::{GroupKey, Ktime, Tgid};
use crate::model::kinds::ReparentKind;
use crate::store::slot::group::{Extra, Group};
use crate::store::tables::arena::Ix;

/// With the task, the group, its usage and its entry in the index, a zombie takes 256 bytes.
const BYTES: usize = 20;

/// The first two bytes show which facts follow. Their lowest bits are `Extra::known`.
const FIRST_PARENT: u16 = 1 << 0;
const FIRST_PARENT_START: u16 = 1 << 1;
const LEADER_DIED_AT: u16 = 1 << 2;
const HIDDEN_THREADS: u16 = 1 << 3;
const PARENT_SHOWN: u16 = 1 << 4;
/// The parent that a record showed last is the first parent.
const SHOWN_IS_FIRST: u16 = 1 << 5;
/// A [`ReparentKind`], or 0.
const KIND_SHIFT: u32 = 6;
const KIND: u16 = 7 << KIND_SHIFT;
/// It was reparented once.
const REPARENTED: u16 = 1 << 9;
/// It was reparented more than once; the number follows.
const REPARENTINGS: u16 = 1 << 10;
const REPARENTED_AT: u16 = 1 << 11;
const SHOWN_AT: u16 = 1 << 12;
const THREADS: u16 = 1 << 13;
const RENAMES: u16 = 1 << 14;
/// The number of hidden threads is known and not 0.
const ANY_HIDDEN: u16 = 1 << 15;

const KINDS: [ReparentKind; 4] =
    [ReparentKind::SiblingThread, ReparentKind::Subreaper, ReparentKind::NamespaceInit, ReparentKind::Init];

/// A bit for each time that an [`Extra`] can have.
const TIMES: [u16; 4] = [FIRST_PARENT_START, REPARENTED_AT, LEADER_DIED_AT, SHOWN_AT];
/// Each time has half a byte with its length in bytes. With this bit, the time counts from `Base::parent_at`.
const FROM_PARENT_AT: u8 = 1 << 3;
const MOST_TIME_BYTES: usize = 7;
const TGID_BYTES: usize = 3;

/// The extra facts of a zombie, each in as few bytes as it needs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SmallExtra([u8; BYTES]);

const _: () = assert!(size_of::<SmallExtra>() == BYTES, "a zombie's bytes are budgeted: see tests/memory.rs");

/// The two times that stored times count from; most times are near one of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Base {
    start: Ktime,
    parent_at: Ktime,
}

impl Base {
    pub(crate) const fn of(group: &Group) -> Self {
        Self { start: group.start, parent_at: group.parent_at }
    }
}

/// Returns the number of bytes that a number needs.
const fn length(number: u64) -> usize {
    (64 - number.leading_zeros()).div_ceil(8) as usize
}

/// Returns the distance of a time from another; the lowest bit is the direction.
const fn distance(time: Ktime, from: Ktime) -> u64 {
    let signed = time.0.wrapping_sub(from.0).cast_signed();
    (signed << 1 ^ signed >> 63).cast_unsigned()
}

const fn at_distance(distance: u64, from: Ktime) -> Ktime {
    Ktime(from.0.wrapping_add(distance >> 1 ^ (distance & 1).wrapping_neg()))
}

/// Writes into the 20 bytes until they are full.
struct Writer {
    bytes: [u8; BYTES],
    at: usize,
}

impl Writer {
    /// Writes the lowest bytes of a number. Returns `None` if there is no room.
    fn put(&mut self, number: u64, bytes: usize) -> Option<()> {
        let room = self.bytes.get_mut(self.at..self.at + bytes)?;
        room.copy_from_slice(number.to_le_bytes().get(..bytes)?);
        self.at += bytes;
        Some(())
    }

    /// Writes a number of variable length: the highest bit of each byte shows whether another byte follows.
    fn put_count(&mut self, mut count: u32) -> Option<()> {
        while count > 0x7f {
            self.put(u64::from(count & 0x7f | 0x80), 1)?;
            count >>= 7;
        }
        self.put(u64::from(count), 1)
    }

    fn put_tgid(&mut self, tgid: Tgid) -> Option<()> {
        if length(u64::from(tgid.0)) > TGID_BYTES {
            return None;
        }
        self.put(u64::from(tgid.0), TGID_BYTES)
    }

    fn put_times(&mut self, times: impl Iterator<Item = Ktime> + Clone, base: Base) -> Option<()> {
        let near = |time| {
            let (from_start, from_parent_at) = (distance(time, base.start), distance(time, base.parent_at));
            if from_start <= from_parent_at { (from_start, 0) } else { (from_parent_at, FROM_PARENT_AT) }
        };
        let mut lengths = 0;
        let mut count = 0;
        for (distance, from) in times.clone().map(near) {
            let bytes = length(distance);
            if bytes > MOST_TIME_BYTES {
                return None;
            }
            lengths |= (bytes as u64 | u64::from(from)) << (4 * count);
            count += 1;
        }
        self.put(lengths, usize::div_ceil(count, 2))?;
        for (distance, _) in times.map(near) {
            self.put(distance, length(distance))?;
        }
        Some(())
    }
}

/// Reads what a [`Writer`] wrote.
struct Reader<'a> {
    bytes: &'a [u8; BYTES],
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, bytes: usize) -> u64 {
        let mut number = [0; 8];
        for byte in number.iter_mut().take(bytes) {
            *byte = self.bytes.get(self.at).copied().unwrap_or_default();
            self.at += 1;
        }
        u64::from_le_bytes(number)
    }

    fn take_count(&mut self) -> u32 {
        let (mut count, mut shift) = (0, 0);
        loop {
            // One byte.
            let byte = self.take(1) as u32;
            count |= (byte & 0x7f) << shift;
            shift += 7;
            if byte <= 0x7f || shift > 28 {
                return count;
            }
        }
    }

    fn take_tgid(&mut self) -> Tgid {
        // Three bytes.
        Tgid(self.take(TGID_BYTES) as u32)
    }

    fn take_times<const N: usize>(&mut self, are_there: [bool; N], base: Base) -> [Option<Ktime>; N] {
        let count = are_there.iter().filter(|&&is_there| is_there).count();
        let mut lengths = self.take(count.div_ceil(2));
        are_there.map(|is_there| {
            is_there.then(|| {
                let (bytes, from) = (lengths & 7, lengths & u64::from(FROM_PARENT_AT));
                lengths >>= 4;
                let distance = self.take(bytes as usize);
                at_distance(distance, if from == 0 { base.start } else { base.parent_at })
            })
        })
    }
}

impl SmallExtra {
    /// Packs an [`Extra`]. Returns `None` if it does not fit. `Extra::threads` is ignored.
    pub(crate) fn pack(extra: &Extra, base: Base) -> Option<Self> {
        if extra.pending.is_some() || extra.rare.is_some() {
            return None;
        }
        let first = extra.first_parent();
        let shown = extra.parent_shown();
        let hidden = extra.hidden_threads().unwrap_or_default();
        let kind = match extra.reparent_kind {
            None => 0,
            Some(kind) => KINDS.iter().position(|&other| other == kind)? as u16 + 1,
        };
        let is_first_shown = shown.is_some() && shown == first.map(|first| first.tgid);
        let has_threads = extra.threads_created > 0 || extra.threads_peak > 0;
        let facts = bit(FIRST_PARENT, first.is_some())
            | bit(FIRST_PARENT_START, first.is_some_and(|first| first.start.is_some()))
            | bit(LEADER_DIED_AT, extra.leader_died_at().is_some())
            | bit(HIDDEN_THREADS, extra.hidden_threads().is_some())
            | bit(PARENT_SHOWN, shown.is_some())
            | bit(SHOWN_IS_FIRST, is_first_shown)
            | kind << KIND_SHIFT
            | bit(REPARENTED, extra.reparented == 1)
            | bit(REPARENTINGS, extra.reparented > 1)
            | bit(REPARENTED_AT, extra.reparented_at != Ktime(0))
            | bit(SHOWN_AT, extra.parent_shown_at != Ktime(0))
            | bit(THREADS, has_threads)
            | bit(RENAMES, extra.renames > 0)
            | bit(ANY_HIDDEN, hidden > 0);
        let mut to = Writer { bytes: [0; BYTES], at: 0 };
        to.put(u64::from(facts), size_of::<u16>())?;
        let times = [
            first.and_then(|first| first.start).unwrap_or_default(),
            extra.reparented_at,
            extra.leader_died_at().unwrap_or_default(),
            extra.parent_shown_at,
        ];
        let known = TIMES.into_iter().zip(times).filter(|&(time, _)| facts & time != 0);
        to.put_times(known.map(|(_, time)| time), base)?;
        if let Some(first) = first {
            to.put_tgid(first.tgid)?;
        }
        if let Some(shown) = shown.filter(|_| !is_first_shown) {
            to.put_tgid(shown)?;
        }
        if has_threads {
            to.put_count(extra.threads_created)?;
            to.put_count(extra.threads_peak)?;
        }
        for count in [hidden, extra.renames, if extra.reparented > 1 { extra.reparented } else { 0 }] {
            if count > 0 {
                to.put_count(count)?;
            }
        }
        Some(Self(to.bytes))
    }

    /// Returns the unpacked [`Extra`].
    pub(crate) fn unpack(&self, base: Base) -> Extra {
        let mut from = Reader { bytes: &self.0, at: 0 };
        // Two bytes.
        let facts = from.take(size_of::<u16>()) as u16;
        let has = |fact| facts & fact != 0;
        let mut extra = Extra::default();
        let [first_start, reparented_at, leader_died_at, shown_at] = from.take_times(TIMES.map(has), base);
        let first = has(FIRST_PARENT).then(|| GroupKey { tgid: from.take_tgid(), start: first_start });
        extra.set_first_parent(first);
        if has(PARENT_SHOWN) {
            let shown = first.map(|first| first.tgid).filter(|_| has(SHOWN_IS_FIRST));
            extra.set_parent_shown(Some(shown.unwrap_or_else(|| from.take_tgid())));
        }
        if has(THREADS) {
            extra.threads_created = from.take_count();
            extra.threads_peak = from.take_count();
        }
        let [hidden, renames, reparented] =
            [ANY_HIDDEN, RENAMES, REPARENTINGS].map(|count| if has(count) { from.take_count() } else { 0 });
        if has(HIDDEN_THREADS) {
            extra.set_hidden_threads(hidden);
        }
        extra.renames = renames;
        extra.reparented = if has(REPARENTED) { 1 } else { reparented };
        extra.reparented_at = reparented_at.unwrap_or_default();
        extra.parent_shown_at = shown_at.unwrap_or_default();
        if let Some(at) = leader_died_at {
            extra.set_leader_died_at(at);
        }
        let kind = usize::from((facts & KIND) >> KIND_SHIFT);
        extra.reparent_kind = kind.checked_sub(1).and_then(|kind| KINDS.get(kind).copied());
        extra
    }
}

const fn bit(bit: u16, is_set: bool) -> u16 {
    if is_set { bit } else { 0 }
}

/// The place of a group's extra facts, in one word: none, an [`Extra`], or a [`SmallExtra`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExtraIx(u32);

/// The place of a group's extra facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExtraPlace {
    Nothing,
    Full(Ix<Extra>),
    Small(Ix<SmallExtra>),
}

/// The bit of a place in the table of [`SmallExtra`]; there are far fewer than 2^31 slots.
const IS_SMALL: u32 = 1 << 31;

impl ExtraIx {
    pub(crate) const fn full(ix: Ix<Extra>) -> Self {
        Self(ix.number())
    }

    pub(crate) const fn small(ix: Ix<SmallExtra>) -> Self {
        Self(ix.number() | IS_SMALL)
    }

    pub(crate) const fn is_nothing(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn is_small(self) -> bool {
        self.0 & IS_SMALL != 0
    }

    pub(crate) fn get(self) -> ExtraPlace {
        if self.is_small() {
            Ix::of_number(self.0 & !IS_SMALL).map_or(ExtraPlace::Nothing, ExtraPlace::Small)
        } else {
            Ix::of_number(self.0).map_or(ExtraPlace::Nothing, ExtraPlace::Full)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tables::index::TID_LIMIT;
    use proptest::prelude::*;

    /// A number of any length.
    fn number() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0..64_u32).prop_map(|(value, shift)| value >> shift)
    }

    fn time() -> impl Strategy<Value = Ktime> {
        prop_oneof![Just(Ktime(0)), number().prop_map(Ktime)]
    }

    fn count() -> impl Strategy<Value = u32> {
        prop_oneof![Just(0), Just(1), (any::<u32>(), 0..32_u32).prop_map(|(value, shift)| value >> shift)]
    }

    fn extra() -> impl Strategy<Value = Extra> {
        let first = prop::option::of((0..TID_LIMIT, prop::option::of(time())));
        let kind = prop::option::of(prop::sample::select(KINDS.to_vec()));
        let known =
            (first, prop::option::of(0..TID_LIMIT), prop::option::of(time()), prop::option::of(count()));
        (known, (time(), time(), kind), (count(), count(), count(), count())).prop_map(
            |(known, times, counts)| {
                let (first, shown, leader_died_at, hidden) = known;
                let mut extra = Extra::default();
                extra.set_first_parent(first.map(|(tgid, start)| GroupKey { tgid: Tgid(tgid), start }));
                extra.set_parent_shown(shown.map(Tgid));
                if let Some(at) = leader_died_at {
                    extra.set_leader_died_at(at);
                }
                if let Some(hidden) = hidden {
                    extra.set_hidden_threads(hidden);
                }
                (extra.reparented_at, extra.parent_shown_at, extra.reparent_kind) = times;
                (extra.reparented, extra.renames, extra.threads_created, extra.threads_peak) = counts;
                extra
            },
        )
    }

    proptest! {
        #[test]
        fn what_fits_comes_back_as_it_was(extra in extra(), start in time(), parent_at in time()) {
            let base = Base { start, parent_at };
            if let Some(small) = SmallExtra::pack(&extra, base) {
                assert_eq!(format!("{:?}", small.unpack(base)), format!("{extra:?}"));
            }
        }

        #[test]
        fn times_keep_their_distance(time in time(), from in time()) {
            assert_eq!(at_distance(distance(time, from), from), time);
        }
    }

    const DAY: u64 = 86_400_000_000_000;

    /// A host that is up for more than a year, and a process that lived for some time on it.
    fn fits(lived_ns: u64, change: impl FnOnce(&mut Extra)) -> bool {
        let died_at = Ktime(400 * DAY);
        let base = Base { start: Ktime(died_at.0 - lived_ns), parent_at: died_at };
        let mut extra = Extra::default();
        change(&mut extra);
        SmallExtra::pack(&extra, base).is_some()
    }

    fn orphan(extra: &mut Extra, kind: ReparentKind) {
        let start = Some(Ktime(2_000_000_000));
        extra.set_first_parent(Some(GroupKey { tgid: Tgid(TID_LIMIT - 1), start }));
        (extra.reparented, extra.reparent_kind) = (1, Some(kind));
        extra.reparented_at = Ktime(400 * DAY - 1_000);
    }

    #[test]
    fn an_orphan_of_a_parent_that_is_a_year_old_fits() {
        for kind in KINDS {
            assert!(fits(300 * DAY, |extra| orphan(extra, kind)));
        }
    }

    #[test]
    fn so_does_one_of_which_the_parent_was_concluded() {
        assert!(fits(300 * DAY, |extra| {
            orphan(extra, ReparentKind::Init);
            extra.set_parent_shown(Some(Tgid(TID_LIMIT - 1)));
            extra.parent_shown_at = Ktime(400 * DAY - 2_000);
        }));
    }

    #[test]
    fn so_does_an_orphan_with_many_threads() {
        assert!(fits(300 * DAY, |extra| {
            orphan(extra, ReparentKind::Subreaper);
            (extra.threads_created, extra.threads_peak) = (10_000, 100);
        }));
    }

    #[test]
    fn so_do_any_number_of_threads_and_names_if_the_leader_died_first() {
        assert!(fits(300 * DAY, |extra| {
            (extra.threads_created, extra.threads_peak, extra.renames) = (u32::MAX, TID_LIMIT, 1);
            extra.set_hidden_threads(0);
            extra.set_leader_died_at(Ktime(400 * DAY - 3_600_000_000_000));
        }));
    }

    #[test]
    fn what_does_not_fit_stays_in_full() {
        assert!(!fits(300 * DAY, |extra| {
            orphan(extra, ReparentKind::Init);
            extra.set_parent_shown(Some(Tgid(1)));
            extra.parent_shown_at = Ktime(50 * DAY);
            extra.set_leader_died_at(Ktime(60 * DAY));
        }));
    }
}
