//! Effects about scopes, and the processes that they name.

use crate::Lineage;
use crate::apply::transition::Transition;
use crate::model::brief::Brief;
use crate::model::effect::{Action, Effect, Process, Thread};
use crate::model::id::{GroupKey, TaskKey, TaskRef};
use crate::model::scope::{Scope, ScopeMember};
use crate::model::task::TaskKind;
use crate::store::slot::group::Group;
use crate::store::tables::arena::Ix;

impl Lineage {
    /// Returns the group of a known task.
    pub(super) fn group_of_task(&self, task: TaskRef) -> Option<Ix<Group>> {
        self.store.find(task.key).and_then(|ix| self.store[ix].group())
    }

    /// Returns a task's process; for an unknown task only if it is a leader.
    pub(super) fn member_of(&self, task: TaskRef) -> Option<ScopeMember> {
        match self.group_of_task(task) {
            Some(group) => Some(self.scope_member(group)),
            None if task.is_leader() => Some(ScopeMember {
                key: GroupKey { tgid: task.tgid, start: Some(task.key.start) },
                name: None,
            }),
            None => None,
        }
    }

    /// Returns a group in the form in which scopes name it.
    pub(super) fn scope_member(&self, group: Ix<Group>) -> ScopeMember {
        let members = &self.store[group];
        let name = members.leader().and_then(|leader| self.store.process_name(leader));
        ScopeMember { key: members.key(), name }
    }

    /// Adds an effect about a scope. Its cgroup is the scope's, not that of the process.
    pub(super) fn emit_scope(
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
        if self.wanted.has_action(effect.process.key.tgid, &effect.action) {
            t.out.push(effect);
        } else {
            self.add_brief(Brief::of(&effect));
        }
    }
}
