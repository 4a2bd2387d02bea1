//! Every task of a host, from `copy_process()` to `release_task()`: identity, states, tree, zombies, reparenting, reapers.
//!
//! Pure: no event loop, no files, no clock. Time is an argument. Records go in by [`Lineage::apply`] and time by
//! [`Lineage::tick`]; both answer with [`Effect`]s.
#![forbid(unsafe_code)]

mod accounting;
mod apply;
pub mod blocked;
mod history;
mod model;
mod reconcile;
mod store;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hint::black_box;
use std::time::Duration;

pub use self::history::query::{GroupView, Kept, Memory, TaskView};
pub use self::model::config::Config;
pub use self::model::debt::Debt;
pub use self::model::effect::{Action, Effect, Provenance};
pub use self::model::life::{End, Life, LifeState};
pub use self::model::path_name::PathName;
pub use self::model::relation::Relation;
pub use self::model::share::Share;
pub use self::model::state_counts::Census;
pub use self::model::stats::Stats;
pub use self::model::task::{TaskKind, TaskState};
pub use self::model::usage::{ChildrenUsage, Descent, GroupUsage};
pub use self::model::{effect, figures, flags, id, record, status};
pub use self::store::arena::Room;

use self::accounting::awaiting_last_switch::Earlies;
use self::accounting::ended_totals::Totals;
use self::history::exited_processes::Graveyard;
use self::model::id::{Ktime, TaskKey};
use self::model::record::{Fact, Record};
use self::reconcile::snapshot::Sweep;
use self::reconcile::snapshot_conflict::Disputed;
use self::store::Store;
use self::store::arena::Ix;
use self::store::task::Task;

/// A record further ahead of the caller's clock than this, a day, has a time that cannot be. The clock may be read long before the
/// record: the caller can have been stopped in between.
const FUTURE_NS: u64 = 86_400_000_000_000;

/// Every task of the host and how it came to be where it is.
///
/// Feed it records with [`Lineage::apply`] and time with [`Lineage::tick`]; it answers with [`Effect`]s.
pub struct Lineage {
    config: Config,
    store: Store,
    /// Of tasks that are dead, what they used up to their death, until their last switch tells the rest.
    earlies: Earlies,
    /// Whether children handed to another group are reported one by one.
    sees_reparenting: bool,
    /// Whether releases are reported at their beginning, with who does it.
    sees_releases: bool,
    /// Children of which it is open whether they were handed on, oldest first.
    open_handovers: VecDeque<(Ktime, TaskKey)>,
    /// Leaders whose RCU callback overtook the last switch of another task of their group.
    freed: VecDeque<(Ktime, TaskKey)>,
    /// Of these, leaders of groups that lost a task in the present record.
    releasable: Vec<(TaskKey, Ktime)>,
    /// Execs that wait for their arguments.
    awaiting_args: HashMap<TaskKey, Effect>,
    graves: Graveyard,
    /// What those used that are gone.
    ended: Totals,
    /// The snapshot being applied, and its number.
    sweep: Option<Sweep>,
    round: u8,
    had_snapshot: bool,
    /// Leaders that a snapshot found dead: whether they are zombies is known when all their threads are.
    unjudged: Vec<(TaskKey, Provenance)>,
    /// Parents that a snapshot showed and a conclusion denies: threads that it shows later may have the last word.
    disputed: BTreeMap<TaskKey, Disputed>,
    stats: Stats,
}

impl Lineage {
    /// An empty lineage: nothing but the idle task, which was never born.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let mut lineage = Self {
            store: Store::new(config.room),
            earlies: Earlies::default(),
            ended: Totals::default(),
            sees_reparenting: false,
            sees_releases: false,
            open_handovers: VecDeque::new(),
            freed: VecDeque::new(),
            releasable: Vec::new(),
            awaiting_args: HashMap::new(),
            graves: Graveyard::default(),
            sweep: None,
            round: 0,
            had_snapshot: false,
            unjudged: Vec::new(),
            disputed: BTreeMap::new(),
            stats: Stats::default(),
            config,
        };
        lineage.plant();
        lineage
    }

    /// From now on a zombie older than this is flagged. Those flagged already stay so.
    pub const fn set_zombie_after(&mut self, after: Duration) {
        self.config.zombie_after = after;
    }

    /// From now on an uninterruptible sleep longer than this is flagged; zero: none. Those flagged already stay so.
    pub const fn set_blocked_after(&mut self, after: Duration) {
        self.config.blocked_after = after;
    }

    /// How long an uninterruptible sleep may last.
    #[must_use]
    pub const fn blocked_after(&self) -> Duration {
        self.config.blocked_after
    }

    /// How many records are best handed to [`Lineage::warm`] together.
    pub const WARM: usize = Store::PREFETCHED;

    /// Fetches the cache lines that the next records are about. Changes nothing; looks at the first [`Lineage::WARM`] only.
    pub fn warm(&self, records: &[Record]) {
        let records = records.get(..Self::WARM).unwrap_or(records);
        let released = records.iter().filter(|record| matches!(record.fact, Fact::Released(_)));
        black_box(self.graves.warm(released.count()));
        self.store.prefetch(records);
    }

    /// Takes in one record; `now` is the kernel's clock as the caller has it. Effects are added to `out`.
    pub fn apply(&mut self, record: &Record, now: Ktime, out: &mut Vec<Effect>) {
        self.stats.records += 1;
        let at = record.at;
        if at.since(now) > FUTURE_NS {
            self.stats.refused += 1;
            return;
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
        }
        self.release_freed(out);
        self.expire(now.max(at), 2, out);
    }

    /// What became of the records so far.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Checks every link and count against each other; the error names the first that is wrong. Slow: for tests.
    pub fn check(&self) -> Result<(), String> {
        self.store.check()
    }

    /// Forgets a released task.
    fn forget(&mut self, ix: Ix<Task>) {
        self.close_account(ix);
        self.store.remove_released(ix);
    }
}
