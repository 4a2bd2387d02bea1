//! Packs the extra facts of a zombie into 20 bytes; an [`Extra`] is four times as large. The packing loses nothing: facts that do
//! not fit stay in an `Extra`.

mod bytes;

use self::bytes::{Reader, Writer};
use crate::model::id::{GroupKey, Ktime};
use crate::model::kinds::ReparentKind;
use crate::store::slot::group::{Extra, Group};

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

#[cfg(test)]
mod tests {
    use super::bytes::{at_distance, distance};
    use super::*;
    use crate::model::id::Tgid;
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
