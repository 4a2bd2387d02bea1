//! Leaks other than zombies, by kind, and the largest of them by process and unit.

use prometheus::{Gauge, GaugeVec, IntGaugeVec};

use super::{
    families::{Families, int},
    names::{OTHER, UNKNOWN, comm_label},
    sources::Sources,
    unit_labels::UnitLabels,
};
use crate::{lineage::leak::LeakKind, runtime::Pipeline};

/// Labels of a leak.
const LABELS: [&str; 6] = ["kind", "process", "unit", "container_id", "runtime", "pod_uid"];

/// Metrics of leaks.
pub(super) struct LeakMetrics {
    leaks: IntGaugeVec,
    per_minute: GaugeVec,
}

impl LeakMetrics {
    pub(super) fn register(of: &Families<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            leaks: of.int_gauges(
                "taskscope_leaks",
                "Leaks other than zombies now (docs/leaks.md), by kind and by certainty: a process whose number of threads only grows, a program that is restarted again and again, a process or family that forks too fast, processes that have outlived their session.",
                &["kind", "certainty"],
            )?,
            per_minute: of.gauges(
                "taskscope_leak_per_minute",
                "Threads, ends or forks in a minute of the leaks that are certain, by the process that causes them and the systemd unit, container and pod of what leaks. The largest leaks of each kind have series, the sum of the others is process=\"other\".",
                &LABELS,
            )?,
        })
    }

    /// Reads what is flagged now.
    pub(super) fn read(&self, pipeline: &Pipeline, sources: &mut Sources<'_>) {
        for kind in LeakKind::ALL {
            let (certain, likely) = pipeline.leaks.counts(kind);
            self.leaks.with_label_values(&[kind.name(), "certain"]).set(int(certain));
            self.leaks.with_label_values(&[kind.name(), "likely"]).set(int(likely));
        }
        self.per_minute.reset();
        let flagged = pipeline.leaks.flagged();
        for kind in LeakKind::ALL {
            let mut rest = 0.0;
            let certain = flagged.iter().filter(|leak| leak.kind() == kind && leak.is_certain());
            for (place, leak) in certain.enumerate() {
                let rate = leak.per_minute().unwrap_or(0.0);
                if place >= sources.top {
                    rest += rate;
                    continue;
                }
                let units = UnitLabels::of(leak.cgroup_id, sources.cgroups, sources.now);
                let name = leak.name.map_or_else(|| UNKNOWN.into(), |name| comm_label(name.bytes()));
                // Leaks of processes of one name in one unit are one series.
                self.series(kind, &name, &units).add(rate);
            }
            // Orphans have no rate.
            if kind != LeakKind::Orphans {
                self.series(kind, OTHER, &UnitLabels::other()).set(rest);
            }
        }
    }

    fn series(&self, kind: LeakKind, process: &str, units: &UnitLabels) -> Gauge {
        let [unit, container, runtime, pod] = units.labels();
        self.per_minute.with_label_values(&[kind.name(), process, unit, container, runtime, pod])
    }
}
