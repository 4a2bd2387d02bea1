//! PURE: identity, task and group state machines, tree, zombies, reparenting, reapers. No tokio, no files, no clock.
#![forbid(unsafe_code)]

pub mod blocked;
pub mod death;
pub mod effect;
pub mod explain;
pub mod figures;
pub mod flags;
pub mod id;
pub mod record;
pub mod status;

mod account;
mod arena;
mod autoreap;
mod bequest;
mod birth;
mod check;
mod dead_life;
mod debt;
mod dispute;
mod early;
mod ended;
mod ending;
mod estate;
mod exec;
mod exit;
mod gone;
mod group;
mod handover;
mod heir;
mod index;
mod kinds;
mod learn;
mod life;
mod packed_usage;
mod parent;
mod passage;
mod paths;
mod profile;
mod query;
mod queue;
mod reaper;
mod release;
mod reparent;
mod resolve;
mod retention;
mod slots;
mod snapshot;
mod start;
mod stats;
mod taken;
mod takeover;
mod task;
mod tree;
mod unconfirmed;
mod usage;
mod view;
mod warm;
mod zombie;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

pub use self::arena::Room;
pub use self::debt::Debt;
pub use self::effect::{Action, Effect, Provenance};
pub use self::ended::Share;
pub use self::life::{End, Life, LifeState};
pub use self::passage::Census;
pub use self::paths::PathName;
pub use self::query::{GroupView, Kept, Memory, TaskView};
pub use self::reaper::Relation;
pub use self::stats::Stats;
pub use self::task::{TaskKind, TaskState};
pub use self::usage::{ChildrenUsage, Descent, GroupUsage};

use self::arena::{Arena, Ix};
use self::death::Deaths;
use self::debt::Account;
use self::dispute::Disputed;
use self::early::Earlies;
use self::ended::Totals;
use self::group::{Extra, Group, Rare};
use self::handover::Handover;
use self::id::{Ktime, TaskKey, Tgid};
use self::index::TidIndex;
use self::packed_usage::{PackedUsage, UsageStore};
use self::paths::Paths;
use self::profile::{Profile, Profiles};
use self::queue::Queues;
use self::record::{Fact, Record};
use self::retention::Graveyard;
use self::snapshot::Sweep;
use self::taken::Taken;
use self::task::Task;

/// A record further ahead of the caller's clock than this, a day, has a time that cannot be. The clock may be read long before the
/// record: the caller can have been stopped in between.
const FUTURE_NS: u64 = 86_400_000_000_000;

/// How a lineage behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// A zombie older than this is flagged.
    pub zombie_after: Duration,
    /// A task longer in uninterruptible sleep than this is flagged; zero: never.
    pub blocked_after: Duration,
    /// A task longer in `do_exit()` than this is told as stuck.
    pub exit_stuck_after: Duration,
    /// Each exec is followed by a record of its arguments, and waits for it.
    pub exec_args: bool,
    /// How long a released task is known as such, for records that come late.
    pub tombstone: Duration,
    /// How many of them at most.
    pub tombstones: usize,
    /// Within this time the RCU callback of a released task comes at the latest. Lazy RCU callbacks wait for up to ten seconds.
    pub release_within: Duration,
    /// How many lives that are over are remembered.
    pub dead_lives: usize,
    /// For how long they are.
    pub dead_lives_age: Duration,
    /// A task the kernel must have let go (`EXIT_DEAD`) is taken for released after this long without a word of it.
    pub dead_after: Duration,
    /// Told of each large piece of memory that is taken for tasks, so that it can be asked to be of huge pages.
    pub room: Option<Room>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            zombie_after: Duration::from_secs(10),
            blocked_after: Duration::from_secs(10),
            exit_stuck_after: Duration::from_secs(10),
            exec_args: false,
            tombstone: Duration::from_secs(10),
            tombstones: 16 * 1024,
            release_within: Duration::from_secs(12),
            dead_lives: 16 * 1024,
            dead_lives_age: Duration::from_secs(15 * 60),
            dead_after: Duration::from_secs(5),
            room: None,
        }
    }
}

/// Every task of the host and how it came to be where it is.
///
/// Feed it records with [`Lineage::apply`] and time with [`Lineage::tick`]; it answers with [`Effect`]s.
pub struct Lineage {
    config: Config,
    tasks: Arena<Task>,
    groups: Arena<Group>,
    extras: Arena<Extra>,
    rares: Arena<Rare>,
    handovers: Arena<Handover>,
    usages: UsageStore,
    profiles: Profiles,
    debts: Arena<Account>,
    /// Of tasks that are dead, what they used up to their death, until their last switch tells the rest.
    earlies: Earlies,
    /// What the dead children of a group used, where it has any.
    sums: Arena<Descent>,
    index: TidIndex,
    queues: Queues,
    paths: Paths,
    /// Init of each pid namespace below the initial one.
    namespaces: HashMap<u32, Ix<Group>>,
    /// Groups that were seen to adopt orphans.
    subreapers: u32,
    /// Dead leaders with live threads.
    dead_leaders: usize,
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
    /// The last group of which it was told who took it.
    taken: Option<Taken>,
    graves: Graveyard,
    /// What those used that are gone.
    ended: Totals,
    census: Census,
    /// The snapshot being applied, and its number.
    sweep: Option<Sweep>,
    round: u8,
    had_snapshot: bool,
    /// Up to then records were lost that may have told of releases.
    lost_until: Ktime,
    /// Groups that the kernel hides from the programs that send records.
    hidden: HashSet<Tgid>,
    /// Leaders that a snapshot found dead: whether they are zombies is known when all their threads are.
    unjudged: Vec<(TaskKey, Provenance)>,
    /// Parents that a snapshot showed and a conclusion denies: threads that it shows later may have the last word.
    disputed: BTreeMap<TaskKey, Disputed>,
    stats: Stats,
    /// Signals that may end a group, and how groups ended.
    deaths: Deaths,
}

