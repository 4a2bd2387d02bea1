//! Counters of what happens to tasks.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};

use super::families::seconds;
use super::names::{ERRNOS, KINDS, REASONS, REPARENT_KINDS, reason};
use crate::lineage::{
    TaskKind,
    death::Cause,
    effect::{Action, Effect, ReaperKind},
    flags::errno_name,
    status::WaitStatus,
};

/// Upper bounds of zombie durations, seconds: from a prompt wait to an incident.
const ZOMBIE_BUCKETS: [f64; 10] = [0.0001, 0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 86_400.0];

/// Upper bounds of exit durations, seconds: from a small process to one whose memory or disk holds it.
const EXIT_BUCKETS: [f64; 8] = [0.0001, 0.0003, 0.001, 0.01, 0.1, 1.0, 10.0, 60.0];

/// A counter with one label; its children are found by index.
struct Family(Vec<IntCounter>);

impl Family {
    fn register<'a>(
        registry: &Registry,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = &'a str>,
    ) -> prometheus::Result<Self> {
        let vec = IntCounterVec::new(Opts::new(name, help), &[label])?;
        let children = values.into_iter().map(|value| vec.with_label_values(&[value])).collect();
        registry.register(Box::new(vec))?;
        Ok(Self(children))
    }

    /// Raises the counter at an index of the label's values.
    fn raise(&self, index: usize) {
        if let Some(counter) = self.0.get(index) {
            counter.inc();
        }
    }
}

/// Counters of effects.
pub(super) struct EffectCounters {
    creations: Family,
    /// Failed calls of `copy_process()`, if the hooks report them.
    failed: Option<Family>,
    execs: IntCounter,
    takeovers: IntCounter,
    renames: IntCounter,
    /// Exits by kind of task, then by reason.
    exits: Vec<Family>,
    /// Deaths by cause.
    deaths: Family,
    reaps: Family,
    autoreaps: Family,
    releases: IntCounter,
    reparentings: Family,
    leader_deaths: IntCounter,
    stuck: IntCounter,
    flagged: IntCounter,
    blocked: IntCounter,
    zombie_seconds: Histogram,
    exit_seconds: Histogram,
}

fn index_of<T: PartialEq>(values: &[T], value: &T) -> usize {
    values.iter().position(|other| other == value).unwrap_or(usize::MAX)
}

