//! Metrics by systemd unit, container and pod: for a bounded number of units, and one series for all others.
//!
//! A counter must not decrease. So an event is counted once, for its unit or for `other`, and never moved: a unit that gets series begins
//! at zero, the series of a unit that loses its place end, and `other` only grows.
//!
//! - `usage`: what ended tasks used
//! - `tasks`: processes created, execs, exits, and the present tasks; `events_by_cgroup`: counts these events as they arrive
//! - `ranking`: which units have series

mod events_by_cgroup;
mod ranking;
mod tasks;
mod usage;

pub(super) use self::{events_by_cgroup::EventsByCgroup, tasks::UnitTasks, usage::UnitUsage};
