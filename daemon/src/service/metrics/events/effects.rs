//! Counters of what happens to tasks. They are counted outside of the registry, because its counters are atomic and therefore slow,
//! and are added to it before a scrape.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry, local::LocalIntCounter};

use super::durations::{Durations, observe};
use crate::lineage::{
    Brief, Change, death::Cause, effect::ReaperKind, flags::errno_name, leak::LeakKind, status::WaitStatus,
};
use crate::service::metrics::names::{ERRNOS, KINDS, REASONS, REPARENT_KINDS, reason};

/// A counter with one label; its children are found by index.
struct Family(Vec<LocalIntCounter>);

impl Family {
    fn register<'a>(
        registry: &Registry,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = &'a str>,
    ) -> prometheus::Result<Self> {
        let vec = IntCounterVec::new(Opts::new(name, help), &[label])?;
        let children = values.into_iter().map(|value| vec.with_label_values(&[value]).local()).collect();
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
pub(in crate::service::metrics) struct EffectCounters {
    creations: Family,
    /// Failed calls of `copy_process()`, if the hooks report them.
    failed: Option<Family>,
    execs: LocalIntCounter,
    takeovers: LocalIntCounter,
    renames: LocalIntCounter,
    /// Exits by kind of task, then by reason.
    exits: Vec<Family>,
    /// Deaths by cause.
    deaths: Family,
    reaps: Family,
    autoreaps: Family,
    releases: LocalIntCounter,
    reparentings: Family,
    scopes: Family,
    leader_deaths: LocalIntCounter,
    stuck: LocalIntCounter,
    flagged: LocalIntCounter,
    blocked: LocalIntCounter,
    /// By kind of leak.
    leaks: Family,
    durations: Durations,
}

fn index_of<T: PartialEq>(values: &[T], value: &T) -> usize {
    values.iter().position(|other| other == value).unwrap_or(usize::MAX)
}

fn counter(registry: &Registry, name: &str, help: &str) -> prometheus::Result<LocalIntCounter> {
    let counter = IntCounter::new(name, help)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter.local())
}

