//! When something happened, and how that is known.

use crate::model::id::Ktime;
use crate::model::kinds::{Hook, Provenance};
use crate::model::record::{ExitSource, ReleaseSource};

/// When something happened, and how that is known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EventContext {
    pub(crate) at: Ktime,
    pub(crate) provenance: Provenance,
    pub(crate) hook: Option<Hook>,
}

impl EventContext {
    /// Returns the context of a change that a hook reported.
    pub(crate) const fn observed(at: Ktime) -> Self {
        Self { at, provenance: Provenance::Observed, hook: None }
    }

    /// Returns the context of a change that follows from the kernel's rules.
    pub(crate) const fn inferred(self) -> Self {
        Self { provenance: Provenance::Inferred, ..self }
    }

    /// Returns this context without the hook, for a change that only one hook can report.
    pub(crate) const fn without_hook(self) -> Self {
        Self { hook: None, ..self }
    }

    /// Whether the record can arrive long after the release of its task. The exit of a task and its RCU callback can run after
    /// another task has been given its tid.
    pub(crate) const fn may_be_belated(&self) -> bool {
        matches!(self.hook, Some(Hook::Exit(_) | Hook::Release(ReleaseSource::Free)))
    }

    /// Whether the record comes from a tracepoint, which reports an end late and without the reaper.
    pub(crate) const fn is_by_tracepoint(&self) -> bool {
        matches!(self.hook, Some(Hook::Exit(ExitSource::FinalSwitch) | Hook::Release(ReleaseSource::Free)))
    }
}
