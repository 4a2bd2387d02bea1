//! What a dying task leaves: its children, who go to its heir.

use crate::Lineage;
use crate::apply::transition::{EventContext, Transition};
use crate::model::effect::Effect;
use crate::model::id::TaskRef;
use crate::model::task::TaskState;
use crate::store::arena::Ix;
use crate::store::group::{Group, fact};
use crate::store::task::{Task, known};

/// Whose children go to whom, and what of that is not sure.
struct Estate {
    /// The dying task as records name it.
    own: Option<TaskRef>,
    heir: Option<Ix<Task>>,
    /// The kernel showed this heir; else it is the one by its rule.
    is_shown: bool,
    /// An heir that was shown and is dead by now: it has handed them on in its turn.
    passer: Option<TaskRef>,
    /// How they came to the passer, which was seen.
    came: EventContext,
    /// How they come to the heir.
    ctx: EventContext,
    /// Some may have gone before it died, unseen.
    may_be_lost: bool,
}

impl Lineage {
    /// A dying task's children go to its heir: the one the kernel showed, or the one its rule names.
    pub(crate) fn hand_on_children(
        &mut self,
        dying: Ix<Task>,
        heir: Option<TaskRef>,
        t: &mut Transition<'_>,
    ) {
        if self.store[dying].first_child().is_none() {
            return;
        }
        let estate = self.estate(dying, heir, t);
        while let Some(child) = self.store[dying].first_child() {
            if self.store[child].has(fact::FREED) || self.was_taken(child) {
                // Released below this parent already, though the RCU callback may not have t.ctx it yet.
                self.store.orphan(child);
                continue;
            }
            self.inherit(child, &estate, t.out);
            if self.store[dying].first_child() == Some(child) {
                // No heir, or one that cannot be: whose child it is now is not known.
                self.store.orphan(child);
                self.store[child].set(fact::PARENT | fact::PARENT_START, false);
            }
        }
    }

    /// Whether a child has gone from its parent for good: what became of it is told, and only its release is awaited.
    fn was_taken(&self, child: Ix<Group>) -> bool {
        self.store[child].leader().is_some_and(|leader| {
            let leader = &self.store[leader];
            leader.state() == TaskState::Dead && leader.knows(known::END_TOLD)
        })
    }

    fn estate(&mut self, dying: Ix<Task>, shown: Option<TaskRef>, t: &mut Transition<'_>) -> Estate {
        let heir = shown.and_then(|heir| self.living(heir, t)).filter(|&heir| heir != dying);
        let is_shown = heir.is_some();
        let own = self.store.reference(dying);
        // An heir that is dead by now has handed them on in its turn, but those that were released before it died.
        let gone = shown.filter(|_| !is_shown).and_then(|heir| self.store.find(heir.key));
        let passer = shown.filter(|heir| gone.is_some() && own.is_none_or(|own| own.tgid != heir.tgid));
        let may_be_lost = self.may_have_lost_children(dying, t.ctx);
        let came = t.ctx.without_hook();
        let t = &mut t.with(EventContext {
            at: gone.map_or(t.ctx.at, |gone| self.store[gone].since.max(t.ctx.at)),
            ..t.ctx
        });
        let heir = heir.or_else(|| self.heir_by_rule(dying, t.ctx));
        let t = &mut t.with(if is_shown { came } else { t.ctx.inferred() });
        Estate { own, heir, is_shown, passer, came, ctx: t.ctx, may_be_lost }
    }

    /// One child goes to the heir, by the passer where there is one.
    fn inherit(&mut self, child: Ix<Group>, estate: &Estate, out: &mut Vec<Effect>) {
        let &Estate { own, heir, is_shown, ctx, .. } = estate;
        if !is_shown {
            self.conclude_parent(child);
            self.dispute(child, own, ctx.at);
        }
        self.store[child].parent_at = ctx.at.max(self.store[child].parent_at);
        self.store[child].set(fact::PARENT_INFERRED, !is_shown);
        let may_be_gone = self.may_have_been_taken(child);
        let is_open = may_be_gone && (estate.may_be_lost || self.may_be_going(child, ctx));
        // What is open of a child is whether it left the first parent.
        let passer = estate.passer.filter(|_| !is_open && !self.store[child].has(fact::OPEN));
        if let Some(passer) = passer {
            let first_parent = self.store[child].parent_key();
            self.tell_handover(child, own, first_parent, passer, &mut Transition::new(estate.came, out));
        }
        let Some(heir) = heir else { return };
        let old_parent = passer.or(own);
        if is_open || (passer.is_some() && may_be_gone) {
            self.hand_on_openly(child, old_parent, heir, ctx);
            return;
        }
        let father = self.store[child].parent_key();
        self.hand_on(child, old_parent, heir, &mut Transition::new(ctx, out));
        if ctx.is_by_tracepoint() && self.store[child].parent_key() != father {
            self.note_dying_father(child, father);
        }
    }
}
