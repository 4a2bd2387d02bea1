//! The lineage of every task on a host, from `copy_process()` to `release_task()`.
//!
//! [`Lineage`] takes records of the kernel side ([`Lineage::apply`]) and time ([`Lineage::tick`]). It keeps the task tree and the
//! history of each thread group, and returns [`Effect`]s. It is pure: no event loop, no files, no clock; time is an argument.
//!
//! # States
//!
//! A task moves down this list only, so records and snapshots can be merged in any order ([`TaskState`]):
//!
//! ```text
//!              copy_process()                 another task's record names it
//!                    |                                     |
//!                    v                                     v
//!                 Running  <----- its own record ------  Implied
//!                    |
//!                    |  do_exit()
//!                    v
//!                 Exiting
//!                    |
//!                    |  exit_notify()
//!          +---------+----------------------------+
//!          |                                      |
//!          v                                      v
//!       Zombie  (EXIT_ZOMBIE)                   Dead  (EXIT_DEAD: a thread, or the parent ignores SIGCHLD)
//!          |                                      |
//!          |  release_task(), by a wait(2)        |  release_task(), by itself
//!          +------------------+-------------------+
//!                             v
//!                         Released   (kept for a while, so that late records are recognised)
//! ```
//!
//! Two exceptions go back: a leader that another thread replaces by execve(2) lives on (`apply/de_thread`), and a snapshot
//! can show a task that an earlier snapshot did not (`reconcile/snapshot`).
//!
//! # Modules
//!
//! | module | what |
//! |---|---|
//! | `model` | input and output: records, effects, lives |
//! | `store` | tasks, groups and the links between them; its fields are private and `Store::check` states the invariants |
//! | `apply` | one file for each kernel event |
//! | `reconcile` | uncertain facts: snapshots, concluded ends, conflicts between records and snapshots, zombies after a loss |
//! | `accounting` | what ended tasks used: CPU time, page faults, context switches |
//! | `history` | processes that ended, and queries |
//! | [`blocked`] | tasks that stay in uninterruptible sleep |
//!
//! Dependencies point one way: `model` <- `store` <- `accounting`, `history`, `apply` <- `reconcile`. Methods of [`Lineage`] call
//! each other across `apply`, `reconcile` and `accounting`, because one kernel event has consequences in all three.
//!
//! # Kernel terms
//!
//! | term | meaning |
//! |---|---|
//! | task | one `task_struct`: a thread. Identified by tid and start time, because tids are reused |
//! | thread group | the tasks with the same tgid: what users call a process. Its leader is the task with tid == tgid |
//! | `real_parent` | the task that is sent the exit signal; a tracer is the `parent` of a traced task instead |
//! | zombie | a leader in `EXIT_ZOMBIE` **and no other task left in its group**: only a wait(2) is missing |
//! | dead leader | a leader in `EXIT_ZOMBIE` whose group has live threads: no wait(2) can reap it |
//! | reaper | the task that runs `release_task()` on another |
//! | new reaper | the task that the children of an exiting task go to, `find_new_reaper()` |
//! | `de_thread()` | execve(2) by a thread that is not the leader: it takes over the leader's tid and start time |
//! | second turn | `release_task()` of a group's last thread also releases the dead leader, in a second turn of its loop |
//! | last switch | the final `sched_switch` of a dead task: its CPU time does not change any more |
//! | rung | the way a hook is attached: kprobe, fentry or tracepoint. Tracepoints see releases an RCU grace period late |
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::todo,
        clippy::unimplemented,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

mod accounting;
mod apply;
pub mod blocked;
mod config;
mod history;
pub mod leaks;
mod model;
mod reconcile;
mod store;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use std::vec::Drain;

pub use self::config::{Config, Room};
pub use self::history::held::{Kept, Memory};
pub use self::history::query::{GroupView, TaskView};
pub use self::model::action_kind::ActionKind;
pub use self::model::arguments::Arguments;
pub use self::model::before_exec::BeforeExec;
pub use self::model::brief::{Brief, Change, Wanted, WantedActions, WantedDeaths};
pub use self::model::cgroup_counts::CgroupCounts;
pub use self::model::debt::Debt;
pub use self::model::effect::{Action, Effect, Provenance};
pub use self::model::life::{End, Life, LifeState};
pub use self::model::path_name::PathName;
pub use self::model::relation::Relation;
pub use self::model::stats::Stats;
pub use self::model::task::{StateCounts, TaskKind, TaskState};
pub use self::model::usage::{ChildrenUsage, Descent, GroupUsage, Share};
pub use self::model::{death, effect, figures, flags, id, leak, record, scope, status};

