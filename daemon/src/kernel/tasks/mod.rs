//! Tasks and the scheduler, read on request: the iterator, figures, histograms.

pub mod figures;
mod group_iterator;
mod iterator_file;
pub mod sched;
pub mod sched_trace;
pub mod sleepers;
pub mod snapshot;
