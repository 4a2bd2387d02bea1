//! `forget_original_parent()`: whose children become whose.

use super::Lineage;
use super::arena::Ix;
use super::birth::RESET_EXIT_SIGNAL;
use super::effect::{Action, Effect, ReparentKind};
use super::group::{Group, fact};
use super::id::{Ktime, TaskRef, Tgid, Tid};
use super::record::Reparented;
use super::task::{Task, TaskState};
use super::view::Told;

/// The first process of the initial pid namespace.
const INIT: Tid = Tid(1);

impl Lineage {
    pub(super) fn on_reparented(&mut self, at: Ktime, reparented: &Reparented, out: &mut Vec<Effect>) {
        let told = Told::observed(at);
        let Some(child) = self.subject(reparented.child, None, told, out) else {
            self.stats.late += 1;
            return;
        };
        self.seen_running(child, at);
        let Some(group) = self.tasks[child].group else {
            self.stats.late += 1;
            return;
        };
        if self.groups[group].leader != Some(child) {
            // Only leaders hang on a parent; threads follow theirs.
            self.stats.contradictory += 1;
            return;
        }
        let seen_before = self.groups[group].has(fact::PARENT)
            && self.is_parent(group, reparented.new_parent)
            && !self.groups[group].has(fact::PARENT_INFERRED);
        if seen_before && self.groups[group].parent_at >= at {
            self.stats.duplicate += 1;
            return;
        }
        if self.groups[group].parent_at > at {
            self.stats.late += 1;
            return;
        }
        let was_inferred =
            self.groups[group].has(fact::PARENT_INFERRED) && self.is_parent(group, reparented.new_parent);
        let Some(parent) = self.named(reparented.new_parent, told, out) else {
            self.stats.late += 1;
            return;
        };
        let old_parent = reparented.old_parent.or_else(|| self.parent_ref(group));
        self.groups[group].parent_at = at;
        self.groups[group].set(fact::PARENT_INFERRED, false);
        if was_inferred {
            // Told already, when its parent's death was.
            self.stats.late += 1;
            return;
        }
        self.hand_on(group, old_parent, parent, told, out);
    }

    /// A record shows who a group's parent is at its time. What differs from the tree was not seen: an exit's reparenting.
    pub(super) fn learn_parent(
        &mut self,
        group: Ix<Group>,
        parent: Option<TaskRef>,
        told: Told,
        out: &mut Vec<Effect>,
    ) {
        let Some(parent) = parent else { return };
        let child = &self.groups[group];
        if child.has(fact::PARENT) && child.parent_at > told.at {
            return;
        }
        if self.is_parent(group, parent) {
            self.groups[group].parent_at = told.at;
            self.groups[group].set(fact::PARENT_INFERRED, false);
            return;
        }
        let Some(ix) = self.named(parent, told, out) else { return };
        let had_parent = self.groups[group].has(fact::PARENT);
        let old_parent = self.parent_ref(group);
        self.groups[group].parent_at = told.at;
        self.groups[group].set(fact::PARENT_INFERRED, false);
        if had_parent {
            self.stats.parents_corrected += 1;
            self.hand_on(group, old_parent, ix, told, out);
        } else if !self.adopt(group, ix) {
            self.stats.contradictory += 1;
        }
    }

    /// A dying task's children go to its heir: the one the kernel showed, or the one its rule names.
    pub(super) fn hand_on_children(
        &mut self,
        dying: Ix<Task>,
        heir: Option<TaskRef>,
        told: Told,
        out: &mut Vec<Effect>,
    ) {
        if self.tasks[dying].first_child.is_none() {
            return;
        }
        let shown = heir.and_then(|heir| self.named(heir, told, out)).filter(|&heir| heir != dying);
        let heir = shown.or_else(|| self.heir_by_rule(dying));
        let told = if shown.is_some() { told } else { told.inferred() };
        let old_parent = self.reference(dying);
        while let Some(child) = self.tasks[dying].first_child {
            self.groups[child].set(fact::PARENT_INFERRED, shown.is_none());
            match heir {
                Some(heir) => self.hand_on(child, old_parent, heir, told, out),
                None => self.orphan(child),
            }
            if self.tasks[dying].first_child == Some(child) {
                // Refused, as the heir is younger than the child: whose child it is now is not known.
                self.orphan(child);
                self.groups[child].set(fact::PARENT, false);
            }
        }
    }

