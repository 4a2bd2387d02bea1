//! The context of one record or tick: where its effects go, and how the facts in them are known.

use crate::model::effect::Effect;
use crate::model::event_context::EventContext;

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
