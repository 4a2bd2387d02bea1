//! Creates effects, which show a task and its group as they are now.

use crate::Lineage;
use crate::apply::transition::Transition;
use crate::model::brief::{Brief, Subject};
use crate::model::effect::{Action, Effect, Process, Thread};
use crate::model::event_context::EventContext;
use crate::model::flags::{EXIT_DEAD, EXIT_ZOMBIE};
use crate::model::id::{GroupKey, Tgid};
use crate::model::record::{Comm, Namespaced};
use crate::model::task::TaskState;
use crate::store::slot::group::{Group, fact};
use crate::store::slot::task::{Task, known};
use crate::store::tables::arena::Ix;

impl Lineage {
    /// Adds an effect: what happened to a task, with the task and its group as they are now. Returns whether it was built.
    #[expect(
        clippy::inline_always,
        reason = "each caller passes one action; the compiler removes it where only a brief is created"
    )]
    #[inline(always)]
    pub(crate) fn emit(&mut self, t: &mut Transition<'_>, ix: Ix<Task>, action: Action) -> bool {
        let Some(group) = self.store[ix].group() else { return false };
        let tgid = Tgid(self.store[group].tgid());
        let may_be_wanted = self.wanted.has(tgid) || self.wanted.may_have(action.kind());
        if !may_be_wanted || !self.wanted.has_action(tgid, &action) {
            let brief = Brief::new(t.ctx.at, self.subject(group, ix), &action);
            self.add_brief(brief);
            return false;
        }
        self.build(t, ix, action)
    }

    #[inline(never)]
    fn build(&mut self, t: &mut Transition<'_>, ix: Ix<Task>, action: Action) -> bool {
        let effect = self.effect(t.ctx, ix, action);
        let is_built = effect.is_some();
        t.out.extend(effect);
        is_built
    }

    /// Creates the effect of an action; `None` for a task without a group: it was released, and the end of its group was reported
    /// before.
    pub(crate) fn effect(&self, ctx: EventContext, ix: Ix<Task>, action: Action) -> Option<Effect> {
        let task = &self.store[ix];
        let group = &self.store[task.group()?];
        let (process, thread) = (self.process(group), self.thread(group, ix, task));
        let EventContext { at, provenance, hook } = ctx;
        Some(Effect { at, provenance, hook, late_ns: 0, process, thread, action })
    }

    /// Whether effects of a group are built. If not, a caller can skip work that only effects need.
    pub(crate) fn builds_effects_of(&self, group: Ix<Group>) -> bool {
        self.wanted.has(self.store[group].key().tgid)
    }

    /// Returns the facts about a task and its group that a brief contains.
    #[inline(never)]
    fn subject(&self, group: Ix<Group>, ix: Ix<Task>) -> Subject {
        let (group, task) = (&self.store[group], &self.store[ix]);
        Subject {
            kind: task.kind(group.leader() == Some(ix)),
            is_leader_tid: task.key().tid == group.key().tgid.leader(),
            exit_code: task.knows(known::EXIT_CODE).then_some(task.exit_code),
            status: group.status().settled(group.is_dead()),
            cgroup_id: self.store.cgroup_of(group),
        }
    }

    /// Adds a brief in place of an effect.
    #[inline(never)]
    pub(crate) fn add_brief(&mut self, brief: Brief) {
        self.emitted_until = self.emitted_until.max(brief.at);
        self.briefs.push(brief);
    }

    fn process(&self, group: &Group) -> Process {
        let leader = group.leader().map(|ix| &self.store[ix]);
        let profile = self.store.profile_of(group);
        Process {
            key: group.key(),
            name: leader.filter(|leader| leader.knows(known::COMM)).map(|leader| leader.comm),
            parent: self.emitted_parent(group),
            vpid: self.store.vtgid(group),
            executable: group.executable.clone(),
            arguments: self.older_arguments_of(group.key()),
            credentials: group.has(fact::CREDENTIALS).then_some((profile.uid, profile.euid)),
            status: group.status().settled(group.is_dead()),
        }
    }

    /// Returns the parent as effects show it: the former parent as long as it is not known whether the child was reparented.
    fn emitted_parent(&self, group: &Group) -> Option<GroupKey> {
        let open = if group.has(fact::PARENT_PENDING) { self.store.pending_reparent(group) } else { None };
        open.map_or(group.parent_key(), |open| open.old_group)
    }

    /// Returns the comm of the parent that effects show.
    pub(crate) fn emitted_parent_name(&self, group: &Group) -> Option<Comm> {
        match group.parent() {
            Some(parent) if !group.has(fact::PARENT_PENDING) => self.store.process_name(parent),
            _ => self.name_by_key(self.emitted_parent(group)?),
        }
    }

    pub(crate) fn thread(&self, group: &Group, ix: Ix<Task>, task: &Task) -> Thread {
        let is_leader = group.leader() == Some(ix);
        let exit_signal =
            if is_leader { group.has(fact::EXIT_SIGNAL).then_some(group.exit_signal()) } else { Some(-1) };
        let exit_state = match task.state() {
            _ if task.knows(known::NO_EXIT_STATE) => None,
            TaskState::Zombie => Some(EXIT_ZOMBIE),
            TaskState::Dead | TaskState::Released => Some(EXIT_DEAD),
            _ => None,
        };
        Thread {
            key: task.key(),
            name: task.knows(known::COMM).then_some(task.comm),
            kind: task.kind(is_leader),
            exit_signal,
            exit_state,
            exit_code: task.knows(known::EXIT_CODE).then_some(task.exit_code),
            flags: task.knows(known::FLAGS).then_some(task.flags),
            cgroup_id: self.store.cgroup_of(group),
            namespace: self.namespace_of(group, task),
        }
    }

    pub(crate) fn namespace_of(&self, group: &Group, task: &Task) -> Option<Namespaced> {
        if !group.has(fact::NAMESPACE) || !task.knows(known::VTID) {
            return None;
        }
        let profile = self.store.profile_of(group);
        Some(Namespaced {
            vtid: task.vtid,
            vtgid: self.store.vtgid(group),
            inode: profile.namespace,
            level: profile.namespace_level,
        })
    }
}
