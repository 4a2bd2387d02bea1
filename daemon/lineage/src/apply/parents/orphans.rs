//! Reparents the children of an exiting task to its new reaper.

use crate::Lineage;
use crate::apply::transition::Transition;
use crate::model::effect::Effect;
use crate::model::event_context::EventContext;
use crate::model::id::TaskRef;
use crate::model::record::Exited;
use crate::model::task::TaskState;
use crate::store::slot::group::{Group, fact};
use crate::store::slot::pending_reparent::ReparentStep;
use crate::store::slot::task::{Task, known};
use crate::store::tables::arena::Ix;

/// A transfer of children from an exiting task to a new reaper, with the parts that are uncertain.
struct OrphanTransfer {
    /// The exiting task, as records name it.
    own: Option<TaskRef>,
    new_reaper: Option<Ix<Task>>,
    /// A record showed this new reaper; otherwise it follows from the kernel's rule.
    is_shown: bool,
    /// A new reaper that the kernel showed and that has died since: the children have been reparented again.
    intermediate_parent: Option<TaskRef>,
    /// The context of the move to the intermediate parent, which a record showed.
    came: EventContext,
    /// The context of the move to the new reaper.
    ctx: EventContext,
    /// Some children may have been released, without a record, before the task died.
    may_be_lost: bool,
}

impl Lineage {
    /// Reparents an exiting task's children to the new reaper that the kernel showed, or to the one by the kernel's rule.
    pub(crate) fn reparent_children(
        &mut self,
        dying: Ix<Task>,
        new_reaper: Option<TaskRef>,
        t: &mut Transition<'_>,
    ) {
        if self.store[dying].first_child().is_none() {
            return;
        }
        let transfer = self.orphan_transfer(dying, new_reaper, t);
        while let Some(child) = self.store[dying].first_child() {
            if self.store[child].has(fact::FREED) || self.was_reaped(child) {
                // The child was released while it had this parent, though the RCU callback may not have shown that yet.
                self.store.unlink_child(child);
                continue;
            }
            self.transfer_orphan(child, &transfer, t.out);
            if self.store[dying].first_child() == Some(child) {
                // There is no new reaper, or it would make a cycle, so the child's new parent is not known.
                self.store.unlink_child(child);
                self.store[child].set(fact::PARENT | fact::PARENT_START, false);
            }
        }
    }

    /// Reparents the children of a task as the record of its exit shows it. Returns false if the group is gone: see
    /// [`Lineage::still_leads`].
    #[must_use]
    pub(crate) fn reparent_children_as_shown(
        &mut self,
        ix: Ix<Task>,
        group: Ix<Group>,
        exited: &Exited,
        t: &mut Transition<'_>,
    ) -> bool {
        if let Some(new_reaper) = exited.new_reaper_process() {
            let rare = self.store.rare(group);
            rare.new_reaper = Some((exited.task.key, new_reaper));
            if std::mem::take(&mut rare.children_by_rule) {
                self.apply_late_reaper(exited.task, new_reaper, t);
                if !self.still_leads(ix, group) {
                    return false;
                }
            }
        }
        let has_hidden_threads = self.count_hidden_threads(ix, group, exited.nr_threads) > 0;
        if exited.new_reaper.is_none() && has_hidden_threads {
            return true;
        }
        self.reparent_children(ix, exited.new_reaper, t);
        self.still_leads(ix, group)
    }

    /// Whether the end of a child has been emitted and only its release is missing.
    fn was_reaped(&self, child: Ix<Group>) -> bool {
        self.store[child].leader().is_some_and(|leader| {
            let leader = &self.store[leader];
            leader.state() == TaskState::Dead && leader.knows(known::END_EMITTED)
        })
    }

    fn orphan_transfer(
        &mut self,
        dying: Ix<Task>,
        shown: Option<TaskRef>,
        t: &mut Transition<'_>,
    ) -> OrphanTransfer {
        let new_reaper = shown
            .and_then(|new_reaper| self.resolve_or_create_living(new_reaper, t))
            .filter(|&new_reaper| new_reaper != dying);
        let is_shown = new_reaper.is_some();
        let own = self.store.reference(dying);
        // If the new reaper has died since, its own exit reparented the children again, except those that were released before.
        let gone = shown.filter(|_| !is_shown).and_then(|new_reaper| self.store.find(new_reaper.key));
        let intermediate_parent =
            shown.filter(|new_reaper| gone.is_some() && own.is_none_or(|own| own.tgid != new_reaper.tgid));
        let may_be_lost = self.may_have_lost_children(dying, t.ctx);
        let came = t.ctx.without_hook();
        let t = &mut t.with(EventContext {
            at: gone.map_or(t.ctx.at, |gone| self.store[gone].since.max(t.ctx.at)),
            ..t.ctx
        });
        let new_reaper = new_reaper.or_else(|| self.new_reaper_by_rule(dying, t.ctx));
        let t = &mut t.with(if is_shown { came } else { t.ctx.inferred() });
        OrphanTransfer { own, new_reaper, is_shown, intermediate_parent, came, ctx: t.ctx, may_be_lost }
    }

    /// Reparents one child to the new reaper, through the intermediate parent if there is one.
    fn transfer_orphan(&mut self, child: Ix<Group>, transfer: &OrphanTransfer, out: &mut Vec<Effect>) {
        let &OrphanTransfer { own, new_reaper, is_shown, ctx, .. } = transfer;
        if !is_shown {
            self.conclude_parent(child);
            self.note_snapshot_conflict(child, own, ctx.at);
        }
        self.store.advance_parent_at(child, ctx.at);
        self.store[child].set(fact::PARENT_INFERRED, !is_shown);
        let may_be_gone = self.may_have_been_reaped(child);
        let is_pending = may_be_gone && (transfer.may_be_lost || self.may_be_autoreaping(child, ctx));
        // The open question is whether the child left its first parent.
        let via = transfer.intermediate_parent;
        if is_pending {
            let Some(new_reaper) = new_reaper else { return };
            let via = via.map(|new| ReparentStep { new: Some(new), ctx: transfer.came });
            self.reparent_pending(child, own, via, new_reaper, ctx);
            return;
        }
        if let Some(via) = via {
            self.confirm_pending_reparent(child, out);
            let first_parent = self.store[child].parent_key();
            self.emit_reparented(child, own, first_parent, via, &mut Transition::new(transfer.came, out));
        }
        let Some(new_reaper) = new_reaper else { return };
        let old_parent = via.or(own);
        if via.is_some() && may_be_gone {
            self.reparent_pending(child, old_parent, None, new_reaper, ctx);
            return;
        }
        let father = self.store[child].parent_key();
        self.reparent(child, old_parent, new_reaper, &mut Transition::new(ctx, out));
        if ctx.is_by_tracepoint() && self.store[child].parent_key() != father {
            self.note_exiting_parent(child, father);
        }
    }
}
