//! When something happened, and how that is known.

use crate::model::id::Ktime;
use crate::model::kinds::{Hook, Provenance};
use crate::model::record::{ExitSource, ReleaseSource};

/// When, and how it is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    pub(crate) at: Ktime,
    pub(crate) provenance: Provenance,
    pub(crate) hook: Option<Hook>,
}

impl Told {
    pub(crate) const fn observed(at: Ktime) -> Self {
        Self { at, provenance: Provenance::Observed, hook: None }
    }

    pub(crate) const fn inferred(self) -> Self {
        Self { provenance: Provenance::Inferred, ..self }
    }

    /// Whether the task can have been released for long: its own way through its exit, and its RCU callback, wait for no one.
    pub(crate) const fn may_be_belated(&self) -> bool {
        matches!(self.hook, Some(Hook::Exit(_) | Hook::Release(ReleaseSource::Free)))
    }

    /// Whether this comes from where the tracepoints see an end: late, and without a word on who brought it about.
    pub(crate) const fn is_by_tracepoint(&self) -> bool {
        matches!(self.hook, Some(Hook::Exit(ExitSource::FinalSwitch) | Hook::Release(ReleaseSource::Free)))
    }
}
