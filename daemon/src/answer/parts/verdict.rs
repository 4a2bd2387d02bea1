//! A verdict as JSON.

use serde::{Deserialize, Serialize};

use crate::answer::process::ProcessRef;
use crate::{export::Stamp, verdict};

/// A verdict: what is wrong with a process, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerVerdict {
    /// Its stable code: `never_waits`, `held_by_tracer`, ...
    pub code: String,
    /// The code in a few words.
    pub words: String,
    /// `certain`, or `likely` if another situation would look the same.
    pub certainty: String,
    /// The verdict as one sentence.
    pub summary: String,
    /// The process that has to act.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub culprit: Option<ProcessRef>,
    /// The evidence, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Facts that could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Missing>,
}

/// A fact that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The fact.
    pub fact: String,
    /// What is needed to read it.
    pub needs: String,
}

impl AnswerVerdict {
    /// Whether a client with `CAP_SYS_PTRACE` could read missing facts.
    pub(in crate::answer) fn needs_local_facts(&self) -> bool {
        self.missing
            .iter()
            .any(|missing| missing.needs.contains("CAP_SYS_PTRACE") || missing.needs.contains("/proc"))
    }

    pub(in crate::answer) fn of(verdict: verdict::Verdict, stamp: &Stamp) -> Self {
        let missing = verdict.missing.into_iter();
        Self {
            code: verdict.code.name().into(),
            words: verdict.code.words().into(),
            certainty: verdict.certainty.name().into(),
            summary: verdict.summary,
            culprit: verdict.responsible.map(|culprit| ProcessRef::of(&culprit, stamp)),
            evidence: verdict.evidence,
            remedy: verdict.remedy,
            missing: missing.map(|missing| Missing { fact: missing.fact, needs: missing.needs }).collect(),
        }
    }
}
