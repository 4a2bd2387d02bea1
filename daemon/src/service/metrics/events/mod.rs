//! Counters of events, raised with each effect: `effects`, and `durations` with its histograms; `stops` of units and containers;
//! `replayed`: the same counters for a recording.

mod durations;
pub(super) mod effects;
mod replayed;
pub(super) mod stops;

pub use self::replayed::EventMetrics;
