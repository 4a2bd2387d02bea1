//! Creates a [`Life`] from what the store has of a group.

use crate::Lineage;
use crate::model::id::Ktime;
use crate::model::kinds::Creation;
use crate::model::life::{Life, LifeState};
use crate::model::record::Comm;
use crate::model::task::TaskState;
use crate::store::reaping::Reaping;
use crate::store::slot::group::{Group, fact};
use crate::store::slot::task::{Queue, known};
use crate::store::tables::arena::Ix;

impl Lineage {
    /// Returns everything known about a group. The age of a zombie is measured until `now`.
    pub(crate) fn life_of_group(&self, ix: Ix<Group>, now: Ktime) -> Option<Life> {
        let group = &self.store[ix];
        let leader_ix = group.leader()?;
        let leader = &self.store[leader_ix];
        let extra = self.store.extra_of(group).unwrap_or_default();
        let rare = self.store.rare_of(group);
        let profile = self.store.profile_of(group);
        let Reaping { reaper, zombie: was_zombie, ended_at, at: taken_at } = self.store.reaping_of(ix);
        let is_zombie = matches!(leader.queue(), Queue::Zombie | Queue::Flagged | Queue::Unconfirmed);
        let state = match leader.state() {
            TaskState::Implied | TaskState::Running => LifeState::Running,
            TaskState::Exiting => LifeState::Exiting,
            TaskState::Zombie if group.has(fact::DEAD_LEADER) => LifeState::DeadLeader,
            TaskState::Zombie => LifeState::Zombie,
            TaskState::Dead => LifeState::Dead,
            TaskState::Released => LifeState::Released,
        };
        let flags = leader.knows(known::FLAGS).then_some(leader.flags);
        let clone_flags = group.has(fact::CLONE_FLAGS).then_some(profile.clone_flags);
        let zombie = if is_zombie { Some(self.zombie_span(leader_ix, now)) } else { was_zombie };
        Some(Life {
            key: group.key(),
            state,
            provenance: leader.provenance,
            kind: leader.kind(true),
            name: leader.knows(known::COMM).then_some(leader.comm),
            executable: group.executable.clone(),
            parent: group.parent_key(),
            parent_name: self.parent_name(group),
            // As long as it is not known whether the child was reparented, its parent is the former one.
            first_parent: extra.first_parent().or_else(|| self.store.pending_reparent(group)?.old_group),
            creator: rare.and_then(|rare| rare.creator),
            clone_flags,
            creation: clone_flags.map(|clone| Creation::of(clone, leader.flags)),
            flags,
            exit_signal: group.has(fact::EXIT_SIGNAL).then_some(group.exit_signal()),
            credentials: group.has(fact::CREDENTIALS).then_some((profile.uid, profile.euid)),
            cgroup_id: self.store.cgroup_of(group),
            namespace: self.namespace_of(group, leader),
            holds_parent: group.has(fact::HOLDS_PARENT),
            execs: group.execs,
            exec_at: (group.execs > 0).then_some(group.exec_at),
            before_exec: rare.and_then(|rare| rare.before_exec.clone()),
            renames: extra.renames,
            threads: self.store.present(group),
            threads_created: extra.threads_created,
            threads_peak: extra.threads_peak,
            tracer: rare.and_then(|rare| rare.tracer),
            since: leader.since,
            leader_died_at: extra.leader_died_at(),
            reparented: extra.reparented,
            reparented_at: (extra.reparented > 0).then_some(extra.reparented_at),
            reparent_kind: extra.reparent_kind,
            status: group.status().settled(group.is_dead()),
            death: self.deaths.of(group.key()).cloned(),
            job_stop: self.deaths.job_stop(group.key()),
            zombie,
            end: group.end(),
            reaper,
            released_at: (state == LifeState::Released).then_some(leader.since),
            ended_at: ended_at.or_else(|| self.store.ended_at(ix)),
            taken_at,
            forked_by: rare.and_then(|rare| rare.forked_by),
            debt: group.debt().map(|debt| self.store[debt].debt),
            usage: self.store.group_usage(ix),
            children_usage: self.store.children_usage(ix).map(Box::new),
        })
    }

    /// The parent may be released already: a child that it reaped can be released later.
    pub(crate) fn parent_name(&self, group: &Group) -> Option<Comm> {
        if let Some(parent) = group.parent() {
            return self.store.process_name(parent);
        }
        self.name_by_key(group.parent_key()?)
    }
}
