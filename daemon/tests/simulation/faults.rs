//! The faults that are added to a recording.

use std::collections::BTreeMap;

use proptest::prelude::*;

/// A fault, and its place in the recording: 0 is the end of the first snapshot, 65535 the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    place: u16,
    pub(crate) kind: Kind,
}

/// What is done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// The next N records are lost; the daemon notices at the next tick.
    Lose(u8),
    /// Each of the next N records comes twice.
    Double(u8),
    /// Among the next N records, neighbours of two CPUs swap places where that is possible.
    Pass(u8),
    /// The daemon is started again: it knows nothing and reads all tasks.
    Restart,
    /// All tasks are read again.
    Compare,
    /// The counters report lost records although none was lost.
    Doubt,
}

/// Returns the strategy for up to a dozen faults, which shrinks to fewer.
pub(crate) fn faults() -> impl Strategy<Value = Vec<Fault>> {
    let kind = prop_oneof![
        4 => (1..=60_u8).prop_map(Kind::Lose),
        2 => (1..=200_u8).prop_map(Kind::Double),
        2 => (1..=200_u8).prop_map(Kind::Pass),
        1 => Just(Kind::Restart),
        2 => Just(Kind::Compare),
        1 => Just(Kind::Doubt),
    ];
    proptest::collection::vec((any::<u16>(), kind).prop_map(|(place, kind)| Fault { place, kind }), 0..12)
}

/// Returns the faults by the index of the entry that they come before.
pub(crate) fn by_place(faults: &[Fault], first: usize, entries: usize) -> BTreeMap<usize, Vec<Kind>> {
    let mut places: BTreeMap<usize, Vec<Kind>> = BTreeMap::new();
    for fault in faults {
        let at = first + usize::from(fault.place) * (entries - first) / (usize::from(u16::MAX) + 1);
        places.entry(at).or_default().push(fault.kind);
    }
    places
}
