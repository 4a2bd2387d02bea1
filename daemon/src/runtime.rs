//! The one place where the parts meet: ring -> decode -> lineage -> effects -> faces.
//!
//! One owner: whoever holds the [`Pipeline`] owns the lineage. Nothing here blocks on a face; a slow one loses its own
//! events.

use std::{collections::HashSet, future::Future, io, os::fd::OwnedFd, path::Path, time::Duration};

use probe_common::Kind;
use thiserror::Error;
use tokio::{
    io::Interest,
    select,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{
    fd::watch,
    kernel::{
        clock::boottime,
        counters::{CountersError, Totals},
        ladder::Choice,
        object::Options,
        observer::{ObserveError, Observer},
    },
    lineage::{
        Config, Lineage,
        effect::Effect,
        id::{GroupKey, Ktime},
        record::Record,
    },
    procfs::Procfs,
};

/// Records handled before others get a turn: timers, signals, faces.
const BATCH: usize = 4096;

/// After records were found, the next look at the ring comes this much later: under load one wake-up then serves many
/// records, and an event still reaches its reader within two milliseconds.
const COALESCE: Duration = Duration::from_millis(1);

/// How often flags that depend on time, and the programs' loss counters, are looked at.
const TICK: Duration = Duration::from_millis(250);

/// Every how many ticks the kernel is asked for the calls it skipped: a system call for each program.
const TICKS_PER_LOOK: u64 = 4;

/// A zombie older than this is looked up in /proc, once, before it is flagged: on the tracepoint rung a release can go
/// unseen.
const DOUBT_NS: u64 = 1_000_000_000;

/// The tree is compared with the kernel's tasks this often, also when nothing is known to be lost.
const AUDIT_NS: u64 = 300 * 1_000_000_000;

/// What is done with what the lineage found out.
pub trait Face {
    /// Takes a batch of effects, in order.
    fn take(&mut self, effects: &[Effect], lineage: &Lineage);
    /// Some records were lost before they could be handled.
    fn lost(&mut self, count: u64);
}

/// Why observing ended.
#[derive(Debug, Error)]
pub enum RunError {
    /// The ring cannot be waited for.
    #[error("waiting for the ring buffer: {0}")]
    Ring(#[from] io::Error),
    /// The programs' counters cannot be read.
    #[error(transparent)]
    Counters(#[from] CountersError),
}

/// Records by kind, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Taken from the ring and understood, by kind.
    pub received: [u64; Kind::COUNT],
    /// Taken from the ring and not understood.
    pub refused: u64,
    /// Read from the task iterator.
    pub snapshot: u64,
    /// Counters of the programs, as last read.
    pub kernel: Totals,
    /// Calls of programs that the kernel skipped, as last read.
    pub missed: u64,
}

impl Counts {
    /// Everything that was lost on the way here.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.kernel.all_lost() + self.missed
    }
}

/// From the kernel to the effects.
pub struct Pipeline {
    /// Programs, ring, counters.
    pub observer: Observer,
    /// What is known of all tasks.
    pub lineage: Lineage,
    /// What became of the records.
    pub counts: Counts,
    effects: Vec<Effect>,
    lost_told: u64,
    ticks: u64,
    resynced: Ktime,
    /// Zombies that /proc has shown as such.
    confirmed: HashSet<GroupKey>,
    procfs: Procfs,
    doubt_ns: u64,
}

impl Pipeline {
    /// Attaches, then reads every task there is: from here on nothing is missed.
    ///
    /// `object` is an eBPF object to use in place of the embedded one.
    pub fn start(
        object: Option<&Path>,
        options: Options,
        choice: Choice,
        config: Config,
    ) -> Result<Self, ObserveError> {
        let observer = Observer::start(object, options, choice)?;
        let doubt_ns = DOUBT_NS.min(config.zombie_after.as_nanos() as u64 / 2);
        let mut pipeline = Self {
            observer,
            lineage: Lineage::new(config),
            counts: Counts::default(),
            effects: Vec::with_capacity(BATCH),
            lost_told: 0,
            ticks: 0,
            resynced: Ktime(0),
            confirmed: HashSet::new(),
            procfs: Procfs::default(),
            doubt_ns,
        };
        pipeline.resync();
        Ok(pipeline)
    }

    /// Reads every task by the iterator and mends the tree with it. Events of it are added to what is to be handed on.
    fn resync(&mut self) {
        let Self { observer, lineage, counts, effects, .. } = self;
        lineage.begin_snapshot(boottime());
        let outcome = observer.snapshot(|record| match record {
            Ok(record) => {
                counts.snapshot += 1;
                lineage.apply(&record, record.at, effects);
            }
            Err(error) => {
                counts.refused += 1;
                log::error!("task iterator: {error}");
            }
        });
        // What was under way while the iterator ran is no loss.
        while self.turn() > 0 {}
        match outcome {
            Ok(_) => self.lineage.end_snapshot(boottime(), &mut self.effects),
            Err(error) => {
                self.lineage.abandon_snapshot();
                log::warn!("tasks cannot be compared with the kernel's: {error}");
            }
        }
        self.resynced = boottime();
    }

    /// Zombies that the kernel does not have any more were released unseen: the tree is mended then, before anybody is
    /// told of a zombie that is none. Each zombie is looked up once.
    fn doubt_zombies(&mut self) {
        let now = boottime();
        self.confirmed.retain(|key| self.lineage.group(key.tgid).is_some_and(|group| group.key() == *key));
        let mut gone = false;
        for zombie in self.lineage.zombies() {
            let key = zombie.key();
            let (Some(start), Some(since)) = (key.start, zombie.zombie_since()) else { continue };
            if now.since(since) < self.doubt_ns || self.confirmed.contains(&key) {
                continue;
            }
            if self.procfs.is_still_zombie(key.tgid, start) {
                self.confirmed.insert(key);
            } else {
                gone = true;
            }
        }
        if gone {
            log::debug!("a zombie is gone that nobody was seen to release; reading all tasks");
            self.resync();
        }
    }

    /// Handles what is in the ring, up to a batch; answers how many records that was.
    fn turn(&mut self) -> usize {
        let Self { observer, lineage, counts, effects, .. } = self;
        let now = boottime();
        observer.drain(BATCH, |record| match record {
            Ok(record) => {
                if let Some(count) = counts.received.get_mut(kind_of(&record) as usize) {
                    *count += 1;
                }
                lineage.apply(&record, now, effects);
            }
            Err(error) => {
                counts.refused += 1;
                log::error!("ring buffer: {error}");
            }
        })
    }

    fn tick(&mut self, face: &mut impl Face) -> Result<(), CountersError> {
        if self.ticks.is_multiple_of(2) {
            self.doubt_zombies();
        }
        self.lineage.tick(boottime(), &mut self.effects);
        self.observer.flush_log();
        self.counts.kernel = self.observer.totals()?;
        self.ticks += 1;
        if self.ticks.is_multiple_of(TICKS_PER_LOOK) {
            self.look_for_misses();
        }
        let lost = self.counts.lost();
        if lost > self.lost_told {
            face.lost(lost - self.lost_told);
            self.lost_told = lost;
            self.resync();
        } else if boottime().since(self.resynced) >= AUDIT_NS {
            self.resync();
        }
        Ok(())
    }

    fn look_for_misses(&mut self) {
        self.counts.missed = self.observer.program_stats().filter_map(|(_, stats)| stats.missed).sum();
    }

    fn hand_on(&mut self, face: &mut impl Face) {
        if !self.effects.is_empty() {
            face.take(&self.effects, &self.lineage);
            self.effects.clear();
        }
    }

    /// Runs until `stop` resolves; then detaches and handles what is left in the ring.
    pub async fn run(
        &mut self,
        face: &mut impl Face,
        stop: impl Future<Output = ()>,
    ) -> Result<(), RunError> {
        self.hand_on(face);
        let ring = watch(self.ring_fd()?, Interest::READABLE)?;
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(stop);
        loop {
            select! {
                biased;
                () = &mut stop => break,
                _ = tick.tick() => self.tick(face)?,
                ready = ring.readable() => {
                    let mut ready = ready?;
                    let handled = self.turn();
                    if handled == 0 {
                        ready.clear_ready();
                    } else if handled < BATCH {
                        self.hand_on(face);
                        sleep(COALESCE).await;
                    }
                }
            }
            self.hand_on(face);
        }
        self.look_for_misses();
        self.observer.detach();
        while self.turn() > 0 {
            self.hand_on(face);
        }
        self.tick(face)?;
        self.hand_on(face);
        Ok(())
    }

    fn ring_fd(&self) -> io::Result<OwnedFd> {
        use std::os::fd::AsFd as _;
        self.observer.as_fd().try_clone_to_owned()
    }
}

fn kind_of(record: &Record) -> Kind {
    use crate::lineage::record::Fact;
    match record.fact {
        Fact::New(_) => Kind::TaskNew,
        Fact::CloneFailed(_) => Kind::CloneFailed,
        Fact::Exec(_) => Kind::Exec,
        Fact::ExecArgs(_) => Kind::ExecArgs,
        Fact::Renamed(_) => Kind::Renamed,
        Fact::Exiting(_) => Kind::Exiting,
        Fact::Exited(_) => Kind::Exited,
        Fact::Reparented(_) => Kind::Reparented,
        Fact::Released(_) => Kind::Released,
        Fact::Snapshot(_) => Kind::Snapshot,
    }
}
