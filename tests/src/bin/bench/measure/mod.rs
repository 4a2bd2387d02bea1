//! One file for each measurement.

pub(crate) mod growth;
pub(crate) mod idle;
pub(crate) mod latency;
pub(crate) mod programs;
pub(crate) mod replay;
pub(crate) mod storms;
pub(crate) mod viewers;