    /// Moves a child to its new parent and tells it.
    fn hand_on(
        &mut self,
        group: Ix<Group>,
        old: Option<TaskRef>,
        parent: Ix<Task>,
        told: Told,
        out: &mut Vec<Effect>,
    ) {
        let first_parent = self.groups[group].parent_key();
        if !self.adopt(group, parent) {
            self.stats.contradictory += 1;
            return;
        }
        let (Some(leader), Some(new_parent)) = (self.groups[group].leader, self.reference(parent)) else {
            return;
        };
        let kind = self.reparent_kind(group, old.map(|old| old.tgid), parent, new_parent);
        if kind != ReparentKind::SiblingThread {
            // `reparent_leader()`
            self.groups[group].exit_signal = RESET_EXIT_SIGNAL;
            self.groups[group].set(fact::EXIT_SIGNAL, true);
            let rare = self.rare(group);
            rare.first_parent = rare.first_parent.or(first_parent);
            rare.reparented += 1;
            rare.reparented_at = told.at;
            rare.reparent_kind = Some(kind);
        }
        // Nobody is told of a child that is on its way out.
        if self.tasks[leader].state < TaskState::Dead {
            self.tell(out, leader, told, Action::Reparented { old_parent: old, new_parent, kind });
        }
    }

    fn reparent_kind(
        &mut self,
        group: Ix<Group>,
        old: Option<Tgid>,
        parent: Ix<Task>,
        new_parent: TaskRef,
    ) -> ReparentKind {
        if old == Some(new_parent.tgid) {
            return ReparentKind::SiblingThread;
        }
        if new_parent.tgid.leader() == INIT {
            return ReparentKind::Init;
        }
        let Some(parents) = self.tasks[parent].group else { return ReparentKind::Subreaper };
        let namespace = self.groups[group].has(fact::NAMESPACE).then_some(self.groups[group].namespace);
        let is_its_init = namespace
            .and_then(|namespace| self.namespace_init(namespace))
            .is_some_and(|init| self.tasks[init].group == Some(parents));
        let leader = self.groups[parents].leader;
        let is_an_init = leader.is_some_and(|leader| {
            self.groups[parents].has(fact::NAMESPACE)
                && self.groups[parents].namespace_level > 0
                && self.tasks[leader].vtid == 1
        });
        if is_its_init || is_an_init {
            return ReparentKind::NamespaceInit;
        }
        if !self.groups[parents].has(fact::SUBREAPER) {
            self.groups[parents].set(fact::SUBREAPER, true);
            self.subreapers += 1;
        }
        ReparentKind::Subreaper
    }

    /// The kernel's rule, `find_new_reaper()`: a live thread of the same group, else the nearest subreaper above in the same
    /// namespace, else the namespace's init. Who is a subreaper is known only of those that were seen to adopt.
    fn heir_by_rule(&self, dying: Ix<Task>) -> Option<Ix<Task>> {
        let group = self.tasks[dying].group?;
        if let Some(thread) = self.live_thread(group, dying) {
            return Some(thread);
        }
        if self.subreapers > 0
            && let Some(thread) = self.nearest_subreaper(group, dying)
        {
            return Some(thread);
        }
        let members = &self.groups[group];
        let init = if members.has(fact::NAMESPACE) && members.namespace_level > 0 {
            self.namespace_init(members.namespace)
        } else {
            None
        };
        let usable = |init: &Ix<Task>| self.tasks[*init].group.is_some_and(|inits| inits != group);
        let init = init.filter(usable).or_else(|| self.holder(INIT).filter(usable))?;
        self.live_thread(self.tasks[init].group?, dying).or(Some(init))
    }

    fn nearest_subreaper(&self, group: Ix<Group>, dying: Ix<Task>) -> Option<Ix<Task>> {
        let level = |group: &Group| group.has(fact::NAMESPACE).then_some(group.namespace_level);
        let own_level = level(&self.groups[group]);
        let mut ancestor = self.groups[group].parent;
        while let Some(above) = ancestor.and_then(|parent| self.tasks[parent].group) {
            let members = &self.groups[above];
            if members.tgid == 0
                || (level(members).is_some() && own_level.is_some() && level(members) != own_level)
            {
                return None;
            }
            if members.has(fact::SUBREAPER)
                && let Some(thread) = self.live_thread(above, dying)
            {
                return Some(thread);
            }
            ancestor = members.parent;
        }
        None
    }

    /// `find_alive_thread()`: the first thread that is not exiting.
    fn live_thread(&self, group: Ix<Group>, dying: Ix<Task>) -> Option<Ix<Task>> {
        self.members(group).find(|&ix| ix != dying && self.tasks[ix].state < TaskState::Exiting)
    }

    /// A group's parent as records name tasks.
    fn parent_ref(&self, group: Ix<Group>) -> Option<TaskRef> {
        self.reference(self.groups[group].parent?)
    }

    /// A task as records name it.
    pub(super) fn reference(&self, ix: Ix<Task>) -> Option<TaskRef> {
        Some(TaskRef { key: self.tasks[ix].key, tgid: self.tgid(ix)? })
    }
}