fn scopes(registry: &Registry) -> prometheus::Result<Family> {
    Family::register(
        registry,
        "taskscope_scopes_total",
        "Cgroups that got their first task (`began`) or lost their last (`ended`): units, containers, sessions and the slices above them.",
        "change",
        ["began", "ended"],
    )
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
    pub(in crate::service::metrics) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let kinds = || KINDS.iter().map(|kind| kind.name());
        let counter = |name, help| counter(registry, name, help);
        let exits = IntCounterVec::new(
            Opts::new(
                "taskscope_exits_total",
                "Processes and threads that ended, by kind and reason: exit code 0, another code, a signal, a signal with a core dump. A process ends with its last thread.",
            ),
            &["kind", "reason"],
        )?;
        let exits_by_kind = KINDS
            .iter()
            .map(|kind| {
                Family(
                    REASONS
                        .iter()
                        .map(|reason| exits.with_label_values(&[kind.name(), reason]).local())
                        .collect(),
                )
            })
            .collect();
        registry.register(Box::new(exits))?;
        Ok(Self {
            creations: Family::register(
                registry,
                "taskscope_tasks_created_total",
                "Tasks that copy_process() created, by kind.",
                "kind",
                kinds(),
            )?,
            failed: None,
            execs: counter("taskscope_execs_total", "Successful calls of execve(2).")?,
            takeovers: counter(
                "taskscope_exec_takeovers_total",
                "Calls of execve(2) by a thread that is not its group's leader; the kernel ends all other threads of the group.",
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
                "Tasks that release_task() released; their pids are free again.",
            )?,
            reparentings: Family::register(
                registry,
                "taskscope_reparentings_total",
                "Children that were reparented because their parent exited, by what their new parent is.",
                "to",
                REPARENT_KINDS.iter().map(|kind| kind.name()),
            )?,
            scopes: scopes(registry)?,
            leader_deaths: counter(
                "taskscope_leader_deaths_total",
                "Processes whose main thread ended while other threads were alive.",
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
            leaks: Family::register(
                registry,
                "taskscope_leaks_flagged_total",
                "Leaks other than zombies that were found (docs/leaks.md), by kind.",
                "kind",
                LeakKind::ALL.iter().map(|kind| kind.name()),
            )?,
            durations: Durations::register(registry)?,
        })
    }

    /// Registers the counter of failed calls of `copy_process()`, because the attached hooks report them. Without such hooks the
    /// metric does not exist.
    pub(in crate::service::metrics) fn register_failures(
        &mut self,
        registry: &Registry,
    ) -> prometheus::Result<()> {
        if self.failed.is_none() {
            self.failed = Some(Family::register(
                registry,
                "taskscope_clone_failures_total",
                "Calls of fork(2), vfork(2) and clone(2) that failed, by errno: EAGAIN means that a limit on pids was reached. Absent if copy_process is watched by a tracepoint: use taskscope_pids_refused_forks_total then.",
                "errno",
                ERRNOS,
            )?);
        }
        Ok(())
    }

    pub(in crate::service::metrics) fn count(&self, brief: &Brief) {
        let kind = index_of(&KINDS, &brief.kind);
        match brief.change {
            Change::Forked => self.creations.raise(kind),
            Change::CloneFailed { errno } => {
                let name = errno_name(errno).unwrap_or("other");
                if let Some(failed) = &self.failed {
                    failed.raise(index_of(&ERRNOS, &name).min(ERRNOS.len() - 1));
                }
            }
            Change::Execed { since_fork_ns } => {
                self.execs.inc();
                observe(&self.durations.to_exec, since_fork_ns);
            }
            Change::ExecTakeover => self.takeovers.inc(),
            Change::ScopeBegan => self.scopes.raise(0),
            Change::ScopeEnded => self.scopes.raise(1),
            Change::Renamed => self.renames.inc(),
            Change::Exited { thread, exit_ns } => {
                observe(&self.durations.exit, exit_ns);
                if let Some(status) = thread {
                    self.exit(kind, status);
                }
            }
            Change::GroupExited { status, cause, since_exec_ns } => {
                self.exit(kind, status);
                observe(&self.durations.run, since_exec_ns);
                self.deaths.raise(index_of(&Cause::ALL, &cause));
            }
            Change::LeaderDied => self.leader_deaths.inc(),
            Change::ExitStuck => self.stuck.inc(),
            Change::ZombieFlagged => self.flagged.inc(),
            Change::Reparented { kind } => self.reparentings.raise(index_of(&REPARENT_KINDS, &kind)),
            Change::Reaped { by, zombie_ns } => {
                self.reaps.raise(index_of(&ReaperKind::ALL, &by));
                observe(&self.durations.zombie, zombie_ns);
            }
            Change::Autoreaped => self.autoreaps.raise(kind),
            Change::Released => self.releases.inc(),
            Change::BlockedFlagged => self.blocked.inc(),
            Change::LeakFlagged { kind } => self.leaks.raise(index_of(&LeakKind::ALL, &kind)),
            Change::Uncounted => {}
        }
    }

    /// Adds what was counted to the registry.
    pub(in crate::service::metrics) fn flush(&self) {
        let Self {
            creations,
            failed,
            execs,
            takeovers,
            renames,
            exits,
            deaths,
            reaps,
            autoreaps,
            releases,
            reparentings,
            scopes,
            leader_deaths,
            stuck,
            flagged,
            blocked,
            leaks,
            durations,
        } = self;
        let families = [creations, deaths, reaps, autoreaps, reparentings, scopes, leaks];
        let families = families.into_iter().chain(failed).chain(exits).flat_map(|family| &family.0);
        let single =
            [execs, takeovers, renames, releases, leader_deaths, stuck, flagged, blocked].into_iter();
        families.chain(single).for_each(LocalIntCounter::flush);
        durations.flush();
    }

    fn exit(&self, kind: usize, status: Option<WaitStatus>) {
        if let Some(family) = self.exits.get(kind) {
            family.raise(reason(status));
        }
    }
}
