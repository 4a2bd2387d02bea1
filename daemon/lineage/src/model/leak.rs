//! Leaks other than zombies: threads that only grow, a program that is started again and again, one process that forks too fast,
//! and processes that outlive their job.

use std::sync::Arc;

use crate::model::comm::Comm;
use crate::model::death::Cause;
use crate::model::id::{GroupKey, Ktime};
use crate::model::path_name::PathName;
use crate::model::status::WaitStatus;

/// The kinds of leaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeakKind {
    /// A process creates threads, and hardly any of them ends.
    Threads,
    /// A parent or a unit starts the same program again and again, and it ends quickly.
    Respawn,
    /// A process, or processes that all descend from it, fork too fast.
    Storm,
    /// Processes of a job have outlived it.
    Orphans,
}

impl LeakKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Threads, Self::Respawn, Self::Storm, Self::Orphans];

    /// Returns the stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Threads => "thread_leak",
            Self::Respawn => "respawn_loop",
            Self::Storm => "fork_storm",
            Self::Orphans => "living_orphans",
        }
    }
}

/// A leak: the process that causes it, when it began, and its rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Leak {
    /// The process that causes it; for orphans, the oldest one.
    pub culprit: GroupKey,
    /// Its comm.
    pub name: Option<Comm>,
    /// The cgroup of the processes or threads that leak.
    pub cgroup_id: Option<u64>,
    /// When the counting began.
    pub since: Ktime,
    /// Until when it was counted.
    pub seen: Ktime,
    /// The details.
    pub what: Leaking,
}

/// What leaks.
#[derive(Clone, Debug, PartialEq)]
pub enum Leaking {
    /// Threads.
    Threads(GrowingThreads),
    /// Starts of one program.
    Respawn(Box<Respawn>),
    /// Processes that are forked.
    Storm(Storm),
    /// Processes that outlive their job.
    Orphans(Box<Orphans>),
}

/// Threads of one process. The leader counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrowingThreads {
    /// The number now.
    pub live: u32,
    /// How many more than when the counting began.
    pub grown: u32,
    /// How many ended since then.
    pub ended: u32,
}

/// One program that is started again and again.
#[derive(Clone, Debug, PartialEq)]
pub struct Respawn {
    /// Its comm.
    pub program: Option<Comm>,
    /// Its path.
    pub path: Option<Arc<PathName>>,
    /// The directory of the unit's cgroup, if the starts are those of a unit or container.
    pub unit: Option<Arc<str>>,
    /// Whether the parent is in another cgroup, as a service manager or a container runtime is.
    pub by_manager: bool,
    /// Ends so far.
    pub ends: u32,
    /// The median time from the start to the end, for the last ends, ns.
    pub median_life_ns: u64,
    /// The median time from the end to the next start, for the last ends, ns.
    pub median_pause_ns: u64,
    /// The causes and wait(2) statuses of the last ends, each with its number, the most frequent first.
    pub causes: Vec<(Cause, Option<WaitStatus>, u32)>,
    /// The process that ended last.
    pub last: GroupKey,
}

/// Processes that are forked too fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storm {
    /// Processes that were forked in the counted time.
    pub made: u32,
    /// How many of these processes are alive.
    pub alive: u32,
    /// Whether the children fork too; otherwise only the culprit forks.
    pub spreads: bool,
}

/// Processes that have outlived the job they belonged to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphans {
    /// The job: the process that led the session.
    pub job: GroupKey,
    /// Its comm.
    pub job_name: Option<Comm>,
    /// When it ended.
    pub ended: Ktime,
    /// The processes that are left, the oldest first; at most [`Orphans::MOST`].
    pub left: Vec<(GroupKey, Option<Comm>)>,
    /// How many are left.
    pub count: u32,
}

impl Orphans {
    /// The most that are named.
    pub const MOST: usize = 8;
}

impl Leak {
    /// Returns the kind.
    #[must_use]
    pub const fn kind(&self) -> LeakKind {
        match self.what {
            Leaking::Threads(_) => LeakKind::Threads,
            Leaking::Respawn(_) => LeakKind::Respawn,
            Leaking::Storm(_) => LeakKind::Storm,
            Leaking::Orphans(_) => LeakKind::Orphans,
        }
    }

    /// Returns the moment after which the processes of a bomb were forked: records are applied some time after the forks.
    #[must_use]
    pub const fn bomb_born(&self) -> Ktime {
        Ktime(self.since.0.saturating_sub(self.span_ns()))
    }

    /// Returns the process that identifies the leak: the culprit, or the job that orphans have outlived.
    #[must_use]
    pub const fn subject(&self) -> GroupKey {
        match &self.what {
            Leaking::Orphans(orphans) => orphans.job,
            _ => self.culprit,
        }
    }

    /// Whether a process takes part in it: as its culprit, as an orphan, or as the parent of a program that is started again.
    #[must_use]
    pub fn concerns(&self, process: GroupKey) -> bool {
        let is_orphan = match &self.what {
            Leaking::Orphans(orphans) => orphans.left.iter().any(|(key, _)| *key == process),
            Leaking::Respawn(respawn) => respawn.last == process,
            _ => false,
        };
        self.culprit == process || is_orphan
    }

    /// Returns how many leaked in [`Leak::span_ns`]: threads, ends, or processes.
    #[must_use]
    pub const fn count(&self) -> u32 {
        match &self.what {
            Leaking::Threads(threads) => threads.grown,
            Leaking::Respawn(respawn) => respawn.ends,
            Leaking::Storm(storm) => storm.made,
            Leaking::Orphans(orphans) => orphans.count,
        }
    }

    /// Returns for how long it was counted, ns.
    #[must_use]
    pub const fn span_ns(&self) -> u64 {
        self.seen.since(self.since)
    }

    /// Returns how many leak in a minute; `None` for orphans, which have no rate.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 53 bits")]
    pub fn per_minute(&self) -> Option<f64> {
        let span_ns = self.span_ns();
        let has_rate = span_ns > 0 && self.kind() != LeakKind::Orphans;
        has_rate.then(|| f64::from(self.count()) * 60e9 / span_ns as f64)
    }

    /// Whether no other cause looks the same.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        match &self.what {
            Leaking::Threads(threads) => threads.ended == 0,
            Leaking::Respawn(respawn) => respawn.by_manager,
            Leaking::Storm(_) => true,
            Leaking::Orphans(_) => false,
        }
    }
}
