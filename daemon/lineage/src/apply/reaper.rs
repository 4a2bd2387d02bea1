//! Finds the task that ran `release_task()` on another, and their relation.

use crate::Lineage;
use crate::model::effect::Reaper;
use crate::model::id::{GroupKey, TaskKey, Tgid};
use crate::model::kinds::ReaperKind;
use crate::model::record::{ReleaseSource, Released};
use crate::model::relation::Relation;
use crate::model::task::TaskState;
use crate::store::slot::group::{Group, fact};
use crate::store::slot::task::known;
use crate::store::tables::arena::Ix;

impl Lineage {
    /// Returns the task that released another, as the record shows it; `None` if the record has no reaper.
    pub(crate) fn reaper_of(&self, group: Ix<Group>, released: &Released) -> Option<Reaper> {
        let by = released.by?;
        let members = &self.store[group];
        let by_task = self.store.find(by.key);
        let by_group = by_task.and_then(|by| self.store[by].group()).map(|group| &self.store[group]);
        let kind = if released.de_thread {
            ReaperKind::DeThread
        } else if released.source == ReleaseSource::SecondTurn {
            ReaperKind::Itself
        } else {
            let tracer = match released.tracer {
                Some(tracer) => tracer,
                None => self.store.rare_of(members).and_then(|rare| rare.tracer),
            };
            let parent = released.parent.map(|parent| parent.tgid);
            let namespace = members.has(fact::NAMESPACE).then(|| self.store.profile_of(members).namespace);
            ReaperKind::of(&Relation {
                group: Some(Tgid(members.tgid())),
                parent: parent.or_else(|| members.parent_key().map(|parent| parent.tgid)),
                tracer: tracer.map(|tracer| tracer.tgid),
                by: Some(by.tgid),
                by_is_dying: by_task.is_some_and(|by| self.store[by].state() >= TaskState::Exiting),
                by_is_namespace_init: by_task.is_some()
                    && namespace.is_some_and(|namespace| self.store.namespace_init(namespace) == by_task),
            })
        };
        let process = by_group.map_or(GroupKey { tgid: by.tgid, start: None }, Group::key);
        let name = by_task.and_then(|by| self.store.process_name(by));
        Some(Reaper { task: Some(by), process, name, kind })
    }

    /// Returns the reaper of a zombie if no record shows it: its parent.
    pub(crate) fn reaper_by_rule(&self, group: Ix<Group>) -> Option<Reaper> {
        let members = &self.store[group];
        let exiting_reaper = self.store.rare_of(members).and_then(|rare| rare.exiting_reaper);
        let process = exiting_reaper.or(members.parent_key())?;
        let name = if let (Some(parent), None) = (members.parent(), exiting_reaper) {
            self.store.process_name(parent)
        } else {
            // The parent has died since and is an exited process now.
            let leader = process
                .start
                .and_then(|start| self.store.find(TaskKey { tid: process.tgid.leader(), start }));
            leader
                .map(|leader| &self.store[leader])
                .filter(|leader| leader.knows(known::COMM))
                .map(|leader| leader.comm)
        };
        let kind = if exiting_reaper.is_some() { ReaperKind::ExitingParent } else { ReaperKind::Parent };
        Some(Reaper { task: None, process, name, kind })
    }
}
