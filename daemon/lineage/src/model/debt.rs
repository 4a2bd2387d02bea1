//! Counts of a parent's children: forked, reaped, autoreaped, and zombies that it has not waited for.

use crate::model::kinds::{Bound, Span};

/// A parent's account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Debt {
    /// Children forked, as far as seen.
    pub forked: u64,
    /// Children that its wait(2) calls reaped.
    pub reaped: u64,
    /// Children that the kernel released without a wait(2), because it ignores `SIGCHLD`.
    pub autoreaped: u64,
    /// Zombies that wait for it now.
    pub zombies: u32,
    /// Of the reaped children, those whose death and wait were both seen.
    pub timed: u64,
    /// Sum of the times for which these children were zombies, ns.
    pub latency_sum_ns: u64,
    /// The longest of these times, ns.
    pub latency_max_ns: u64,
}

impl Debt {
    /// A child was taken after this long. Only what was seen from end to end says something about the parent.
    pub(crate) fn reap(&mut self, zombie: Option<Span>) {
        self.reaped += 1;
        if let Some(Span { ns, bound: Bound::Exact }) = zombie {
            self.timed += 1;
            self.latency_sum_ns = self.latency_sum_ns.saturating_add(ns);
            self.latency_max_ns = self.latency_max_ns.max(ns);
        }
    }
}