use self::accounting::Accounting;
use self::apply::death::Deaths;
use self::apply::scope::Scopes;
use self::history::exited_processes::ExitedProcesses;
use self::model::id::{GroupKey, Ktime, TaskKey, Tgid};
use self::model::record::{Fact, Record};
use self::reconcile::Reconcile;
use self::store::Store;
use self::store::slot::task::Task;
use self::store::tables::arena::Ix;

/// A record that is further ahead of the caller's clock than this, a day, is refused. The bound is wide because the caller may
/// have been stopped between reading the clock and the record.
const FUTURE_NS: u64 = 86_400_000_000_000;

/// The task tree of a host, and the history of its processes.
///
/// Feed it records with [`Lineage::apply`] and time with [`Lineage::tick`]; it returns [`Effect`]s.
pub struct Lineage {
    config: Config,
    store: Store,
    /// Facts that are uncertain until a record or elapsed time settles them.
    reconcile: Reconcile,
    /// What ended tasks used.
    accounting: Accounting,
    /// Processes that ended, kept for a while.
    exited: ExitedProcesses,
    /// Execs whose arguments come in the next record of their task.
    awaiting_args: HashMap<TaskKey, Effect>,
    /// Arguments of processes that are older than the first record, until they call execve(2) or end; empty unless requested.
    older_arguments: HashMap<GroupKey, Arc<Arguments>>,
    /// The latest time of any effect so far.
    emitted_until: Ktime,
    /// The processes whose effects are built. For all other processes, `briefs` has what happened since briefs were last taken.
    wanted: Wanted,
    briefs: Vec<Brief>,
    stats: Stats,
    /// Signals that may end a group, and how groups ended.
    deaths: Deaths,
    /// Cgroups that tasks are in, and those that have ended.
    scopes: Scopes,
    /// Outcome of the current record.
    outcome: Outcome,
    /// Whether a record may take a shorter path, for which nearly every record qualifies. Tests compare it with the general path.
    takes_shortcuts: bool,
}

/// What [`Lineage::apply`] did with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was merged into the tree. It may have changed nothing.
    Applied,
    /// It names a tid that no kernel assigns, creates or ends the idle task, or has a time in the future.
    Refused,
}

