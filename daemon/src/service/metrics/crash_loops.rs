//! Crash loops: units and containers whose processes keep ending by the same cause.

use std::collections::HashMap;

use prometheus::IntGaugeVec;

use super::{
    families::{Families, int},
    sources::Sources,
    unit_labels::UnitLabels,
};
use crate::{
    answer::death::{CRASH_LOOP_ENDS, recent},
    lineage::{Lineage, death::Cause},
};

/// Labels of a crash loop.
const LABELS: [&str; 5] = ["unit", "container_id", "runtime", "pod_uid", "cause"];

/// Metrics of crash loops.
pub(super) struct CrashLoopMetrics(IntGaugeVec);

impl CrashLoopMetrics {
    pub(super) fn register(of: &Families<'_>) -> prometheus::Result<Self> {
        let ends = of.int_gauges(
            "taskscope_crash_loop_ends",
            "Ends by one cause in the last 10 minutes of a systemd unit, container or pod that had 5 or more: faults, aborts, seccomp, out of memory, limits, and exits of its topmost process with a code other than 0. The crash loops with the most ends have series, the sum of the others is unit=\"other\".",
            &LABELS,
        )?;
        Ok(Self(ends))
    }

    /// Counts crash loops again.
    pub(super) fn read(&self, lineage: &Lineage, sources: &mut Sources<'_>) {
        let mut ends: HashMap<(UnitLabels, Cause), u64> = HashMap::new();
        for death in recent(lineage, sources.now) {
            let labels_of_unit = UnitLabels::of(death.cgroup_id, sources.cgroups, sources.now);
            if labels_of_unit != UnitLabels::default() {
                *ends.entry((labels_of_unit, death.cause)).or_default() += 1;
            }
        }
        let mut loops: Vec<_> = ends.into_iter().filter(|(_, count)| *count >= CRASH_LOOP_ENDS).collect();
        loops.sort_unstable_by(|(one, ends), (other, others)| others.cmp(ends).then_with(|| one.cmp(other)));
        let rest: u64 = loops.iter().skip(sources.top).map(|(_, count)| count).sum();
        self.0.reset();
        for ((labels_of_unit, cause), count) in loops.iter().take(sources.top) {
            self.set(labels_of_unit, cause.code(), *count);
        }
        self.set(&UnitLabels::other(), "", rest);
    }

    fn set(&self, labels_of_unit: &UnitLabels, cause: &str, count: u64) {
        let [unit, container, runtime, pod] = labels_of_unit.labels();
        self.0.with_label_values(&[unit, container, runtime, pod, cause]).set(int(count));
    }
}
