//! The context of one record or tick: where its effects go, and how the facts in them are known.

use crate::model::effect::Effect;
use crate::model::event_context::EventContext;

/// The context of a change, and the effects that it has caused so far.
pub(crate) struct Transition<'a> {
    pub(crate) ctx: EventContext,
    pub(crate) out: &'a mut Vec<Effect>,
}

impl<'a> Transition<'a> {
    /// Returns a context that appends effects to `out`.
    pub(crate) const fn new(ctx: EventContext, out: &'a mut Vec<Effect>) -> Self {
        Self { ctx, out }
    }

    /// Returns the same list of effects with another context.
    pub(crate) const fn with(&mut self, ctx: EventContext) -> Transition<'_> {
        Transition { ctx, out: self.out }
    }

    /// Returns the same list of effects, for effects that follow from the kernel's rules.
    pub(crate) const fn inferred(&mut self) -> Transition<'_> {
        self.with(self.ctx.inferred())
    }
}
