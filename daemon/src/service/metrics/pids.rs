//! Pids in use, their limits, and when those will be reached.

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec};

use super::{
    families::{Families, int},
    names::unit_label,
};
use crate::service::budget::Budget;

/// Metrics of the pid budget.
pub(super) struct PidMetrics {
    used: IntGaugeVec,
    limit: IntGaugeVec,
    growth: GaugeVec,
    left: GaugeVec,
    refused: IntCounterVec,
}

impl PidMetrics {
    pub(super) fn register(of: &Families<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            used: of.int_gauges(
                "taskscope_pids_used",
                "Pids in use, by what limits them: kernel.pid_max, kernel.threads-max, or the pids.max of the cgroup that is closest to its limit.",
                &["scope", "name"],
            )?,
            limit: of.int_gauges(
                "taskscope_pids_limit",
                "The limit of taskscope_pids_used.",
                &["scope", "name"],
            )?,
            growth: of.gauges(
                "taskscope_pids_growth_per_second",
                "Growth of taskscope_pids_used over the last minutes; negative when it shrinks.",
                &["scope", "name"],
            )?,
            left: of.gauges(
                "taskscope_pids_exhausted_in_seconds",
                "Time until the limit is reached at the present growth; +Inf while it does not grow.",
                &["scope", "name"],
            )?,
            refused: of.counters(
                "taskscope_pids_refused_forks_total",
                "Forks that the pids.max of some cgroup refused, as pids.events counts them; available with any hooks. Absent if no cgroup can limit pids.",
                &["scope"],
            )?,
        })
    }

    pub(super) fn read(&self, budget: &Budget) {
        for metric in [&self.used, &self.limit] {
            metric.reset();
        }
        for metric in [&self.growth, &self.left] {
            metric.reset();
        }
        for scope in budget.scopes() {
            let name = unit_label(&scope.name);
            let labels = [scope.what, name.as_str()];
            self.used.with_label_values(&labels).set(int(scope.used));
            self.limit.with_label_values(&labels).set(int(scope.limit));
            self.growth.with_label_values(&labels).set(scope.growth_per_second);
            self.left.with_label_values(&labels).set(scope.exhausted_in_seconds());
        }
        if let Some(refused) = budget.refused_forks() {
            let counter = self.refused.with_label_values(&["cgroup"]);
            counter.inc_by(refused.saturating_sub(counter.get()));
        }
    }
}
