//! What a parent owes its children: the waits it has made and those it has not.

use crate::model::kinds::{Bound, Span};

/// A parent's account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Debt {
    /// Children forked, as far as seen.
    pub forked: u64,
    /// Children taken by a wait(2) of it.
    pub reaped: u64,
    /// Children that went without one, because it ignores `SIGCHLD`.
    pub autoreaped: u64,
    /// Zombies that wait for it now.
    pub zombies: u32,
    /// Of those it has taken, how many were seen both dying and being taken.
    pub timed: u64,
    /// For how long these waited for it, all together.
    pub latency_sum_ns: u64,
    /// For how long one of these waited for it at most.
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
