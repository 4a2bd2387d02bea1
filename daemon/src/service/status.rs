//! The daemon's health: hooks, records, losses, repairs, readers, memory.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::{Deserialize, Serialize};

use super::{Holdings, Service};
use crate::{
    duration,
    history::History,
    host,
    kernel::clock,
    outputs::OutputStats,
    panics,
    procfs::{OwnUsage, Procfs},
    runtime::{Pipeline, Repairs},
    timens,
};

/// `/v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it, with units; docs/api.md describes them")]
pub struct Status {
    pub version: String,
    pub instance: String,
    pub pid: u32,
    pub uptime_ns: u64,
    /// The rung of each hook; `absent` if it is not attached.
    pub hooks: BTreeMap<String, String>,
    pub tasks: u64,
    pub processes: u64,
    pub zombies: u64,
    pub zombies_old: u64,
    /// Unconfirmed zombies, which are in no other figure.
    #[serde(default)]
    pub zombies_unconfirmed: u64,
    pub dead_leaders: u64,
    pub lives_remembered: u64,
    /// Lives that were forgotten early, because there were too many or for lack of memory.
    #[serde(default)]
    pub lives_forgotten_early: u64,
    pub records_received: u64,
    pub records_dropped: u64,
    pub records_shed: u64,
    pub records_lost: u64,
    /// Lost or shed records that no complete comparison with the kernel's tasks has followed yet.
    #[serde(default)]
    pub records_uncompared: u64,
    pub repaired: BTreeMap<String, u64>,
    pub drift: BTreeMap<String, u64>,
    /// Changes that only comparisons found because this kernel hides them, by kind. They are not drift.
    #[serde(default)]
    pub hidden: BTreeMap<String, u64>,
    pub ends_concluded: u64,
    pub resyncs: u64,
    pub resync_last_ns: u64,
    pub resync_longest_ns: u64,
    pub canaries_whole: u64,
    pub canaries_broken: u64,
    pub canaries_no_pid: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary_age_ns: Option<u64>,
    /// Panics since the start, each of which cost one answer.
    pub panics: u64,
    /// The sandbox in force: `seccomp, landlock abi 7`, `none` or `off`.
    pub sandbox: String,
    pub ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_ready_because: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_but: Option<String>,
    pub events: u64,
    pub readers: u64,
    pub readers_sent: u64,
    pub readers_lost: u64,
    pub lineage_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resident_bytes: Option<u64>,
    /// What the daemon's memory is used for.
    #[serde(default)]
    pub memory: Holdings,
    /// The memory limit; absent without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_used_bytes: Option<u64>,
    /// What the daemon drops now for lack of memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_given_up: Option<String>,
    /// What the daemon has dropped so far for lack of memory.
    #[serde(default)]
    pub memory_shed: BTreeMap<String, u64>,
    /// The history on disk; absent if `history` is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<HistoryStatus>,
    /// Where events are sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<OutputStatus>,
    /// Features of the kernel side that are not available.
    pub degraded: Vec<String>,
}

