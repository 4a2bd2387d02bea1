//! What changed between two times: processes that are new, gone or moved, and what was used in between.
//!
//! `maker` compares the trees of the two times, and adds up the lives of the time in between.

mod maker;

use serde::{Deserialize, Serialize};

use crate::answer::{death::Death, known::Known, place::AnswerPlace, process::ProcessRef};

pub use self::maker::DifferenceMaker;

/// The difference between two trees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The first time, RFC 3339.
    pub from: String,
    /// The second time.
    pub to: String,
    /// Processes that exist at the second time and did not at the first, by pid.
    pub new: Vec<NewProcess>,
    /// Processes that existed at the first time and do not at the second, by pid.
    pub gone: Vec<GoneProcess>,
    /// Processes that exist at both times, with another parent at the second.
    pub moved: Vec<MovedProcess>,
    /// Processes that began and ended in between.
    pub came_and_went: u64,
    /// What was used in between, by name; the largest CPU time first.
    pub used: Vec<UsedByName>,
    /// What the history covers, if it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<Known>,
}

/// A process that is new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewProcess {
    /// The process.
    pub process: ProcessRef,
    /// Its parent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<ProcessRef>,
    /// Its place.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub place: Option<AnswerPlace>,
}

/// A process that is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoneProcess {
    /// The process.
    pub process: ProcessRef,
    /// How it ended; absent if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub death: Option<Box<Death>>,
    /// Its place at the first time.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub place: Option<AnswerPlace>,
}

/// A process with another parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedProcess {
    /// The process.
    pub process: ProcessRef,
    /// Its parent at the first time.
    pub old_parent: ProcessRef,
    /// Its parent at the second time.
    pub new_parent: ProcessRef,
}

/// What processes of one name used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedByName {
    /// Their comm.
    pub name: String,
    /// Processes that began after the first time.
    pub processes: u64,
    /// Their CPU time, ns.
    pub exec_runtime_ns: u64,
    /// Processes that are older and ended in between.
    #[serde(default, skip_serializing_if = "crate::answer::is_zero")]
    pub older_processes: u64,
    /// Their CPU time, ns: some of it was used before the first time.
    #[serde(default, skip_serializing_if = "crate::answer::is_zero")]
    pub older_exec_runtime_ns: u64,
}

/// What the difference is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All processes.
    All,
    /// This process and its descendants.
    Pid(u32),
    /// Processes in this systemd unit; `*` and `?` match as in a shell.
    Unit(String),
}
