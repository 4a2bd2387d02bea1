//! What the owner of the lineage hands to the writer.

use std::sync::Arc;

use crate::{
    cgroup::Place,
    export::Stamp,
    lineage::{Life, effect::Effect},
};

/// The data of one line.
pub(super) enum HistoryLine {
    /// A life that has ended.
    Life(Arc<Life>, Option<Arc<Place>>),
    /// An event, with its sequence number.
    Event(Box<Effect>, u64, Option<Arc<Place>>),
    /// The number of records that were lost at a place.
    Gap(&'static str, u64),
}

/// The lines of one poll of the ring.
pub(super) struct Batch {
    pub(super) lines: Vec<HistoryLine>,
    pub(super) stamp: Arc<Stamp>,
    /// The number of the query that wants to read these and all earlier lines, if there is one.
    pub(super) flush: Option<u64>,
}
