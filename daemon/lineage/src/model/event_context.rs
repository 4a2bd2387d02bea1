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
    /// A hook saw it.
    pub(crate) const fn observed(at: Ktime) -> Self {
        Self { at, provenance: Provenance::Observed, hook: None }
    }

    /// It follows from the kernel's rules.
    pub(crate) const fn inferred(self) -> Self {
        Self { provenance: Provenance::Inferred, ..self }
    }

    /// The same without the hook: the event has only one place where it can be seen.
    pub(crate) const fn without_hook(self) -> Self {
        Self { hook: None, ..self }
    }

    /// Whether the record can come long after the release of its task: a task's own way through its exit, and its RCU callback,
    /// wait for no one.
    pub(crate) const fn may_be_belated(&self) -> bool {
        matches!(self.hook, Some(Hook::Exit(_) | Hook::Release(ReleaseSource::Free)))
    }

    /// Whether this comes from where the tracepoints see an end: late, and without who brought it about.
    pub(crate) const fn is_by_tracepoint(&self) -> bool {
        matches!(self.hook, Some(Hook::Exit(ExitSource::FinalSwitch) | Hook::Release(ReleaseSource::Free)))
    }
}
