//! Units, containers and sessions as the kernel sees them: cgroups that get their first task and lose their last.
//!
//! `cgroup_notify_populated` fires before the record of the task that came, and, up to 6.18, before that of the exit of the one that
//! left: it exits then, and is the current task. From 6.19 on the last task leaves after its last switch, when its exit is known.

mod memory;

use std::collections::HashSet;
use std::sync::Arc;

pub(crate) use self::memory::Scopes;

use self::memory::{Beginning, Below, Ending, WAITING};
use crate::Lineage;
use crate::apply::transition::Transition;
use crate::model::brief::Brief;
use crate::model::death::GroupDeath;
use crate::model::effect::{Action, Effect, Process, Thread};
use crate::model::event_context::EventContext;
use crate::model::id::{GroupKey, Ktime, TaskKey, TaskRef};
use crate::model::scope::{
    CgroupChange, CgroupChanged, CgroupName, Scope, ScopeEnd, ScopeMember, hierarchies,
};
use crate::model::task::TaskKind;
use crate::store::slot::group::{Group, fact};
use crate::store::tables::arena::Ix;

/// `PF_EXITING`: the task is in `do_exit()`.
const PF_EXITING: u32 = 0x4;
/// A record that comes later than this is lost.
const WAIT_NS: u64 = 2_000_000_000;

impl Lineage {
    /// Says whether beginnings and ends of cgroups are reported from now on.
    pub const fn watch_scopes(&mut self, is_watched: bool) {
        self.scopes.is_watched = is_watched;
    }

    /// Whether beginnings and ends of cgroups are reported.
    #[must_use]
    pub const fn watches_scopes(&self) -> bool {
        self.scopes.is_watched
    }

    /// Scopes that tasks are in, and then those that have ended, the last first.
    pub fn scopes(&self) -> impl Iterator<Item = Arc<Scope>> {
        self.scopes.all()
    }

    /// Names of the cgroups that were made since the last call.
    pub fn take_cgroup_names(&mut self) -> impl Iterator<Item = CgroupName> {
        self.scopes.take_names()
    }

    pub(crate) fn on_cgroup_changed(&mut self, at: Ktime, changed: &CgroupChanged, out: &mut Vec<Effect>) {
        let id = changed.cgroup_id;
        if id == 0 {
            self.stats.late += 1;
            return;
        }
        if self.scopes.may_prune(at) {
            self.prune_scopes();
        }
        let actor = changed.actor.and_then(|actor| self.member_of(actor));
        match changed.change {
            CgroupChange::Made => {
                if let (Some(name), Some(parent_id)) = (&changed.name, changed.parent_id) {
                    let name = Arc::clone(name);
                    self.scopes.note_name(CgroupName { cgroup_id: id, parent_id, name });
                }
                if let Some(open) = self.scopes.open(id) {
                    open.scope.made = Some((at, actor));
                }
            }
            CgroupChange::Removed => {
                self.scopes.note_removal(id, at);
                if let Some(mut open) = self.scopes.close(id).filter(|open| open.is_populated) {
                    // The record of its end was lost.
                    open.scope.removed = Some(at);
                    open.scope.end = Some(ScopeEnd::Unknown);
                    self.scopes.keep(open.scope);
                }
            }
            CgroupChange::Populated => self.populated(at, changed),
            CgroupChange::Emptied => {
                self.emptied(at, changed, actor, &mut Transition::new(EventContext::observed(at), out));
            }
        }
        if let Some(open) = self.scopes.open.get_mut(&id) {
            open.scope.parent_id = changed.parent_id.or(open.scope.parent_id);
            if changed.name.is_some() {
                open.scope.name.clone_from(&changed.name);
            }
        }
    }