fn counter(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntCounter> {
    let counter = IntCounter::new(name, help)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

fn histogram(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> prometheus::Result<Histogram> {
    let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?;
    registry.register(Box::new(histogram.clone()))?;
    Ok(histogram)
}

fn deaths(registry: &Registry) -> prometheus::Result<Family> {
    Family::register(
        registry,
        "taskscope_deaths_total",
        "Processes that ended, by cause: docs/deaths.md. A process that exited by itself counts as `exited`, with any code.",
        "cause",
        Cause::ALL.iter().map(|cause| cause.code()),
    )
}

impl EffectCounters {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let kinds = || KINDS.iter().map(|kind| kind.name());
        let counter = |name, help| counter(registry, name, help);
        let exits = IntCounterVec::new(
            Opts::new(
                "taskscope_exits_total",
                "Processes and threads that ended, by kind and by how: exit code 0, another one, a signal, a signal with a core dump. A process ends with its last thread.",
            ),
            &["kind", "reason"],
        )?;
        let exits_by_kind = KINDS
            .iter()
            .map(|kind| {
                Family(REASONS.iter().map(|reason| exits.with_label_values(&[kind.name(), reason])).collect())
            })
            .collect();
        registry.register(Box::new(exits))?;
        let histogram = |name, help, buckets| histogram(registry, name, help, buckets);
        let zombie_seconds = histogram(
            "taskscope_zombie_duration_seconds",
            "How long processes were zombies before they were reaped: the time their parent took to wait(2). By tracepoint up to an RCU grace period too long.",
            &ZOMBIE_BUCKETS,
        )?;
        let exit_seconds = histogram(
            "taskscope_exit_duration_seconds",
            "How long tasks were in do_exit() before exit_notify(): memory, files and locks are released there.",
            &EXIT_BUCKETS,
        )?;
        Ok(Self {
            creations: Family::register(
                registry,
                "taskscope_tasks_created_total",
                "Tasks that copy_process() made, by kind.",
                "kind",
                kinds(),
            )?,
            failed: None,
            execs: counter("taskscope_execs_total", "Successful calls of execve(2).")?,
            takeovers: counter(
                "taskscope_exec_takeovers_total",
                "Calls of execve(2) by a thread that is not its group's leader; it ends all others.",
            )?,
            renames: counter(
                "taskscope_renames_total",
                "Changes of a task's name (comm), by itself or by an exec.",
            )?,
            exits: exits_by_kind,
            deaths: deaths(registry)?,
            reaps: Family::register(
                registry,
                "taskscope_reaps_total",
                "Dead processes that were reaped, by which process: the parent's wait(2), a tracer, a pid namespace's init during its own exit, an exiting parent.",
                "by",
                ReaperKind::ALL.iter().map(|kind| kind.name()),
            )?,
            autoreaps: Family::register(
                registry,
                "taskscope_autoreaps_total",
                "Tasks that need no wait(2): threads, and processes whose parent ignores SIGCHLD.",
                "kind",
                kinds(),
            )?,
            releases: counter(
                "taskscope_releases_total",
                "Tasks that release_task() released: their pid is free again.",
            )?,
            reparentings: Family::register(
                registry,
                "taskscope_reparentings_total",
                "Children that were reparented because their parent exited, by what their new parent is.",
                "to",
                REPARENT_KINDS.iter().map(|kind| kind.name()),
            )?,
            leader_deaths: counter(
                "taskscope_leader_deaths_total",
                "Processes whose main thread ended while others live on.",
            )?,
            stuck: counter(
                "taskscope_exits_stuck_total",
                "Tasks found in do_exit() for longer than 10 seconds.",
            )?,
            flagged: counter(
                "taskscope_zombies_flagged_total",
                "Zombies that grew older than --zombie-after without a wait(2).",
            )?,
            blocked: counter(
                "taskscope_blocked_flagged_total",
                "Uninterruptible sleeps that lasted longer than --blocked-after.",
            )?,
            zombie_seconds,
            exit_seconds,
        })
    }

    /// Registers the counter of failed calls of `copy_process()`, because the attached hooks report them. Without such hooks the
    /// metric does not exist.
    pub(super) fn register_failures(&mut self, registry: &Registry) -> prometheus::Result<()> {
        if self.failed.is_none() {
            self.failed = Some(Family::register(
                registry,
                "taskscope_clone_failures_total",
                "Calls of fork(2), vfork(2) and clone(2) that failed, by errno: EAGAIN is a limit on pids reached. Absent if copy_process is watched by a tracepoint: use taskscope_pids_refused_forks_total then.",
                "errno",
                ERRNOS,
            )?);
        }
        Ok(())
    }

    pub(super) fn count(&self, effect: &Effect) {
        let kind = index_of(&KINDS, &effect.thread.kind);
        if let Action::Exited { exit_ns: Some(ns), .. } = &effect.action {
            self.exit_seconds.observe(seconds(*ns));
        }
        match &effect.action {
            Action::Forked { .. } => self.creations.raise(kind),
            Action::CloneFailed { errno, .. } => {
                let name = errno_name(*errno).unwrap_or("other");
                if let Some(failed) = &self.failed {
                    failed.raise(index_of(&ERRNOS, &name).min(ERRNOS.len() - 1));
                }
            }
            Action::Execed { .. } => self.execs.inc(),
            Action::ExecTakeover { .. } => self.takeovers.inc(),
            Action::Renamed { .. } => self.renames.inc(),
            Action::Exited { .. } if is_other_thread(effect) => {
                self.exit(kind, effect.thread.exit_code.map(WaitStatus));
            }
            Action::GroupExited { death, .. } => {
                self.exit(kind, effect.process.status);
                let by_itself = if effect.process.status.is_some() { Cause::Exited } else { Cause::Unknown };
                let cause = death.as_ref().map_or(by_itself, |death| death.cause);
                self.deaths.raise(index_of(&Cause::ALL, &cause));
            }
            Action::LeaderDied { .. } => self.leader_deaths.inc(),
            Action::ExitStuck { .. } => self.stuck.inc(),
            Action::ZombieFlagged { .. } => self.flagged.inc(),
            Action::Reparented { kind, .. } => self.reparentings.raise(index_of(&REPARENT_KINDS, kind)),
            Action::Reaped { reaper, zombie } => {
                let by = reaper.map_or(ReaperKind::Other, |reaper| reaper.kind);
                self.reaps.raise(index_of(&ReaperKind::ALL, &by));
                if let Some(zombie) = zombie {
                    self.zombie_seconds.observe(seconds(zombie.ns));
                }
            }
            Action::Autoreaped => self.autoreaps.raise(kind),
            Action::Released { .. } => self.releases.inc(),
            Action::BlockedFlagged(_) => self.blocked.inc(),
            Action::BlockedCleared { .. }
            | Action::Exiting { .. }
            | Action::Exited { .. }
            | Action::ZombieBegan { .. } => {}
        }
    }

    fn exit(&self, kind: usize, status: Option<WaitStatus>) {
        if let Some(family) = self.exits.get(kind) {
            family.raise(reason(status));
        }
    }
}

/// Whether the effect is about a thread that is not its group's leader.
fn is_other_thread(effect: &Effect) -> bool {
    effect.thread.key.tid != effect.process.key.tgid.leader() && effect.thread.kind != TaskKind::Process
}
