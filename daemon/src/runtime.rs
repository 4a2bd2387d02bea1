//! Connects the parts: ring -> decode -> lineage -> effects -> sinks.
//!
//! The owner of the [`Pipeline`] owns the lineage; there is only one. Nothing here blocks on a sink: a slow sink loses its own
//! events.
//!
//! - `start`: attaches the programs and reads all tasks; `serve`: the owner's loop; `sink`: where effects go
//! - `polling`: when the ring is polled
//! - `records`: adds what records lack, passes them to the lineage, and counts those that are applied or lost
//! - `comparison`: compares the tree with the kernel's tasks and repairs it; `zombies` does the same for zombies, by /proc
//! - `canary`: short-lived children of the daemon, whose records must all arrive
//! - `signals`: the signals that the attached hooks report
//! - `tick`: what is done four times a second
//! - `blocked`: tasks that stay in uninterruptible sleep; `leaks`: leaks other than zombies
//! - `older`: programs and arguments of processes that are older than taskscope
//! - `wall`: the wall clock beside `CLOCK_BOOTTIME`
//! - `recorded`: the lineage, whose changes can be recorded; `replay`: repeats the changes, from a recording

mod blocked;
mod canary;
mod comparison;
mod leaks;
mod older;
mod polling;
mod recorded;
mod records;
pub mod replay;
mod serve;
mod signals;
mod sink;
mod start;
mod tick;
mod wall;
mod zombies;

use std::{collections::HashSet, time::Duration};

use self::{
    blocked::LastPoll,
    comparison::put_off::PutOff,
    local_facts::LocalFacts,
    records::{local_facts, place, sums},
    zombies::recheck::ZombieRecheck,
};
pub use self::{
    canary::Canary,
    comparison::{
        hidden::{HiddenCounts, HiddenTasks},
        repairs::{RepairStats, Repairs, Why},
    },
    place::LossPlace,
    recorded::RecordedLineage,
    serve::{Question, RunError},
    sink::{EventSink, MAX_BATCH_DELAY, MAX_BATCH_DELAY_UNREAD},
    start::{Recording, Trust},
    sums::{Counts, Imbalance, Sums},
    wall::Wall,
};
use crate::{
    kernel::{clock::boottime, observer::Observer},
    lineage::{
        blocked::Blocked,
        effect::Effect,
        id::{GroupKey, Ktime},
        leaks::Leaks,
        record::{ForkFailures, Record},
    },
    procfs::Procfs,
};

/// Everything from the kernel to the effects.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Pipeline {
    /// Programs, ring and counters.
    pub observer: Observer,
    /// The tree of all tasks.
    pub lineage: RecordedLineage,
    /// Counts of records by outcome.
    pub counts: Counts,
    /// What comparisons with the kernel have repaired.
    pub repairs: RepairStats,
    /// Canaries: processes of our own whose lives must be seen.
    pub canary: Canary,
    /// Tasks that stay in uninterruptible sleep.
    pub blocked: Blocked,
    last_poll: LastPoll,
    /// Leaks other than zombies.
    pub leaks: Leaks,
    /// How often all hooks were attached again because canaries were not seen.
    pub reattached: u64,
    trust: Trust,
    effects: Vec<Effect>,
    /// Decoded records of the present batch. Empty between two turns.
    decoded: Vec<Record>,
    lost_reported: [u64; LossPlace::COUNT],
    /// Lost records about causes of death, part of all lost records, as reported so far.
    causes_lost_reported: [u64; LossPlace::COUNT],
    ticks: u64,
    /// When the last comparison with the kernel ended, and the earliest time of the next one.
    resynced: Ktime,
    backoff_until: Ktime,
    /// The time of the youngest record so far.
    drained_to: Ktime,
    /// Whether a comparison must follow a loss of records and has not succeeded yet.
    resync_due: bool,
    /// Forks and deaths that the last audit found and left to the next audit.
    put_off: PutOff,
    /// Records lost since the last whole comparison began.
    uncompared: u64,
    /// Time spent on handling records in [`Pipeline::handle_batch`].
    handling_ns: u64,
    reported_blind: bool,
    /// Comparisons that failed since the last successful one.
    failed_in_a_row: u32,
    /// Why the programs' counters cannot be read now.
    pub no_counters: Option<String>,
    /// Zombies that /proc has confirmed.
    confirmed: HashSet<GroupKey>,
    recheck: ZombieRecheck,
    /// How many reparentings had been uncertain so far when their children were last looked up.
    orphans_looked_up: u64,
    procfs: Procfs,
    local_facts: LocalFacts,
    /// What this kernel hides.
    pub hidden: HiddenTasks,
    /// Whether /proc had groups besides init that the iterator did not show, at the last comparison. Unknown before the first.
    hides_others: bool,
    doubt_ns: u64,
    /// Whether records or their effects are being handled: a panic now would leave some of them out.
    is_applying: bool,
}

impl Pipeline {
    /// Returns the forks of a process that failed in the last minute.
    #[must_use]
    pub fn fork_failures(&self, key: GroupKey) -> Option<ForkFailures> {
        self.local_facts.fork_failures(key, boottime())
    }

    /// Returns whether the tree is consistent after a question to its owner panicked. Slow: every link and count is checked.
    pub fn whole(&self) -> Result<(), String> {
        if self.is_applying { Err("records were being applied".into()) } else { self.lineage.check() }
    }

    /// Returns how many records were lost since the last whole comparison with the kernel's tasks began. Until the next
    /// comparison the tree may differ from the kernel.
    #[must_use]
    pub const fn uncompared(&self) -> u64 {
        self.uncompared
    }

    /// Returns why the tree may differ from the kernel's tasks now; `None` if no reason is known.
    #[must_use]
    pub fn degraded(&self) -> Option<String> {
        let lost = self.uncompared;
        (lost > 0)
            .then(|| format!("degraded: {lost} records lost, tree not yet compared with the kernel's tasks"))
    }

    /// Returns how long ago a record last came through while no canary can be created: see [`Canary::refusal`]. `None` if hooks are
    /// in doubt, or one is not attached any more.
    #[must_use]
    pub fn proof_age(&self, now: Ktime) -> Option<Duration> {
        let observer = &self.observer;
        let proof = self.canary.proof(observer.reports_failed_clones(), self.drained_to);
        proof.filter(|_| observer.is_attached()).map(|at| Duration::from_nanos(now.since(at)))
    }

    /// Returns the counts of records at each station. They balance when no record is in flight, such as after [`Pipeline::run`].
    #[must_use]
    pub fn sums(&self) -> Sums {
        self.counts.sums(self.lineage.stats())
    }
}
