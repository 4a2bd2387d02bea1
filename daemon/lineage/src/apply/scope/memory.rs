//! Stores cgroups with tasks, cgroups that have ended, and how often a cgroup of each name began.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::model::death::{GroupDeath, ScopeName};
use crate::model::id::{GroupKey, Ktime, TaskRef};
use crate::model::scope::{CgroupName, Scope, ScopeEnd, ScopeMember, hierarchies};
use crate::store::tables::id_map::IdMap;

/// The most cgroups that are followed. For further cgroups only the end is reported.
const OPEN: usize = 16_384;
/// The most scopes that are kept after their end, and the most names whose beginnings are counted.
const ENDED: usize = 1_024;
/// The most beginnings and ends that wait for a record of their task.
pub(super) const WAITING: usize = 256;
/// The most ancestors of a cgroup that are visited.
const LEVELS: usize = 16;
/// The most names of new cgroups that the sink has not taken yet.
const NAMES: usize = 4_096;

/// A cgroup with tasks, or one that was created and has no task yet.
#[derive(Debug, Default)]
pub(super) struct Open {
    pub(super) scope: Scope,
    /// Whether it has had a task.
    pub(super) is_populated: bool,
    /// The process in it that ended last.
    pub(super) last_exit: Option<ScopeMember>,
    /// How the last cgroup below it was emptied; after that the kernel checks whether this one is empty too.
    pub(super) below: Option<Below>,
}

/// How a cgroup was emptied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Below {
    pub(super) at: Ktime,
    pub(super) end: ScopeEnd,
    pub(super) last: Option<ScopeMember>,
    pub(super) waits_for: Option<GroupKey>,
}

/// A beginning that waits for the record of the cgroup's first task.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning {
    pub(super) cgroup_id: u64,
    pub(super) at: Ktime,
    pub(super) actor: Option<TaskRef>,
}

/// An end that waits for the record of the process that ended last.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) group: GroupKey,
    pub(super) scope: Scope,
}

/// Earlier cgroups of one name below the same parent cgroup.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Past {
    pub(super) starts: u32,
    pub(super) ended: Option<Ktime>,
}

/// What is kept of cgroups.
#[derive(Debug, Default)]
pub(crate) struct Scopes {
    /// Whether beginnings and ends are reported.
    pub(super) is_watched: bool,
    pub(super) open: IdMap<u64, Open>,
    /// Open scopes with a death that may lead to their end.
    pub(super) with_death: usize,
    pub(super) beginning: Vec<Beginning>,
    pub(super) ending: Vec<Ending>,
    ended: VecDeque<Arc<Scope>>,
    past: HashMap<(u64, Arc<str>), Past>,
    past_order: VecDeque<(u64, Arc<str>)>,
    names: VecDeque<CgroupName>,
    pruned: Ktime,
}

impl Scopes {
    /// Starts to follow a cgroup; returns `None` if there is no room.
    pub(super) fn open(&mut self, cgroup_id: u64) -> Option<&mut Open> {
        if self.open.len() >= OPEN && !self.open.contains_key(&cgroup_id) {
            return None;
        }
        let open = self.open.entry(cgroup_id).or_default();
        open.scope.cgroup_id = cgroup_id;
        Some(open)
    }

    /// Whether a cgroup is not followed, but can be.
    pub(super) fn has_room_for(&self, cgroup_id: u64) -> bool {
        self.open.len() < OPEN && !self.open.contains_key(&cgroup_id)
    }

    /// Whether it is time to forget cgroups without tasks, whose ends were lost.
    pub(super) fn may_prune(&mut self, at: Ktime) -> bool {
        const EVERY_NS: u64 = 10_000_000_000;
        let is_due = self.open.len() >= OPEN && at.since(self.pruned) >= EVERY_NS;
        if is_due {
            self.pruned = at;
        }
        is_due
    }