/// `history` of the status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it; docs/api.md describes them")]
pub struct HistoryStatus {
    pub directory: String,
    pub lives_written: u64,
    pub events_written: u64,
    pub bytes_written: u64,
    pub lost_queue: u64,
    pub lost_disk: u64,
    pub disk_bytes: u64,
    pub segments: u64,
    pub cut_bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// An element of `outputs` in the status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it; docs/api.md describes them")]
pub struct OutputStatus {
    pub name: String,
    #[serde(rename = "type")]
    pub target: String,
    pub events: u64,
    pub errors: u64,
    pub dropped: u64,
    pub retries: u64,
    pub queued: u64,
    pub spill_bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl OutputStatus {
    fn of(output: &OutputStats) -> Self {
        let figures = output.figures();
        Self {
            name: output.name.clone(),
            target: output.target.to_owned(),
            events: figures.sent,
            errors: figures.errors,
            dropped: figures.dropped,
            retries: figures.retries,
            queued: figures.queued,
            spill_bytes: figures.spilled,
            error: figures.error,
        }
    }
}

impl HistoryStatus {
    fn of(history: &History) -> Self {
        let figures = history.stats().figures();
        Self {
            directory: history.path().to_string_lossy().into_owned(),
            lives_written: figures.lives_written,
            events_written: figures.events_written,
            bytes_written: figures.bytes_written,
            lost_queue: figures.lost_queue,
            lost_disk: figures.lost_disk,
            disk_bytes: figures.disk_bytes,
            segments: figures.segments,
            cut_bytes: figures.cut_bytes,
            error: figures.error,
        }
    }
}

fn by_kind(repairs: &Repairs) -> BTreeMap<String, u64> {
    repairs.by_kind().into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect()
}

impl Status {
    /// Returns the present status.
    #[must_use]
    pub fn of(pipeline: &Pipeline, service: &Service) -> Self {
        let now = clock::boottime();
        let (lineage, counts, repairs) = (&pipeline.lineage, &pipeline.counts, &pipeline.repairs);
        let ready = service.is_ready(pipeline);
        let memory = lineage.memory();
        let shed = service.memory.shed;
        let unconfirmed = lineage.unconfirmed_count();
        let hidden = pipeline.hidden_counts().by_kind().into_iter();
        let observer = &pipeline.observer;
        let attached = observer.hooks.iter().chain(&observer.sched_hooks);
        let hooks = attached.filter_map(|hook| Some((hook.hook.to_owned(), hook.rung.clone()?)));
        let lacking =
            observer.hooks.iter().filter_map(|hook| Some(format!("{}: {}", hook.hook, hook.lacks?)));
        let unattached = observer.hooks.iter().filter(|hook| hook.rung.is_none());
        let unattached =
            unattached.map(|hook| format!("{}: not attached; not reported: {}", hook.hook, hook.gives));
        let no_figures = observer.no_figures.iter().map(|why| format!("state of tasks now: {why}"));
        let no_iterator = observer.no_iterator.iter().map(|why| format!("task iterator: {why}"));
        let no_procfs = Procfs::default().lacks().map(|why| format!("processes in /proc: {why}"));
        let no_cgroups = host::cgroup_mounts().lacks().map(|why| format!("cgroups: {why}"));
        let no_names = service.cgroups.lacks_pods().map(|why| format!("names of pods: {why}"));
        let no_counters = pipeline.no_counters.iter().map(|why| format!("losses: {why}"));
        let shifted = timens::lacks().map(|why| format!("time namespace: {why}"));
        let dropped: u64 = counts.kernel.dropped.iter().sum();
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            instance: service.instance.clone(),
            pid: std::process::id(),
            uptime_ns: now.since(service.started),
            hooks: hooks.collect(),
            tasks: lineage.state_counts().present().saturating_sub(unconfirmed) as u64,
            processes: lineage.group_count().saturating_sub(unconfirmed) as u64,
            zombies: lineage.zombie_count() as u64,
            zombies_old: lineage.flagged_count() as u64,
            zombies_unconfirmed: unconfirmed as u64,
            dead_leaders: lineage.dead_leader_count() as u64,
            lives_remembered: lineage.remembered() as u64,
            lives_forgotten_early: lineage.lives_crowded_out(),
            records_received: counts.taken(),
            records_dropped: dropped,
            records_shed: counts.kernel.shed.iter().sum(),
            records_lost: counts.lost(),
            records_uncompared: pipeline.uncompared(),
            repaired: by_kind(&repairs.repaired),
            drift: by_kind(&repairs.drift),
            hidden: hidden.map(|(kind, count)| (kind.to_owned(), count)).collect(),
            ends_concluded: lineage.stats().concluded,
            resyncs: repairs.resyncs,
            resync_last_ns: repairs.last_ns,
            resync_longest_ns: repairs.longest_ns,
            canaries_whole: pipeline.canary.whole,
            canaries_broken: pipeline.canary.broken,
            canaries_no_pid: pipeline.canary.no_pid,
            canary_age_ns: pipeline.canary.age(now).map(duration::ns),
            panics: panics::count(),
            sandbox: service.sandbox.to_string(),
            ready: ready.is_ok(),
            ready_but: match &ready {
                Ok(but) => pipeline.degraded().or_else(|| but.as_ref().map(|but| format!("ready; {but}"))),
                Err(_) => None,
            },
            not_ready_because: ready.err(),
            events: service.readers.sequence(),
            readers: service.readers.count() as u64,
            readers_sent: service.readers.sent(),
            readers_lost: service.readers.lost(),
            lineage_bytes: (memory.live + memory.dead) as u64,
            resident_bytes: OwnUsage::read().resident,
            memory: Holdings::of(lineage, &service.readers),
            memory_limit_bytes: service.memory.level.map(|level| level.max),
            memory_used_bytes: service.memory.level.map(|level| level.used),
            memory_given_up: service.memory.given_up().map(str::to_owned),
            memory_shed: [("backlog", shed.backlog), ("lives", shed.lives), ("readers", shed.readers)]
                .map(|(what, count)| (what.to_owned(), count))
                .into(),
            history: service.history.as_ref().map(HistoryStatus::of),
            outputs: service.outputs.stats().map(OutputStatus::of).collect(),
            degraded: lacking
                .chain(unattached)
                .chain(no_iterator)
                .chain(no_figures)
                .chain(no_procfs)
                .chain(shifted)
                .chain(no_counters)
                .chain(no_cgroups)
                .chain(no_names)
                .chain(pipeline.hidden.reason())
                .collect(),
        }
    }

    /// Returns one line for systemd and for the log.
    #[must_use]
    pub fn line(&self) -> String {
        let mut text = format!(
            "{} tasks, {} zombies ({} old); {} records, lost {}, repaired {}, drift {}, {} ends concluded",
            self.tasks,
            self.zombies,
            self.zombies_old,
            self.records_received,
            self.records_lost,
            self.repaired.values().sum::<u64>(),
            self.drift.values().sum::<u64>(),
            self.ends_concluded,
        );
        if let Some(age_ns) = self.canary_age_ns {
            // Writing to a String does not fail.
            let _ = write!(text, "; canary {} s ago", age_ns / 1_000_000_000);
        }
        if let Some(what) = &self.memory_given_up {
            let _ = write!(text, "; memory is short, given up: {what}");
        }
        if let Some(why) = &self.not_ready_because {
            let _ = write!(text, "; NOT READY: {why}");
        }
        if let Some(why) = &self.ready_but {
            let _ = write!(text, "; {why}");
        }
        text
    }
}
