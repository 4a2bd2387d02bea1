//! The zombies of many hosts, by parent.

use std::{cmp::Reverse, sync::Arc};

use serde::Serialize;

use super::{Merge, OfHost, RowTooLong, add_some, check};
use crate::{
    answer::{
        limits::Limit,
        zombies::{Other, ZombieParent, Zombies},
    },
    verdict::Code,
};

/// The answer of `fleet zombies`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FleetZombies {
    /// How many zombies there are.
    pub zombies: u64,
    /// Zombies that died a moment ago.
    pub just_died: u64,
    /// How many hosts have zombies that did not die a moment ago.
    pub hosts_with_zombies: u64,
    /// Parents that have not waited for them, in the order of a single host's answer.
    pub parents: Vec<OfHost<ZombieParent>>,
    /// Number of parents that are not listed.
    pub parents_left_off: u64,
    /// Processes whose leader has ended while other threads live.
    pub dead_leaders: Vec<OfHost<Other>>,
    /// Tasks that are stuck in `do_exit()`.
    pub stuck_exits: Vec<OfHost<Other>>,
    /// Limits on pids that are full.
    pub full_limits: Vec<OfHost<Limit>>,
    /// Number of entries of the three lists before that are not listed.
    #[serde(skip_serializing_if = "crate::answer::is_zero")]
    pub others_left_off: u64,
    /// The most parents that are kept.
    #[serde(skip)]
    limit: usize,
}

impl FleetZombies {
    /// Keeps the `limit` parents with most zombies.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Returns how many zombies a parent should have reaped by now.
    #[must_use]
    pub const fn overdue(&self) -> u64 {
        self.zombies.saturating_sub(self.just_died)
    }

    fn cut(&mut self) {
        // The order of a single host: most zombies first, then the oldest; those that died just now are last.
        self.parents.sort_by_cached_key(|OfHost { host, row }| {
            let is_early = row.verdict.code == Code::JustDied.name();
            let age = row.oldest.zombie_at_least_ns;
            (is_early, Reverse(row.children.zombies), Reverse(age), host.clone(), row.process.pid)
        });
        let over = self.parents.len().saturating_sub(self.limit);
        self.parents.truncate(self.limit);
        self.parents_left_off = self.parents_left_off.saturating_add(over as u64);
    }
}

impl Merge for FleetZombies {
    type Answer = Zombies;

    fn add(&mut self, host: &Arc<str>, answer: Zombies) -> Result<(), RowTooLong> {
        check(&answer.parents)?;
        check(&answer.dead_leaders)?;
        check(&answer.stuck_exits)?;
        check(&answer.full_limits)?;
        self.zombies = self.zombies.saturating_add(answer.zombies);
        self.just_died = self.just_died.saturating_add(answer.just_died);
        self.hosts_with_zombies += u64::from(answer.overdue() > 0);
        self.parents_left_off = self.parents_left_off.saturating_add(answer.parents_left_off);
        self.parents.extend(answer.parents.into_iter().map(|row| OfHost { host: host.clone(), row }));
        self.cut();
        let left_off = [
            add_some(&mut self.dead_leaders, host, answer.dead_leaders),
            add_some(&mut self.stuck_exits, host, answer.stuck_exits),
            add_some(&mut self.full_limits, host, answer.full_limits),
        ];
        self.others_left_off = left_off.into_iter().fold(self.others_left_off, u64::saturating_add);
        Ok(())
    }
}
