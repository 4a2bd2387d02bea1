//! Counts of a parent's children: forked, reaped, autoreaped, and zombies that it has not waited for.

use crate::model::kinds::{Bound, Span};

/// A parent's counts of its children.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Debt {
    /// Children whose fork a record showed.
    pub forked: u64,
    /// Children that its wait(2) calls reaped.
    pub reaped: u64,
    /// Children that the kernel released without a wait(2), because it ignores `SIGCHLD`.
    pub autoreaped: u64,
    /// Children that are zombies now and that it has not reaped.
    pub zombies: u32,
    /// Reaped children for which records showed both the death and the release.
    pub timed: u64,
    /// Sum of the times for which these children were zombies, ns.
    pub latency_sum_ns: u64,
    /// The longest of these times, ns.
    pub latency_max_ns: u64,
}

impl Debt {
    /// Counts a reaped child that was a zombie for `zombie`. Adds only exact times.
    pub(crate) fn reap(&mut self, zombie: Option<Span>) {
        self.reaped += 1;
        if let Some(Span { ns, bound: Bound::Exact }) = zombie {
            self.timed += 1;
            self.latency_sum_ns = self.latency_sum_ns.saturating_add(ns);
            self.latency_max_ns = self.latency_max_ns.max(ns);
        }
    }
}