impl Lineage {
    /// Returns a lineage that has only the idle task, which no fork created.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let mut lineage = Self {
            store: Store::new(config.room),
            reconcile: Reconcile::default(),
            accounting: Accounting::default(),
            exited: ExitedProcesses::default(),
            awaiting_args: HashMap::new(),
            older_arguments: HashMap::new(),
            emitted_until: Ktime(0),
            wanted: Wanted::All,
            briefs: Vec::new(),
            stats: Stats::default(),
            deaths: Deaths::default(),
            scopes: Scopes::default(),
            outcome: Outcome::Applied,
            takes_shortcuts: true,
            config,
        };
        lineage.init_idle_task();
        lineage
    }

    /// Sets the age at which a zombie is flagged. Zombies that are flagged already stay flagged.
    pub const fn set_zombie_after(&mut self, after: Duration) {
        self.config.zombie_after = after;
    }

    /// Sets the length at which an uninterruptible sleep is flagged; zero flags none. Flagged sleeps stay flagged.
    pub const fn set_blocked_after(&mut self, after: Duration) {
        self.config.blocked_after = after;
    }

    /// Sets when something is a leak. What is flagged stays flagged until the next poll.
    pub const fn set_leaks(&mut self, thresholds: leaks::Thresholds) {
        self.config.leaks = thresholds;
    }

    /// Returns when something is a leak.
    #[must_use]
    pub const fn leak_thresholds(&self) -> leaks::Thresholds {
        self.config.leaks
    }

    /// Sets how many ended processes are remembered. [`Lineage::shed_lives`] forgets those above the limit.
    pub const fn set_dead_lives(&mut self, most: usize) {
        self.config.dead_lives = most;
    }

    /// Sets whether `Released` of a leader carries the whole life, which costs an allocation for each process.
    pub const fn set_reports_lives(&mut self, reports: bool) {
        self.config.reports_lives = reports;
    }

    /// Sets the processes whose effects are built from now on; the tree does not depend on it.
    pub const fn set_wanted(&mut self, wanted: Wanted) {
        self.wanted = wanted;
    }

    /// Makes every record take the general path, to which tests compare the shorter ones.
    #[doc(hidden)]
    pub const fn take_no_shortcuts(&mut self) {
        self.takes_shortcuts = false;
    }

    /// Takes what happened since the last call to processes whose effects are not built, in order.
    pub fn take_briefs(&mut self) -> Drain<'_, Brief> {
        self.briefs.drain(..)
    }

    /// Frees memory for more than `most` briefs: a comparison of many tasks creates many at once.
    pub fn trim_briefs(&mut self, most: usize) {
        self.briefs.shrink_to(most);
    }

    /// Marks groups that the kernel hides from the programs: no record shows what they do, or what is done to them.
    pub fn set_hidden(&mut self, groups: impl IntoIterator<Item = Tgid>) {
        self.reconcile.hidden = groups.into_iter().collect();
    }

    /// Returns how long an uninterruptible sleep may last before it is flagged.
    #[must_use]
    pub const fn blocked_after(&self) -> Duration {
        self.config.blocked_after
    }

    /// The best number of records to pass to [`Lineage::prefetch`] at once.
    pub const PREFETCHED: usize = Store::PREFETCHED;

    /// Prefetches the cache lines that the next records need. Changes nothing; reads the first [`Lineage::PREFETCHED`]
    /// records only.
    pub fn prefetch(&self, records: &[Record]) {
        let records = records.get(..Self::PREFETCHED).unwrap_or(records);
        let released = records.iter().filter(|record| matches!(record.fact, Fact::Released(_)));
        black_box(self.exited.prefetch(released.count()));
        self.store.prefetch(records);
    }

    /// Applies one record and adds its effects to `out`. `now` is `CLOCK_BOOTTIME` as the caller reads it.
    pub fn apply(&mut self, record: &Record, now: Ktime, out: &mut Vec<Effect>) -> Outcome {
        self.stats.records += 1;
        self.outcome = Outcome::Applied;
        let at = record.at;
        let from = out.len();
        if at.since(now) > FUTURE_NS {
            self.refuse();
            return self.outcome;
        }
        if !self.awaiting_args.is_empty() {
            self.stop_waiting_for_args(&record.fact, out);
        }
        match &record.fact {
            Fact::New(new) => self.on_new(at, new, out),
            Fact::CloneFailed(failed) => self.on_clone_failed(at, failed, out),
            Fact::Exec(exec) => self.on_exec(at, exec, out),
            Fact::ExecArgs(args) => self.on_exec_args(args, out),
            Fact::Renamed(renamed) => self.on_renamed(at, renamed, out),
            Fact::Exiting(exiting) => self.on_exiting(at, exiting, out),
            Fact::Exited(exited) => self.on_exited(at, exited, out),
            Fact::Reparented(reparented) => self.on_reparented(at, reparented, out),
            Fact::Released(released) => self.on_released(at, released, out),
            Fact::Snapshot(snapshot) => self.on_snapshot(at, snapshot, out),
            Fact::CgroupAttached(attached) => self.on_cgroup_attached(at, attached, out),
            Fact::Signal(sent) => self.on_signal(at, sent),
            Fact::OomVictim(oom) => self.on_oom_victim(at, oom),
            Fact::CgroupChanged(changed) => self.on_cgroup_changed(at, changed, out),
        }
        self.release_after_rcu(out);
        self.expire(now.max(at), 2, out);
        self.finish(from, out);
        self.outcome
    }

    /// Ends a change: packs the extra facts of zombies, and sets in each effect how late it is.
    #[inline]
    pub(crate) fn finish(&mut self, from: usize, out: &mut [Effect]) {
        self.store.pack_extras();
        self.mark_late(from, out);
    }

    /// Sets in each effect how far it lies before an effect that was emitted already, ns.
    fn mark_late(&mut self, from: usize, out: &mut [Effect]) {
        for effect in out.iter_mut().skip(from) {
            effect.late_ns = self.emitted_until.since(effect.at);
            self.emitted_until = self.emitted_until.max(effect.at);
        }
    }

    /// Counts the present record as one that no kernel produces.
    const fn refuse(&mut self) {
        self.stats.refused += 1;
        self.outcome = Outcome::Refused;
    }

    /// Returns counters of how records were handled.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Checks every link and count against each other; the error names the first that is wrong. Slow: for tests, and after a panic
    /// in a query.
    pub fn check(&self) -> Result<(), String> {
        self.store.check()
    }

    /// Forgets a released task.
    fn forget(&mut self, ix: Ix<Task>) {
        self.close_account(ix);
        self.store.remove_released(ix);
    }
}
