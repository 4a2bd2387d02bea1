//! What the owner of the lineage hands to the thread of the outputs.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::{cgroup::Place, export::Stamp, lineage::effect::Effect};

/// The data of one record.
pub(super) enum OutputLine {
    /// An event, with its sequence number.
    Event(Box<Effect>, u64, Option<Arc<Place>>),
    /// The number of records that were lost at a place.
    Gap(&'static str, u64),
}

/// The lines of one poll of the ring.
pub(super) struct Batch {
    pub(super) lines: Vec<OutputLine>,
    pub(super) stamp: Arc<Stamp>,
}

/// The number of lines in the queue.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting(pub(super) Arc<AtomicUsize>);

impl Waiting {
    pub(super) fn less(&self, count: usize) {
        self.0.fetch_sub(count, Ordering::Relaxed);
    }
}