    fn populated(&mut self, at: Ktime, changed: &CgroupChanged) {
        let id = changed.cgroup_id;
        let Some(open) = self.scopes.open(id) else { return };
        let named = Scope {
            cgroup_id: id,
            parent_id: changed.parent_id,
            name: changed.name.clone(),
            made: open.scope.made,
            ..Scope::default()
        };
        let had_death = open.scope.first_death.is_some();
        (open.scope, open.is_populated, open.last_exit, open.below) = (named, true, None, None);
        open.scope.began = Some(at);
        let named = open.scope.clone();
        self.scopes.with_death -= usize::from(had_death);
        let past = self.scopes.count_start(&named);
        if let Some(open) = self.scopes.open(id) {
            open.scope.starts = past.starts;
            open.scope.empty_ns = past.ended.map(|ended| at.since(ended));
        }
        if self.scopes.beginning.len() < WAITING {
            self.scopes.beginning.push(Beginning { cgroup_id: id, at, actor: changed.actor });
        }
    }

    /// Emits the beginnings that this process is the first of.
    pub(crate) fn begin_scopes_of(&mut self, group: Ix<Group>, t: &mut Transition<'_>) {
        if self.scopes.beginning.is_empty() {
            return;
        }
        let Some(number) = self.store.cgroup_of(&self.store[group]) else { return };
        let (unified, controller) = hierarchies(number);
        let own: Vec<u64> = [Some(unified), controller]
            .into_iter()
            .flatten()
            .flat_map(|id| self.scopes.upward(id).collect::<Vec<_>>())
            .collect();
        let (due, left) = std::mem::take(&mut self.scopes.beginning)
            .into_iter()
            .partition(|it| own.contains(&it.cgroup_id));
        self.scopes.beginning = left;
        let member = self.scope_member(group);
        for beginning in due {
            self.emit_beginning(beginning, Some(member), t);
        }
    }

    fn emit_beginning(&mut self, due: Beginning, first: Option<ScopeMember>, t: &mut Transition<'_>) {
        let Some(open) = self.scopes.open.get_mut(&due.cgroup_id) else { return };
        if open.scope.began != Some(due.at) {
            return;
        }
        open.scope.first = first;
        let scope = Arc::new(open.scope.clone());
        let subject = first.or_else(|| due.actor.and_then(|actor| self.member_of(actor)));
        self.emit_scope(t, subject, &scope, Action::ScopeBegan(Arc::clone(&scope)));
    }

    fn emptied(
        &mut self,
        at: Ktime,
        changed: &CgroupChanged,
        actor: Option<ScopeMember>,
        t: &mut Transition<'_>,
    ) {
        let id = changed.cgroup_id;
        let open = self.scopes.close(id).unwrap_or_default();
        let left = self.who_left(at, changed, open.below, open.last_exit);
        let mut scope = open.scope;
        scope.cgroup_id = id;
        scope.parent_id = changed.parent_id.or(scope.parent_id);
        if changed.name.is_some() {
            scope.name.clone_from(&changed.name);
        }
        (scope.ended, scope.end, scope.last) = (Some(at), Some(left.end), left.last);
        if let Some(above) = scope.parent_id.and_then(|above| self.scopes.open(above)) {
            above.below = Some(left);
        }
        // Its beginning was not told yet: it is now.
        let waits = self.scopes.beginning.extract_if(.., |it| it.cgroup_id == id).next();
        if let Some(beginning) = waits {
            scope.first = scope.last;
            let subject = scope.last.or_else(|| beginning.actor.and_then(|actor| self.member_of(actor)));
            let began = Arc::new(scope.clone());
            self.emit_scope(t, subject, &began, Action::ScopeBegan(Arc::clone(&began)));
        }
        match left.waits_for {
            Some(group) if self.scopes.ending.len() < WAITING => {
                self.scopes.ending.push(Ending { group, scope });
            }
            _ => self.emit_scope_end(scope, actor, t),
        }
    }