impl Lineage {
    /// An empty lineage: nothing but the idle task, which was never born.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let mut lineage = Self {
            tasks: Arena::new(config.room),
            groups: Arena::new(config.room),
            extras: Arena::new(config.room),
            rares: Arena::new(config.room),
            handovers: Arena::new(config.room),
            usages: UsageStore::new(config.room),
            profiles: Profiles::default(),
            debts: Arena::new(config.room),
            earlies: Earlies::default(),
            sums: Arena::new(config.room),
            ended: Totals::default(),
            index: TidIndex::default(),
            queues: Queues::default(),
            paths: Paths::default(),
            namespaces: HashMap::new(),
            subreapers: 0,
            dead_leaders: 0,
            sees_reparenting: false,
            sees_releases: false,
            open_handovers: VecDeque::new(),
            freed: VecDeque::new(),
            releasable: Vec::new(),
            awaiting_args: HashMap::new(),
            taken: None,
            graves: Graveyard::default(),
            census: Census::default(),
            sweep: None,
            round: 0,
            had_snapshot: false,
            lost_until: Ktime(0),
            hidden: HashSet::new(),
            unjudged: Vec::new(),
            disputed: BTreeMap::new(),
            stats: Stats::default(),
            deaths: Deaths::default(),
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

    /// From now on so many lives that are over are remembered at most. [`Lineage::shed_lives`] forgets those there are too many.
    pub const fn set_dead_lives(&mut self, most: usize) {
        self.config.dead_lives = most;
    }

    /// The kernel hides these groups from the programs that send records: what they do, and what is done on top of them, is in none.
    pub fn set_hidden(&mut self, groups: impl IntoIterator<Item = Tgid>) {
        self.hidden = groups.into_iter().collect();
    }

    /// How long an uninterruptible sleep may last.
    #[must_use]
    pub const fn blocked_after(&self) -> Duration {
        self.config.blocked_after
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
            Fact::Signal(sent) => self.on_signal(at, sent),
            Fact::OomVictim(oom) => self.on_oom_victim(at, oom),
        }
        self.release_freed(out);
        self.expire(now.max(at), 2, out);
    }

    /// What became of the records so far.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    fn extra(&mut self, group: Ix<Group>) -> &mut Extra {
        let extra = match self.groups[group].extra {
            Some(extra) => extra,
            None => *self.groups[group].extra.insert(self.extras.insert(Extra::default())),
        };
        &mut self.extras[extra]
    }

    fn extra_of(&self, group: &Group) -> Option<&Extra> {
        group.extra.map(|extra| &self.extras[extra])
    }

    fn rare(&mut self, group: Ix<Group>) -> &mut Rare {
        let rare = if let Some(rare) = self.extra(group).rare {
            rare
        } else {
            let rare = self.rares.insert(Rare::default());
            self.extra(group).rare = Some(rare);
            rare
        };
        &mut self.rares[rare]
    }

    fn rare_of(&self, group: &Group) -> Option<&Rare> {
        self.extra_of(group)?.rare.map(|rare| &self.rares[rare])
    }

    fn hidden_threads(&self, group: &Group) -> Option<u32> {
        self.extra_of(group)?.hidden_threads()
    }

    fn reparented_at(&self, group: &Group) -> Ktime {
        self.extra_of(group).map_or(Ktime(0), |extra| extra.reparented_at)
    }

    fn profile(&self, group: Ix<Group>) -> &Profile {
        self.profiles.get(self.groups[group].profile)
    }

    fn usage_slot(&mut self, group: Ix<Group>) -> Ix<PackedUsage> {
        match self.groups[group].usage {
            Some(usage) => usage,
            None => *self.groups[group].usage.insert(self.usages.insert()),
        }
    }

    fn new_debt(&mut self, group: Ix<Group>) -> Ix<Account> {
        let debt = self.debts.insert(Account::default());
        self.groups[group].debt = Some(debt);
        debt
    }

    fn debt(&mut self, group: Ix<Group>) -> &mut Debt {
        let debt = self.debt_ix(group);
        &mut self.debts[debt].debt
    }

    fn debt_ix(&mut self, group: Ix<Group>) -> Ix<Account> {
        match self.groups[group].debt {
            Some(debt) => debt,
            None => self.new_debt(group),
        }
    }
}
