//! The ends of processes on many hosts.

use std::{cmp::Reverse, sync::Arc};

use serde::Serialize;

use super::{Merge, OfHost, RowTooLong, add_some, check};
use crate::answer::{
    death::{CrashLoop, Death, Deaths},
    known::Known,
    time_arg::wall_ns,
};

/// The answer of `fleet deaths`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FleetDeaths {
    /// How processes ended, the last first by the hosts' wall clocks.
    pub deaths: Vec<OfHost<Death>>,
    /// Units and containers whose processes keep ending by the same cause.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub crash_loops: Vec<OfHost<CrashLoop>>,
    /// Number of crash loops that are not listed.
    #[serde(skip_serializing_if = "crate::answer::is_zero")]
    pub crash_loops_left_off: u64,
    /// What the histories of hosts cover and lack, if the answer is from them too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub histories: Vec<OfHost<Known>>,
    /// Number of histories that are not listed.
    #[serde(skip_serializing_if = "crate::answer::is_zero")]
    pub histories_left_off: u64,
    /// The most ends that are kept.
    #[serde(skip)]
    limit: usize,
}

impl FleetDeaths {
    /// Keeps the latest `limit` ends.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }
}

impl Merge for FleetDeaths {
    type Answer = Deaths;

    fn add(&mut self, host: &Arc<str>, answer: Deaths) -> Result<(), RowTooLong> {
        check(&answer.deaths)?;
        check(&answer.crash_loops)?;
        let history: Vec<Known> = answer.history.into_iter().map(|known| *known).collect();
        check(&history)?;
        self.deaths.extend(answer.deaths.into_iter().map(|row| OfHost { host: host.clone(), row }));
        // An end without a time is the last one. The sort is stable: ends of one host keep their order.
        self.deaths.sort_by_cached_key(|death| Reverse(wall_ns(&death.row.timestamp)));
        self.deaths.truncate(self.limit);
        let left_off = add_some(&mut self.crash_loops, host, answer.crash_loops);
        self.crash_loops_left_off = self.crash_loops_left_off.saturating_add(left_off);
        let left_off = add_some(&mut self.histories, host, history);
        self.histories_left_off = self.histories_left_off.saturating_add(left_off);
        Ok(())
    }
}