    /// Which process left a cgroup last, and how.
    fn who_left(
        &self,
        at: Ktime,
        changed: &CgroupChanged,
        below: Option<Below>,
        last_exit: Option<ScopeMember>,
    ) -> Below {
        const SAME_NS: u64 = 1_000_000_000;
        if let Some(below) = below.filter(|below| at.since(below.at) < SAME_NS) {
            return Below { at, ..below };
        }
        let group = changed.actor.and_then(|actor| self.group_of_task(actor));
        let is_in = |group: Ix<Group>| {
            self.store.cgroup_of(&self.store[group]).is_none_or(|number| is_part(number, changed.cgroup_id))
        };
        let is_exiting = changed.actor_flags.is_some_and(|flags| flags & PF_EXITING != 0);
        if is_exiting && let Some(group) = group.filter(|&group| is_in(group)) {
            let has_ended = self.store[group].has(fact::EXIT_EMITTED);
            let waits_for = (!has_ended).then(|| self.store[group].key());
            return Below { at, end: ScopeEnd::Exited, last: Some(self.scope_member(group)), waits_for };
        }
        let is_moved = |member: &crate::GroupView<'_>| {
            member.cgroup_id().is_some_and(|number| is_part(number, changed.cgroup_id))
                && self
                    .store
                    .find_current(member.key().tgid.leader())
                    .and_then(|leader| self.store[leader].group())
                    .is_some_and(|ix| !self.store[ix].has(fact::EXIT_EMITTED))
        };
        if let Some(moved) = self.groups().find(is_moved) {
            let last = ScopeMember { key: moved.key(), name: moved.name() };
            return Below { at, end: ScopeEnd::Moved, last: Some(last), waits_for: None };
        }
        let end = if last_exit.is_some() { ScopeEnd::Exited } else { ScopeEnd::Unknown };
        Below { at, end, last: last_exit, waits_for: None }
    }

    fn emit_scope_end(&mut self, scope: Scope, actor: Option<ScopeMember>, t: &mut Transition<'_>) {
        let scope = self.scopes.keep(scope);
        let subject = scope.last.or(actor).or(scope.first);
        self.emit_scope(t, subject, &scope, Action::ScopeEnded(Arc::clone(&scope)));
    }

    /// A process was born: what its cgroup's processes died of before did not end the cgroup.
    pub(crate) fn note_birth_in_scope(&mut self, group: Ix<Group>, at: Ktime) {
        if self.scopes.with_death == 0 {
            return;
        }
        let Some(number) = self.store.cgroup_of(&self.store[group]) else { return };
        for id in self.scopes_of(number) {
            self.scopes.forget_death(id, at);
        }
    }

    /// A group has ended: scopes that waited for that, and what it means for those that go on.
    pub(crate) fn after_group_end_in_scope(
        &mut self,
        group: Ix<Group>,
        death: Option<&Arc<GroupDeath>>,
        t: &mut Transition<'_>,
    ) {
        if !self.scopes.is_watched {
            return;
        }
        let members = &self.store[group];
        let (key, number) = (members.key(), self.store.cgroup_of(members));
        let member = self.scope_member(group);
        let death = death.filter(|death| death.status.is_none_or(|status| status.0 != 0));
        if let Some(number) = number {
            let (unified, controller) = hierarchies(number);
            for id in [Some(unified), controller].into_iter().flatten() {
                // One that is older than taskscope.
                if !self.scopes.has_ended(id)
                    && let Some(open) = self.scopes.open(id)
                {
                    open.is_populated = true;
                }
            }
            for id in self.scopes_of(number) {
                if let Some(open) = self.scopes.open.get_mut(&id) {
                    open.last_exit = Some(member);
                }
                if let Some(death) = death {
                    self.scopes.note_death(id, death);
                }
            }
        }
        if self.scopes.ending.is_empty() {
            return;
        }
        let due: Vec<_> = self.scopes.ending.extract_if(.., |it| it.group == key).collect();
        for Ending { mut scope, .. } in due {
            if let (None, Some(death)) = (&scope.first_death, death) {
                scope.first_death = Some(Arc::clone(death));
            }
            self.emit_scope_end(scope, Some(member), t);
        }
    }

    /// Emits beginnings and ends whose task's record does not come.
    pub(crate) fn give_up_scopes(&mut self, now: Ktime, out: &mut Vec<Effect>) {
        if self.scopes.beginning.is_empty() && self.scopes.ending.is_empty() {
            return;
        }
        let t = &mut Transition::new(EventContext::observed(now), out);
        let late: Vec<_> = self.scopes.beginning.extract_if(.., |it| now.since(it.at) > WAIT_NS).collect();
        for beginning in late {
            self.emit_beginning(beginning, None, t);
        }
        let is_late = |it: &mut Ending| it.scope.ended.is_none_or(|at| now.since(at) > WAIT_NS);
        let late: Vec<_> = self.scopes.ending.extract_if(.., is_late).collect();
        for ending in late {
            self.emit_scope_end(ending.scope, None, t);
        }
    }

    /// A cgroup number's ids and those above them.
    fn scopes_of(&self, number: u64) -> Vec<u64> {
        let (unified, controller) = hierarchies(number);
        let below = [Some(unified), controller].into_iter().flatten();
        below.flat_map(|id| self.scopes.upward(id)).collect()
    }

    /// Forgets cgroups that no process is in, nor in one below.
    fn prune_scopes(&mut self) {
        let numbers: HashSet<u64> = self.groups().filter_map(|group| group.cgroup_id()).collect();
        let kept: HashSet<u64> = numbers.into_iter().flat_map(|number| self.scopes_of(number)).collect();
        let gone: Vec<u64> = self.scopes.open.keys().filter(|id| !kept.contains(id)).copied().collect();
        for id in gone {
            self.scopes.close(id);
        }
    }

    fn group_of_task(&self, task: TaskRef) -> Option<Ix<Group>> {
        self.store.find(task.key).and_then(|ix| self.store[ix].group())
    }

    fn member_of(&self, task: TaskRef) -> Option<ScopeMember> {
        match self.group_of_task(task) {
            Some(group) => Some(self.scope_member(group)),
            None if task.is_leader() => Some(ScopeMember {
                key: GroupKey { tgid: task.tgid, start: Some(task.key.start) },
                name: None,
            }),
            None => None,
        }
    }

    fn scope_member(&self, group: Ix<Group>) -> ScopeMember {
        let members = &self.store[group];
        let name = members.leader().and_then(|leader| self.store.process_name(leader));
        ScopeMember { key: members.key(), name }
    }

    /// Adds an effect about a scope. Its cgroup is the scope's, wherever the process is.
    fn emit_scope(
        &mut self,
        t: &mut Transition<'_>,
        subject: Option<ScopeMember>,
        scope: &Scope,
        action: Action,
    ) {
        let Some(subject) = subject else { return };
        let start = subject.key.start.unwrap_or_default();
        let key = TaskKey { tid: subject.key.tgid.leader(), start };
        let found = self.store.find(key).filter(|&ix| self.store[ix].group().is_some());
        if let Some(ix) = found {
            if self.emit(t, ix, action)
                && let Some(effect) = t.out.last_mut()
            {
                (effect.thread.cgroup_id, effect.hook) = (Some(scope.cgroup_id), None);
            }
            return;
        }
        let effect = Effect {
            at: t.ctx.at,
            provenance: t.ctx.provenance,
            hook: None,
            late_ns: 0,
            process: Process {
                key: subject.key,
                name: subject.name,
                parent: None,
                vpid: None,
                executable: None,
                credentials: None,
                status: None,
                arguments: None,
            },
            thread: Thread {
                key,
                name: subject.name,
                kind: TaskKind::Process,
                exit_signal: None,
                exit_state: None,
                exit_code: None,
                flags: None,
                cgroup_id: Some(scope.cgroup_id),
                namespace: None,
            },
            action,
        };
        if self.wanted.has(effect.process.key.tgid) {
            t.out.push(effect);
        } else {
            self.add_brief(Brief::of(&effect));
        }
    }
}

/// Whether a task with this cgroup number is directly in that cgroup.
const fn is_part(number: u64, id: u64) -> bool {
    let (unified, controller) = hierarchies(number);
    unified == id || matches!(controller, Some(controller) if controller == id)
}
