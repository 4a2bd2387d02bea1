//! The answer of `explain --at`: a process of the past, with its ancestors at that time.

use serde::{Deserialize, Serialize};

use crate::answer::{known::Known, life::LifeRecord, process::ProcessRef};

/// Processes that existed at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastLives {
    /// The time, RFC 3339.
    pub at: String,
    /// The processes that were selected, the youngest first.
    pub processes: Vec<PastLife>,
    /// What the history covers, if the answer is from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<Known>,
}

/// A process that existed at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastLife {
    /// The process.
    pub process: ProcessRef,
    /// Its life, if it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub life: Option<Box<LifeRecord>>,
    /// Its ancestors at that time, its parent first. The last one is the oldest that is known.
    pub ancestors: Vec<PastAncestor>,
}

/// An ancestor at that time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastAncestor {
    /// The process.
    #[serde(flatten)]
    pub process: ProcessRef,
    /// When it was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_timestamp: Option<String>,
    /// When it ended; absent if it has not, or if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_timestamp: Option<String>,
    /// `ended`, `running`, or `unknown`: only its child's record names it.
    pub state: String,
}
