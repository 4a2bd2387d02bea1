//! Tasks and groups as effects show them.

use super::Lineage;
use super::arena::Ix;
use super::effect::{Action, Effect, Hook, Process, Provenance, Thread};
use super::flags::{EXIT_DEAD, EXIT_ZOMBIE};
use super::group::{Group, fact};
use super::id::{GroupKey, Ktime, TaskRef, Tgid};
use super::record::{Comm, ExitSource, Namespaced, ReleaseSource};
use super::task::{Task, TaskState, known};

/// When, and how it is known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    pub(super) at: Ktime,
    pub(super) provenance: Provenance,
    pub(super) hook: Option<Hook>,
}

impl Told {
    pub(super) const fn observed(at: Ktime) -> Self {
        Self { at, provenance: Provenance::Observed, hook: None }
    }

    pub(super) const fn inferred(self) -> Self {
        Self { provenance: Provenance::Inferred, ..self }
    }

    /// Whether the task can have been released for long: its own way through its exit, and its RCU callback, wait for no one.
    pub(super) const fn may_be_belated(&self) -> bool {
        matches!(self.hook, Some(Hook::Exit(_) | Hook::Release(ReleaseSource::Free)))
    }

    /// Whether this comes from where the tracepoints see an end: late, and without a word on who brought it about.
    pub(super) const fn is_by_tracepoint(&self) -> bool {
        matches!(self.hook, Some(Hook::Exit(ExitSource::FinalSwitch) | Hook::Release(ReleaseSource::Free)))
    }
}

impl Lineage {
    pub(super) fn tell(&self, out: &mut Vec<Effect>, ix: Ix<Task>, told: Told, action: Action) {
        let task = &self.tasks[ix];
        let (process, thread) = match task.group {
            Some(group) => {
                let group = &self.groups[group];
                (self.process(group), self.thread(group, ix, task))
            }
            // A task without a group was released; its group's own end was told before.
            None => return,
        };
        out.push(Effect {
            at: told.at,
            provenance: told.provenance,
            hook: told.hook,
            late_ns: 0,
            process,
            thread,
            action,
        });
    }

    fn process(&self, group: &Group) -> Process {
        let leader = group.leader.map(|ix| &self.tasks[ix]);
        let profile = self.profiles.get(group.profile);
        Process {
            key: group.key(),
            name: leader.filter(|leader| leader.knows(known::COMM)).map(|leader| leader.comm),
            parent: self.told_parent(group),
            vpid: self.vtgid(group),
            executable: group.executable.clone(),
            credentials: group.has(fact::CREDENTIALS).then_some((profile.uid, profile.euid)),
            status: group.status().settled(group.is_dead()),
        }
    }

    /// The parent as it was told: where it is open whether a child was handed on, the former one.
    fn told_parent(&self, group: &Group) -> Option<GroupKey> {
        let open = if group.has(fact::OPEN) { self.open_handover(group) } else { None };
        open.map_or(group.parent_key(), |open| open.old_group)
    }

    pub(super) fn thread(&self, group: &Group, ix: Ix<Task>, task: &Task) -> Thread {
        let is_leader = group.leader == Some(ix);
        let exit_signal =
            if is_leader { group.has(fact::EXIT_SIGNAL).then_some(group.exit_signal) } else { Some(-1) };
        let exit_state = match task.state {
            _ if task.knows(known::NO_EXIT_STATE) => None,
            TaskState::Zombie => Some(EXIT_ZOMBIE),
            TaskState::Dead | TaskState::Released => Some(EXIT_DEAD),
            _ => None,
        };
        Thread {
            key: task.key,
            name: task.knows(known::COMM).then_some(task.comm),
            kind: task.kind(is_leader),
            exit_signal,
            exit_state,
            exit_code: task.knows(known::EXIT_CODE).then_some(task.exit_code),
            flags: task.knows(known::FLAGS).then_some(task.flags),
            cgroup_id: self.cgroup_of(group),
            namespace: self.namespace_of(group, task),
        }
    }

    pub(super) fn namespace_of(&self, group: &Group, task: &Task) -> Option<Namespaced> {
        if !group.has(fact::NAMESPACE) || !task.knows(known::VTID) {
            return None;
        }
        let profile = self.profiles.get(group.profile);
        Some(Namespaced {
            vtid: task.vtid,
            vtgid: self.vtgid(group),
            inode: profile.namespace,
            level: profile.namespace_level,
        })
    }

    /// A group's id in its own pid namespace: its leader's tid there.
    fn vtgid(&self, group: &Group) -> Option<u32> {
        let leader = &self.tasks[group.leader?];
        leader.knows(known::VTID).then_some(leader.vtid)
    }

    /// A group's cgroup's id.
    pub(super) fn cgroup_of(&self, group: &Group) -> Option<u64> {
        group.has(fact::CGROUP).then(|| self.profiles.get(group.profile).cgroup_id)
    }

    /// A task as records name it.
    pub(super) fn reference(&self, ix: Ix<Task>) -> Option<TaskRef> {
        let group = &self.groups[self.tasks[ix].group?];
        Some(TaskRef { key: self.tasks[ix].key, tgid: Tgid(group.tgid) })
    }

    /// Comm of the leader of a task's group.
    pub(super) fn process_name(&self, ix: Ix<Task>) -> Option<Comm> {
        let leader = self.groups[self.tasks[ix].group?].leader?;
        let leader = &self.tasks[leader];
        leader.knows(known::COMM).then_some(leader.comm)
    }
}
