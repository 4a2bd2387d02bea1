//! The input of a verdict: lives from the lineage, and what /proc shows of the processes concerned at the time of the question.
//!
//! - `process`, `thread`: what /proc shows of them; `call`: the system call that a thread is in
//! - `obstruction`: what keeps a process from running

mod call;
mod obstruction;
mod process;
mod thread;

pub use self::call::{Call, Signals, WALL, WCLONE, WNOTHREAD, WaitCall, WaitTarget};
pub use self::obstruction::{BackgroundStop, Frozen, HeldCall, HeldOn, PipeRead, TerminalAccess, Throttled};
pub use self::process::ProcessFacts;
pub use self::thread::{Sleep, ThreadFacts};
use std::sync::Arc;

use lineage::Life;
use lineage::death::JobStop;
use lineage::id::{GroupKey, Ktime, Tid};

/// A process as texts name it: `name (pid N)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its tgid and start time.
    pub key: GroupKey,
    /// Its comm, any byte but NUL.
    pub name: Option<Vec<u8>>,
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{} (pid {})", String::from_utf8_lossy(name), self.key.tgid),
            None => write!(f, "pid {}", self.key.tgid),
        }
    }
}

impl From<&Life> for Named {
    fn from(life: &Life) -> Self {
        Self { key: life.key, name: life.name.map(|name| name.bytes().to_vec()) }
    }
}

/// A process with everything that is known about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// Its life.
    pub life: Life,
    /// What /proc shows, or why it could not be read.
    pub process: Result<ProcessFacts, String>,
}

impl Known {
    /// Returns it as texts name it.
    #[must_use]
    pub fn named(&self) -> Named {
        Named::from(&self.life)
    }

    /// Returns what /proc shows, if it could be read.
    #[must_use]
    pub fn process(&self) -> Option<&ProcessFacts> {
        self.process.as_ref().ok()
    }

    /// Returns the level of its pid namespace if it is pid 1 there; 0 is the initial namespace.
    #[must_use]
    pub fn init_of_level(&self) -> Option<u32> {
        if let Some(own) = self.life.namespace
            && own.vtgid.unwrap_or(own.vtid) == 1
        {
            return Some(own.level);
        }
        if self.life.key.tgid.0 == 1 {
            return Some(0);
        }
        let pids = &self.process()?.namespace_pids;
        (pids.last() == Some(&1)).then(|| u32::try_from(pids.len()).unwrap_or(1).saturating_sub(1))
    }
}

/// A process that keeps another from ending.
#[derive(Clone, Debug, PartialEq)]
pub struct Obstacle {
    /// The process.
    pub process: Named,
    /// Whether it is a zombie.
    pub is_zombie: bool,
    /// Its parent.
    pub parent: Option<Named>,
}

/// A process with its parent's thread and its tracer, which decide who can reap it.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// The process.
    pub known: Known,
    /// The thread of its parent that is its `real_parent`.
    pub parent_thread: Option<Tid>,
    /// Its tracer.
    pub tracer: Option<Named>,
    /// The tracer's state letter.
    pub tracer_state: Option<u8>,
}

/// A vforked child that holds its parent, and what holds the child.
#[derive(Clone, Debug, PartialEq)]
pub struct VforkChild {
    /// The child.
    pub named: Named,
    /// What /proc shows of it.
    pub process: Option<ProcessFacts>,
    /// Its tracer.
    pub tracer: Option<Named>,
    /// The last signal that can have stopped it.
    pub job_stop: Option<Arc<JobStop>>,
}

/// The input of a verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The present time, on `CLOCK_BOOTTIME`.
    pub now: Ktime,
    /// Since when all tasks have been observed; `None` for a snapshot.
    pub observed_since: Option<Ktime>,
    /// The process that the verdict is about.
    pub subject: Child,
    /// Its parent, if the parent lives.
    pub parent: Option<Known>,
    /// Its oldest zombie child.
    pub owed: Option<Child>,
    /// The tracer of its parent, with its state letter.
    pub parents_tracer: Option<(Named, Option<u8>)>,
    /// The vforked child that holds it.
    pub vfork_child: Option<VforkChild>,
    /// The vforked child that holds its parent.
    pub parents_vfork_child: Option<VforkChild>,
    /// What an exiting init of a pid namespace waits for.
    pub obstacles: Vec<Obstacle>,
    /// The process that would become the parent of the children if their parent ended, if known.
    pub new_reaper: Option<Named>,
}
