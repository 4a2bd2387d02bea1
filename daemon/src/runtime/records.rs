//! Passes records to the lineage and counts them by kind.
//!
//! - `local_facts`: adds what only /proc and cgroups have, as soon as the record arrives
//! - `sums`, `place`: whether each record is either applied or counted as lost, and where it was lost

pub(super) mod local_facts;
pub(super) mod place;
pub(super) mod sums;

use probe_common::Kind;

use super::{Counts, RecordedLineage};
use crate::lineage::{
    Outcome,
    effect::Effect,
    id::Ktime,
    record::{Fact, Record},
};

/// Applies a record to the lineage and counts the outcome.
pub(super) fn apply_record(
    lineage: &mut RecordedLineage,
    counts: &mut Counts,
    record: &Record,
    now: Ktime,
    effects: &mut Vec<Effect>,
) {
    let became = match lineage.apply(record, now, effects) {
        Outcome::Applied => &mut counts.applied,
        Outcome::Refused => &mut counts.refused,
    };
    count(became, kind_of(record));
}

pub(super) fn count(counts: &mut [u64; Kind::COUNT], kind: Kind) {
    count_many(counts, kind, 1);
}

pub(super) fn count_many(counts: &mut [u64; Kind::COUNT], kind: Kind, records: usize) {
    if let Some(count) = counts.get_mut(kind as usize) {
        *count += records as u64;
    }
}

pub(super) const fn kind_of(record: &Record) -> Kind {
    match record.fact {
        Fact::New(_) => Kind::TaskNew,
        Fact::CloneFailed(_) => Kind::CloneFailed,
        Fact::Exec(_) => Kind::Exec,
        Fact::ExecArgs(_) => Kind::ExecArgs,
        Fact::Renamed(_) => Kind::Renamed,
        Fact::Exiting(_) => Kind::Exiting,
        Fact::Exited(_) => Kind::Exited,
        Fact::Reparented(_) => Kind::Reparented,
        Fact::Released(_) => Kind::Released,
        Fact::Snapshot(_) => Kind::Snapshot,
        Fact::CgroupAttached(_) => Kind::CgroupAttached,
        Fact::Signal(_) => Kind::SignalSent,
        Fact::OomVictim(_) => Kind::OomVictim,
        Fact::CgroupChanged(_) => Kind::CgroupChanged,
    }
}
