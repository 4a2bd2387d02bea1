//! The process tree now, or at an earlier time that the daemon's history covers.

mod of_lives;
mod subtrees;
mod walk;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::walk::{Entry, Walk, index};
use super::{
    LineageAt, Made,
    known::Known,
    now::{AllFigures, Now},
    place::AnswerPlace,
    process::ProcessRef,
    spent::Spent,
    task::{PidNs, ZombieAge},
    usage::UsageFigures,
    verdict::Missing,
};
use crate::{
    export::Stamp,
    lineage::{
        Life, LifeState,
        id::{GroupKey, Ktime},
    },
};

/// The options of a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct TreeOptions {
    /// Only this process and its descendants.
    pub root: Option<u32>,
    /// Whether to list each thread.
    pub threads: bool,
    /// Whether to include kernel threads.
    pub kernel: bool,
    /// The time to show, if not now.
    pub at: Option<Ktime>,
    /// Whether the history is asked too, so that a time before this daemon has an answer.
    pub has_history: bool,
    /// Whether to add what each process is doing now.
    pub now: bool,
    /// Whether to add what each process has used so far, ended children included, and to sort siblings by it.
    pub usage: bool,
}

impl TreeOptions {
    /// Whether the query needs figures of all tasks.
    #[must_use]
    pub const fn needs_figures(&self) -> bool {
        self.now || self.usage
    }
}

/// Why there is no tree.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TreeError {
    /// No such process.
    #[error("no process had the pid {0} at that time, as far as is known")]
    NoRoot(u32),
    /// No daemon observed at that time.
    #[error("only a daemon that was running at that time (`taskscope run`) knows the tree: {0}")]
    NotObserved(&'static str),
}

/// The answer to `/v1/tree`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// When the answer was computed.
    #[serde(flatten)]
    pub made: Made,
    /// The time that is shown, if it is in the past.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Requested facts that could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Missing>,
    /// Processes that ended before this time were forgotten, so the tree may be incomplete. Absent if it is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete_before: Option<String>,
    /// What the history covers, if the answer is also from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<Box<Known>>,
    /// The processes in depth-first order.
    pub processes: Vec<Node>,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The depth below the root.
    pub depth: u32,
    /// Its pid.
    pub pid: u32,
    /// Its id in its own pid namespace, if it is another number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpid: Option<u32>,
    /// Its parent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_pid: Option<u32>,
    /// Its identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity_id: Option<String>,
    /// Its comm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The exact bytes, in hexadecimal, if they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_bytes: Option<String>,
    /// Its kind.
    pub kind: String,
    /// `running`, `exiting`, `dead_leader`, `zombie`, `dead`.
    pub state: String,
    /// How long it has been in this state, at least, ns; absent if the beginning was not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_for_ns: Option<u64>,
    /// How long it has been a zombie.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub zombie: Option<ZombieAge>,
    /// Its tasks, the leader included; 0 if only the history knows it.
    pub threads: u32,
    /// Its threads besides the leader, if requested.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<Thread>,
    /// Its first parent, if that has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orphan_of: Option<Box<ProcessRef>>,
    /// Its pid namespace, if it is not its parent's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_pid_ns: Option<PidNs>,
    /// Whether orphans were reparented to it as a subreaper.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub subreaper: bool,
    /// Zombies that it has not reaped.
    #[serde(default, skip_serializing_if = "crate::answer::is_zero")]
    pub zombies: u32,
    /// What its tasks are doing now, if requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<Now>,
    /// What it has used so far, if requested.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub spent: Option<Box<Spent>>,
    /// Its place, if it is not its parent's.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub place: Option<AnswerPlace>,
}

/// One thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Its tid.
    pub tid: u32,
    /// Its id in its own pid namespace, if it is another number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vid: Option<u32>,
    /// Its comm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The exact bytes, in hexadecimal, if they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_bytes: Option<String>,
    /// Its kind.
    pub kind: String,
    /// `running`, `exiting`, `zombie`.
    pub state: String,
    /// What it has used so far, if requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_so_far: Option<UsageFigures>,
}

impl Tree {
    /// Returns the tree. Costs one step for each process.
    pub fn of(
        options: TreeOptions,
        lineage_at: &LineageAt<'_>,
        stamp: &Stamp,
        places: &mut dyn FnMut(u64) -> Option<AnswerPlace>,
        figures: Option<&AllFigures>,
    ) -> Result<Self, TreeError> {
        let at = options.at.unwrap_or(lineage_at.now);
        if options.at.is_some() {
            match lineage_at.observed_since {
                None => return Err(TreeError::NotObserved("no daemon was asked")),
                Some(since) if at < since && !options.has_history => {
                    return Err(TreeError::NotObserved("this one started later"));
                }
                Some(_) => {}
            }
        }
        let mut entries: Vec<Entry<'_>> = Vec::new();
        for view in lineage_at.lineage.groups() {
            let Some(life) = view.life(lineage_at.now) else { continue };
            let is_there = life.key.start.is_none_or(|start| start <= at);
            // A reaped process is in its parent's counts already, even before its release, so it is not counted again.
            let is_charged = options.usage && life.end.is_some();
            // An unconfirmed zombie is not shown.
            let is_certain = !view.is_unconfirmed() || at < life.since;
            if is_there && is_certain && !is_charged && life.state < LifeState::Released {
                entries.push(Entry { parent: parent_at(&life, at), life, view: Some(view) });
            }
        }
        if options.at.is_some() {
            let had = |life: &Life| {
                life.key.start.is_none_or(|start| start <= at)
                    && life.released_at.is_some_and(|end| at <= end)
            };
            for life in lineage_at.lineage.dead_lives().filter(had) {
                entries.push(Entry { parent: parent_at(&life, at), life, view: None });
            }
            entries.sort_by_key(|entry| entry.life.key);
        }
        let walk = Walk { options, at, lineage_at, stamp, figures, index: index(&entries), entries };
        Ok(Self {
            made: Made::at(lineage_at.now, lineage_at.observed_since, stamp),
            at: options.at.map(|at| stamp.timestamp(at)),
            missing: figures.map(|figures| figures.missing().to_vec()).unwrap_or_default(),
            incomplete_before: options.at.and_then(|at| {
                let until = lineage_at.lineage.forgotten_until().filter(|&until| at < until)?;
                Some(stamp.timestamp(until))
            }),
            history: None,
            processes: walk.all(places)?,
        })
    }
}

/// Returns its parent at a given time: the first and the last parent are known.
fn parent_at(life: &Life, at: Ktime) -> Option<GroupKey> {
    match life.reparented_at {
        Some(reparented_at) if at < reparented_at => life.first_parent.or(life.parent),
        _ => life.parent,
    }
}
