//! Where effects of one record or one tick go, and how what they tell is known.

use crate::model::effect::Effect;
use crate::model::id::Ktime;
use crate::model::kinds::{Hook, Provenance};
use crate::model::record::{ExitSource, ReleaseSource};

/// When something happened, and how that is known.
#[derive(Clone, Copy, Debug)]
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

/// A change under way: its context, and the effects so far.
pub(crate) struct Transition<'a> {
    pub(crate) ctx: EventContext,
    pub(crate) out: &'a mut Vec<Effect>,
}

impl<'a> Transition<'a> {
    /// Effects go to the end of `out`.
    pub(crate) const fn new(ctx: EventContext, out: &'a mut Vec<Effect>) -> Self {
        Self { ctx, out }
    }

    /// The same effects in another context.
    pub(crate) const fn with(&mut self, ctx: EventContext) -> Transition<'_> {
        Transition { ctx, out: self.out }
    }

    /// The same effects, for what follows from the kernel's rules.
    pub(crate) const fn inferred(&mut self) -> Transition<'_> {
        self.with(self.ctx.inferred())
    }
}
