//! Present tasks, and parents that do not reap their zombies.

use prometheus::{Gauge, GaugeVec, IntGauge, IntGaugeVec};

use super::{
    families::{Families, int, seconds},
    sources::Sources,
    top::{ParentSeries, parent_series},
};
use crate::{lineage::TaskState, runtime::Pipeline};

/// States of tasks.
const STATES: [&str; 4] = ["running", "exiting", "zombie", "dead_leader"];

/// Labels of a parent with zombies.
const WHO: [&str; 5] = ["parent", "unit", "container_id", "runtime", "pod_uid"];

/// Metrics of present tasks.
pub(super) struct TaskMetrics {
    tasks: IntGaugeVec,
    processes: IntGauge,
    zombies: IntGauge,
    zombies_old: IntGauge,
    unconfirmed: IntGauge,
    releasing: IntGauge,
    stuck_exits: IntGauge,
    blocked: IntGaugeVec,
    longest_blocked: Gauge,
    oldest_zombie: Gauge,
    parent_zombies: IntGaugeVec,
    parent_oldest: GaugeVec,
    parent_debt: GaugeVec,
    memory: IntGaugeVec,
    lives: IntGauge,
}

impl TaskMetrics {
    pub(super) fn register(of: &Families<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            tasks: of.int_gauges(
                "taskscope_tasks",
                "Tasks (processes and threads) now, by state. A dead_leader has ended while other threads of its process are alive, so no wait(2) can reap it yet.",
                &["state"],
            )?,
            processes: of.int_gauge(
                "taskscope_processes",
                "Processes now, including zombies, but without those in taskscope_processes_releasing.",
            )?,
            zombies: of.int_gauge(
                "taskscope_zombies",
                "Zombies now: dead processes that their parent has not reaped by wait(2). Dead leaders do not count, nor do reaped processes whose release was not reported yet.",
            )?,
            zombies_old: of.int_gauge("taskscope_zombies_old", "Zombies now that are older than --zombie-after.")?,
            unconfirmed: of.int_gauge(
                "taskscope_zombies_unconfirmed",
                "Zombies that may be gone: no record or snapshot has shown them since records were lost, or their parent died and /proc does not have them. They are in no other metric until a record, the kernel's iterator or /proc shows them.",
            )?,
            releasing: of.int_gauge(
                "taskscope_processes_releasing",
                "Processes that are dead but not zombies: they were reaped or autoreaped, and their release was not reported yet. Tracepoints report it an RCU grace period late. They are in no other metric.",
            )?,
            stuck_exits: of.int_gauge(
                "taskscope_stuck_exits",
                "Tasks now that have been in do_exit() for longer than 10 seconds: their memory, files and locks are not freed yet.",
            )?,
            blocked: of.int_gauges(
                "taskscope_blocked_tasks",
                "Tasks now in uninterruptible sleep (state D) for longer than --blocked-after. A fatal signal ends a killable sleep; an uninterruptible one ends only when what it waits for happens.",
                &["sleep"],
            )?,
            longest_blocked: of.gauge(
                "taskscope_longest_blocked_seconds",
                "Duration of the longest sleep among taskscope_blocked_tasks, as far as it was seen; 0 without one.",
            )?,
            oldest_zombie: of.gauge(
                "taskscope_oldest_zombie_age_seconds",
                "Age of the oldest zombie; 0 without one.",
            )?,
            parent_zombies: of.int_gauges(
                "taskscope_parent_zombies",
                "Zombies now by the parent that has not waited for them: its name, and the systemd unit, container and pod that it runs in. Parents with the most zombies have series if their oldest zombie is at least a second old; the sum of the others is parent=\"other\".",
                &WHO,
            )?,
            parent_oldest: of.gauges(
                "taskscope_parent_oldest_zombie_age_seconds",
                "Age of the oldest zombie, by the parents of taskscope_parent_zombies.",
                &WHO,
            )?,
            parent_debt: of.gauges(
                "taskscope_parent_reap_debt_seconds",
                "Sum of the ages of all zombies, by the parents of taskscope_parent_zombies. Many young zombies can weigh as much as a few old ones.",
                &WHO,
            )?,
            memory: of.int_gauges(
                "taskscope_lineage_bytes",
                "Memory held for living tasks and for remembered ended processes.",
                &["of"],
            )?,
            lives: of.int_gauge("taskscope_lives_remembered", "Ended processes that are still remembered.")?,
        })
    }

    pub(super) fn read(&self, pipeline: &Pipeline, sources: &mut Sources<'_>) {
        self.read_parent_series(pipeline, sources);
        let lineage = &pipeline.lineage;
        let state_counts = lineage.state_counts();
        let (dead_leaders, unconfirmed) = (lineage.dead_leader_count(), lineage.unconfirmed_count());
        let counts = [
            state_counts.of(TaskState::Implied) + state_counts.of(TaskState::Running),
            state_counts.of(TaskState::Exiting),
            state_counts.of(TaskState::Zombie).saturating_sub(dead_leaders + unconfirmed),
            dead_leaders,
        ];
        for (state, count) in STATES.iter().zip(counts) {
            self.tasks.with_label_values(&[state]).set(int(count));
        }
        let releasing = lineage.releasing_count();
        self.processes.set(int(lineage.group_count().saturating_sub(unconfirmed + releasing)));
        self.releasing.set(int(releasing));
        self.zombies.set(int(lineage.zombie_count()));
        self.zombies_old.set(int(lineage.flagged_count()));
        self.unconfirmed.set(int(unconfirmed));
        self.stuck_exits.set(int(lineage.stuck_count()));
        let (blocked, killable) = pipeline.blocked.flagged();
        self.blocked.with_label_values(&["uninterruptible"]).set(int(blocked.saturating_sub(killable)));
        self.blocked.with_label_values(&["killable"]).set(int(killable));
        self.longest_blocked.set(pipeline.blocked.longest().as_secs_f64());
        let oldest = lineage.zombies().next().and_then(|zombie| zombie.zombie_since());
        self.oldest_zombie.set(oldest.map_or(0.0, |since| seconds(sources.now.since(since))));
        let memory = lineage.memory();
        self.memory.with_label_values(&["live"]).set(int(memory.live));
        self.memory.with_label_values(&["dead"]).set(int(memory.dead));
        self.lives.set(int(lineage.remembered()));
    }

    fn read_parent_series(&self, pipeline: &Pipeline, sources: &mut Sources<'_>) {
        let (named, other) = parent_series(&pipeline.lineage, sources.cgroups, sources.now, sources.top);
        self.parent_zombies.reset();
        self.parent_oldest.reset();
        self.parent_debt.reset();
        for parent in named.iter().chain([&other]) {
            let ParentSeries { who, zombies, oldest, debt } = parent;
            let [unit, container, runtime, pod] = who.unit.labels();
            let labels = [who.parent.as_str(), unit, container, runtime, pod];
            self.parent_zombies.with_label_values(&labels).set(int(*zombies));
            let age = oldest.map_or(0.0, |since| seconds(sources.now.since(since)));
            self.parent_oldest.with_label_values(&labels).set(age);
            self.parent_debt.with_label_values(&labels).set(debt.as_secs_f64());
        }
    }
}
