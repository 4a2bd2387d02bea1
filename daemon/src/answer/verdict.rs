//! A verdict as JSON.

use serde::{Deserialize, Serialize};

use super::process::ProcessRef;
use crate::{export::Stamp, verdict};

/// What is the matter, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Its name, which does not change: `never_waits`, `held_by_tracer`, ...
    pub code: String,
    /// The same in a few words.
    pub words: String,
    /// `certain`, or `likely` where something else would look the same.
    pub certainty: String,
    /// One sentence.
    pub summary: String,
    /// Who has to act.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub culprit: Option<ProcessRef>,
    /// What it is drawn from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// What could not be had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Missing>,
}

/// A fact that could not be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// What.
    pub fact: String,
    /// What it would take.
    pub needs: String,
}

impl Verdict {
    /// Whether someone who may look into processes could say more.
    pub(super) fn needs_local_facts(&self) -> bool {
        self.missing
            .iter()
            .any(|missing| missing.needs.contains("CAP_SYS_PTRACE") || missing.needs.contains("/proc"))
    }

    pub(super) fn of(verdict: verdict::Verdict, stamp: &Stamp) -> Self {
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
