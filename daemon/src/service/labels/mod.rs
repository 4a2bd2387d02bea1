//! Values of the labels of metrics. Their sets are bounded.
//!
//! - `names`: fixed values, and comms and units as labels; `unit_labels`: the labels of a unit or container;
//!   `pod_names`: names of pods and containers
//! - `series_limiter`: which of the names that other programs choose get a series of their own; `top`: which parents do

pub(super) mod names;
pub(super) mod pod_names;
pub(super) mod series_limiter;
pub(super) mod top;
pub(super) mod unit_labels;
