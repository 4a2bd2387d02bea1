//! What the programs report: the ring, records as bytes, counters, wake-ups.

pub mod counters;
pub mod decode;
pub(in crate::kernel) mod mapped;
pub mod observer;
pub(in crate::kernel) mod ring;
pub mod wake_ups;
pub(in crate::kernel) mod window;