    /// Returns the ids of the cgroups in this number, and of their known ancestors.
    pub(super) fn all_of(&self, number: u64) -> impl Iterator<Item = u64> + '_ {
        let above = |id: &u64| self.open.get(id).and_then(|open| open.scope.parent_id);
        let (unified, controller) = hierarchies(number);
        let upward = move |id| std::iter::successors(Some(id), above).take(LEVELS);
        upward(unified).chain(controller.into_iter().flat_map(upward))
    }

    /// Whether a task with this cgroup number is in that cgroup, or in one below it.
    pub(super) fn is_within(&self, number: u64, cgroup_id: u64) -> bool {
        self.all_of(number).any(|id| id == cgroup_id)
    }

    /// Changes all cgroups of [`Self::all_of`].
    fn change_all(&mut self, number: u64, change: impl Fn(&mut Open)) {
        let (unified, controller) = hierarchies(number);
        for start in std::iter::once(unified).chain(controller) {
            let mut next = Some(start);
            for _ in 0..LEVELS {
                let Some(open) = next.and_then(|id| self.open.get_mut(&id)) else { break };
                self.with_death -= usize::from(open.scope.first_death.is_some());
                change(open);
                self.with_death += usize::from(open.scope.first_death.is_some());
                next = open.scope.parent_id;
            }
        }
    }

    /// Returns the name that the cgroup of this unit has after each restart.
    pub(crate) fn name_of(&self, number: Option<u64>) -> Option<ScopeName> {
        let (unified, controller) = hierarchies(number?);
        let of = |id: u64| key(&self.open.get(&id)?.scope);
        let named = of(unified).or_else(|| controller.and_then(of));
        Some(match named {
            Some((cgroup_id, name)) => ScopeName { cgroup_id, name: Some(name) },
            None => ScopeName { cgroup_id: number?, name: None },
        })
    }

    /// Stops following a cgroup.
    pub(super) fn close(&mut self, cgroup_id: u64) -> Option<Open> {
        let open = self.open.remove(&cgroup_id)?;
        self.with_death -= usize::from(open.scope.first_death.is_some());
        Some(open)
    }

    /// Notes the end of a process, and its death if that may lead to the end of a scope. Only the first such death is kept.
    pub(super) fn note_exit(&mut self, number: u64, member: ScopeMember, death: Option<&Arc<GroupDeath>>) {
        self.change_all(number, |open| {
            (open.last_exit, open.is_populated) = (Some(member), true);
            if open.scope.first_death.is_none() {
                open.scope.first_death = death.cloned();
            }
        });
    }

    /// Forgets deaths that the scopes of a new process have outlived.
    pub(super) fn forget_deaths(&mut self, number: u64, born: Ktime) {
        const RELATED_NS: u64 = 1_000_000_000;
        self.change_all(number, |open| {
            open.scope.first_death.take_if(|death| born.since(death.at) > RELATED_NS);
        });
    }

    /// Counts a beginning by name. Returns how many there were, and how long no cgroup of that name had tasks.
    pub(super) fn count_start(&mut self, scope: &Scope) -> Past {
        let Some(key) = key(scope) else { return Past { starts: 1, ended: None } };
        if !self.past.contains_key(&key) {
            if self.past.len() >= ENDED
                && let Some(oldest) = self.past_order.pop_front()
            {
                self.past.remove(&oldest);
            }
            self.past_order.push_back(key.clone());
        }
        let past = self.past.entry(key).or_default();
        past.starts = past.starts.saturating_add(1);
        *past
    }

    /// Keeps a scope that has ended.
    pub(super) fn keep(&mut self, scope: Scope) -> Arc<Scope> {
        if let Some(past) = key(&scope).and_then(|key| self.past.get_mut(&key)) {
            past.ended = scope.ended.or(past.ended);
        }
        let scope = Arc::new(scope);
        if self.ended.len() >= ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back(Arc::clone(&scope));
        scope
    }

    /// Notes that the directory of an ended scope was removed.
    pub(super) fn note_removal(&mut self, cgroup_id: u64, at: Ktime) {
        if let Some(scope) = self.ended.iter_mut().rev().find(|scope| scope.cgroup_id == cgroup_id) {
            Arc::make_mut(scope).removed = Some(at);
        }
        if let Some(ending) = self.ending.iter_mut().find(|it| it.scope.cgroup_id == cgroup_id) {
            ending.scope.removed = Some(at);
        }
    }

    /// Whether a cgroup that is not followed has ended. The record of the last exit can arrive after the record of the end.
    pub(super) fn has_ended(&self, cgroup_id: u64) -> bool {
        self.ended.iter().rev().any(|scope| scope.cgroup_id == cgroup_id)
            || self.ending.iter().any(|it| it.scope.cgroup_id == cgroup_id)
    }

    pub(super) fn note_name(&mut self, name: CgroupName) {
        if self.names.len() >= NAMES {
            self.names.pop_front();
        }
        self.names.push_back(name);
    }

    pub(super) fn take_names(&mut self) -> impl Iterator<Item = CgroupName> {
        self.names.drain(..)
    }

    /// Returns scopes with tasks, and then those that have ended, the last first.
    pub(super) fn all(&self) -> impl Iterator<Item = Arc<Scope>> {
        let open = self.open.values().filter(|open| open.is_populated);
        let open = open.map(|open| Arc::new(open.scope.clone()));
        let ending = self.ending.iter().map(|ending| Arc::new(ending.scope.clone()));
        open.chain(ending).chain(self.ended.iter().rev().cloned())
    }
}

/// Returns what identifies a scope across restarts: the id of its parent cgroup, and its name.
fn key(scope: &Scope) -> Option<(u64, Arc<str>)> {
    Some((scope.parent_id?, Arc::clone(scope.name.as_ref()?)))
}
