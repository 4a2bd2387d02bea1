//! SHELL: answers to questions about tasks, as the JSON of the API and as text.
//!
//! An answer is computed in two steps. The owner of the lineage writes a draft between two batches of records. Then the thread that
//! asked completes it from /proc, which may take longer. A client parses the JSON into the same structs, so that the text of an
//! answer is written in one place.
//!
//! - one file for each answer: `tree`, `task` (one task), `zombies`, `blocked`, `death`, `explain`, `limits`, `leaks`, `scope` and `stop`
//! - `fleet`: the answers of many daemons as one
//! - `kernel_stack`: what a blocked task waits for; `now`, `spent`: what tasks are doing now, and what living and dead tasks used
//! - `past/`: answers from the history; `parts/`: what several answers contain
//! - `text/`: each answer as text

pub mod blocked;
pub mod death;
pub mod explain;
pub mod fleet;
mod kernel_stack;
pub mod leaks;
pub mod limits;
pub mod now;
pub mod parts;
pub mod past;
pub mod scope;
pub mod spent;
pub mod stop;
pub mod task;
pub mod text;
pub mod tree;
pub mod zombies;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::{
    explain::{draft::ExplainDraft, recall::Related},
    parts::{place, process, usage, verdict},
    past::{difference, known, life, past_life, time_arg},
};
use crate::{
    export::Stamp,
    lineage::{
        GroupView, Lineage,
        id::{GroupKey, Ktime, Tgid, Tid},
    },
};

/// The lineage at the time of an answer.
#[derive(Clone, Copy)]
pub struct LineageAt<'a> {
    /// All tasks.
    pub lineage: &'a Lineage,
    /// Now.
    pub now: Ktime,
    /// Since when all events were observed; `None` if there is only a snapshot of the present.
    pub observed_since: Option<Ktime>,
}

/// Facts that the lineage does not have.
pub struct HostFacts<'a> {
    /// Wall clock and boot.
    pub stamp: &'a Stamp,
    /// The mounted /proc.
    pub procfs: &'a crate::procfs::Procfs,
    /// Returns the place of a cgroup, by its id in the v2 hierarchy.
    pub places: &'a mut dyn FnMut(u64) -> Option<place::AnswerPlace>,
}

/// Whether a number is 0, which answers leave out.
pub(crate) fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

/// No such process.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NotFound {
    /// No live or stored process has this pid.
    #[error(
        "no process has the pid {0}, and no ended process with it is remembered: only a daemon that was running then \
         knows it (`taskscope run`)"
    )]
    Pid(u32),
    /// It was a zombie and may have been reaped.
    #[error(
        "records were lost after {0} became a zombie, and it is not known whether it still exists: ask again in a few seconds"
    )]
    Unconfirmed(u32),
    /// No stored life has this entity id.
    #[error("no life with the entity id {0} is known: it ended too long ago, or was on another boot or host")]
    Entity(String),
    /// Neither a pid nor an entity id.
    #[error("`{0}` is neither a pid nor an entity id such as 1c61cb62-14232-6859782660519")]
    Malformed(String),
}

/// The process that a question is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskSelector {
    /// The process that has this pid or tid, or had it last.
    Pid(u32),
    /// The life with this entity id.
    Entity(String),
}

impl std::str::FromStr for TaskSelector {
    type Err = NotFound;

    fn from_str(text: &str) -> Result<Self, NotFound> {
        if let Ok(pid) = text.parse() {
            return Ok(Self::Pid(pid));
        }
        let parts: Vec<&str> = text.split('-').collect();
        let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        match parts.as_slice() {
            [boot, pid, start]
                if !boot.is_empty()
                    && boot.bytes().all(|byte| byte.is_ascii_hexdigit())
                    && is_number(pid)
                    && is_number(start) =>
            {
                Ok(Self::Entity(text.to_owned()))
            }
            _ => Err(NotFound::Malformed(text.to_owned())),
        }
    }
}

impl std::fmt::Display for TaskSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pid(pid) => pid.fmt(f),
            Self::Entity(id) => id.fmt(f),
        }
    }
}

impl TaskSelector {
    /// Returns the thread group that is selected.
    pub fn find(&self, lineage_at: &LineageAt<'_>, stamp: &Stamp) -> Result<GroupKey, NotFound> {
        let key = self.find_life(lineage_at, stamp)?;
        let group = lineage_at.lineage.group(key.tgid).filter(|group| group.key() == key);
        match group.filter(GroupView::is_unconfirmed) {
            Some(_) => Err(NotFound::Unconfirmed(key.tgid.0)),
            None => Ok(key),
        }
    }

    fn find_life(&self, lineage_at: &LineageAt<'_>, stamp: &Stamp) -> Result<GroupKey, NotFound> {
        let LineageAt { lineage, now, .. } = lineage_at;
        match self {
            // The idle task is not shown.
            Self::Pid(0) => Err(NotFound::Pid(0)),
            Self::Pid(pid) => lineage
                .group_of(Tid(*pid))
                .map(|group| group.key())
                .or_else(|| lineage.life(Tgid(*pid), *now).map(|life| life.key))
                .ok_or(NotFound::Pid(*pid)),
            Self::Entity(id) => {
                let unknown = || NotFound::Entity(id.clone());
                let mut parts = id.rsplit('-');
                let start = parts.next().and_then(|start| start.parse().ok()).ok_or_else(unknown)?;
                let pid = parts.next().and_then(|pid| pid.parse().ok()).ok_or_else(unknown)?;
                let mut key = GroupKey { tgid: Tgid(pid), start: Some(Ktime(start)) };
                // The id of a boot's first process has no start.
                if let Some(init) = lineage.group(Tgid(1)).filter(|_| (pid, start) == (1, 0)) {
                    key = init.key();
                }
                // The boot is part of the id.
                let known = stamp.entity_id(key).as_ref() == Some(id);
                lineage.life_by_key(key, *now).filter(|_| known).map(|life| life.key).ok_or_else(unknown)
            }
        }
    }
}

/// An answer to which a client can add facts that it may read itself.
///
/// A daemon has the history but has dropped `CAP_SYS_PTRACE`; a client that has this capability has no history.
pub trait MergeLocalFacts: Sized {
    /// Whether facts are missing that a client with `CAP_SYS_PTRACE` could read.
    fn needs_local_facts(&self) -> bool {
        false
    }

    /// Adds the facts that this process can read.
    fn merge_local_facts(&mut self, _lineage_at: &LineageAt<'_>, _host_facts: &mut HostFacts<'_>) {}
}

impl MergeLocalFacts for tree::Tree {}

/// When an answer was made, and how long taskscope had observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Wall clock.
    #[serde(rename = "@timestamp")]
    pub timestamp: String,
    /// The same time on `CLOCK_BOOTTIME`.
    pub boottime_ns: u64,
    /// How long all tasks had been observed, ns; absent if there is only a snapshot of the present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_ns: Option<u64>,
}

impl Made {
    fn at(now: Ktime, observed_since: Option<Ktime>, stamp: &Stamp) -> Self {
        Self {
            timestamp: stamp.timestamp(now),
            boottime_ns: now.0,
            observed_ns: observed_since.map(|since| now.since(since)),
        }
    }
}
