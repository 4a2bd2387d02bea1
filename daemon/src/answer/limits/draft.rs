//! The part of the limits that comes from the lineage: which processes count against which limit.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::FailedForks;
use crate::{
    answer::{LineageAt, NotFound, TaskSelector},
    export::Stamp,
    lineage::{
        GroupView,
        id::{GroupKey, Ktime},
        leak::{Leak, LeakKind},
        record::{Comm, ForkFailures},
    },
    verdict::facts::Named,
};

/// A group of processes with the same values in all fields.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Crowd {
    pub(super) cgroup_id: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) name: Option<Comm>,
    pub(super) parent: Option<GroupKey>,
}

/// How many processes and tasks the group has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    pub(super) processes: u64,
    pub(super) tasks: u64,
    pub(super) zombies: u64,
    /// The process with the most tasks, and their number.
    pub(super) largest: (u32, u64),
}

impl Size {
    fn add(&mut self, other: Self) {
        self.processes += other.processes;
        self.tasks += other.tasks;
        self.zombies += other.zombies;
        if other.largest.1 > self.largest.1 {
            self.largest = other.largest;
        }
    }
}

/// The process whose limits are asked for.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) named: Named,
    pub(super) uid: Option<u32>,
    pub(super) cgroup_id: Option<u64>,
    pub(super) namespace: Option<u32>,
    /// Whether it is not the initial namespace.
    pub(super) is_nested: bool,
    /// Tasks in that namespace.
    pub(super) neighbours: u64,
}

/// The part that comes from the lineage.
#[derive(Clone, Debug)]
pub struct LimitsDraft {
    pub(super) now: Ktime,
    pub(super) observed_since: Option<Ktime>,
    pub(super) subject: Option<Subject>,
    pub(super) tasks: u64,
    pub(super) crowds: HashMap<Crowd, Size>,
    pub(super) parents: HashMap<GroupKey, Comm>,
    /// Pid namespaces whose init lives.
    pub(super) namespaces: HashSet<u32>,
    /// When limits will be full, for those that a daemon follows.
    pub(super) forecasts: Vec<Forecast>,
    /// Forks of that process that failed lately.
    pub(super) failures: Option<ForkFailures>,
    /// Leaks that fill limits.
    pub(super) leaks: Vec<Arc<Leak>>,
}

/// When a limit will be full at the growth of the last minutes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// [`super::Limit::kind`].
    pub kind: &'static str,
    /// [`super::Limit::name`].
    pub name: String,
    /// The time until then, ns.
    pub full_in_ns: u64,
}

impl LimitsDraft {
    /// Creates the draft for the whole host.
    #[must_use]
    pub fn of(lineage_at: &LineageAt<'_>) -> Self {
        Self::about(None, lineage_at)
    }

    /// Creates the draft for one process, if it lives.
    pub fn asked(
        selector: &TaskSelector,
        lineage_at: &LineageAt<'_>,
        stamp: &Stamp,
    ) -> Result<Self, NotFound> {
        let key = selector.find(lineage_at, stamp)?;
        Ok(Self::about(Some(key), lineage_at))
    }

    /// Creates the draft for one process, or for the host without one. Costs O(processes).
    pub(crate) fn about(key: Option<GroupKey>, lineage_at: &LineageAt<'_>) -> Self {
        let mut draft = Self {
            now: lineage_at.now,
            observed_since: lineage_at.observed_since,
            subject: None,
            tasks: lineage_at.lineage.state_counts().present() as u64,
            crowds: HashMap::new(),
            parents: HashMap::new(),
            namespaces: HashSet::new(),
            forecasts: Vec::new(),
            failures: None,
            leaks: Vec::new(),
        };
        let mut last = None;
        for group in lineage_at.lineage.groups().filter(|group| !group.is_unconfirmed()) {
            draft.add(group, &mut last);
            if Some(group.key()) == key && group.zombie_since().is_none() {
                draft.subject = Some(Subject {
                    named: Named { key: group.key(), name: group.name().map(|name| name.bytes().to_vec()) },
                    uid: group.real_uid(),
                    cgroup_id: group.cgroup_id(),
                    namespace: group.pid_namespace(),
                    is_nested: group
                        .life(lineage_at.now)
                        .and_then(|life| life.namespace)
                        .is_some_and(|namespace| namespace.level > 0),
                    neighbours: 0,
                });
            }
        }
        if let Some((crowd, size)) = last {
            draft.join(crowd, size);
        }
        if let Some(subject) = &mut draft.subject
            && subject.is_nested
        {
            let groups = lineage_at.lineage.groups().filter(|group| !group.is_unconfirmed());
            let inside = groups.filter(|group| group.pid_namespace() == subject.namespace);
            subject.neighbours = inside.map(|group| u64::from(group.present())).sum();
        }
        draft
    }

    /// Counts a process. Consecutive processes mostly belong to the same crowd: `last` sums them up, which saves lookups in the table.
    fn add(&mut self, group: GroupView<'_>, last: &mut Option<(Crowd, Size)>) {
        let tasks = u64::from(group.present());
        if tasks == 0 {
            return;
        }
        let parent = group.parent();
        let crowd = Crowd {
            cgroup_id: group.cgroup_id(),
            uid: group.real_uid(),
            name: group.name(),
            parent: parent.map(|parent| parent.key()),
        };
        let is_zombie = group.zombie_since().is_some();
        if !is_zombie && let Some(inode) = group.pid_namespace() {
            self.namespaces.insert(inode);
        }
        let one =
            Size { processes: 1, tasks, zombies: u64::from(is_zombie), largest: (group.key().tgid.0, tasks) };
        if let Some((_, size)) = last.as_mut().filter(|(before, _)| *before == crowd) {
            size.add(one);
            return;
        }
        if let Some((key, name)) = parent.and_then(|parent| Some((parent.key(), parent.name()?))) {
            self.parents.insert(key, name);
        }
        if let Some((crowd, size)) = last.replace((crowd, one)) {
            self.join(crowd, size);
        }
    }

    fn join(&mut self, crowd: Crowd, size: Size) {
        self.crowds.entry(crowd).or_default().add(size);
    }

    /// Adds when limits will be full.
    #[must_use]
    pub fn with_forecasts(mut self, forecasts: Vec<Forecast>) -> Self {
        self.forecasts = forecasts;
        self
    }

    /// Adds the leaks that fill limits: of the process, or of all.
    #[must_use]
    pub fn with_leaks(mut self, leaks: Vec<Arc<Leak>>) -> Self {
        let subject = self.subject.as_ref().map(|subject| subject.named.key);
        self.leaks = leaks;
        self.leaks.retain(|leak| {
            matches!(leak.kind(), LeakKind::Threads | LeakKind::Storm)
                && subject.is_none_or(|subject| leak.concerns(subject))
        });
        self
    }

    /// The pid namespace of the process, if that is not the host's, and the tasks in it.
    pub(super) fn nested(&self) -> Option<(u32, u64)> {
        let subject = self.subject.as_ref().filter(|subject| subject.is_nested)?;
        Some((subject.namespace?, subject.neighbours))
    }

    /// Adds the forks of the process that failed recently.
    #[must_use]
    pub(crate) fn with_failures(mut self, failures: Option<ForkFailures>) -> Self {
        self.failures = failures;
        self
    }

    /// Returns these failed forks in the form that answers have.
    pub(crate) fn failed_forks(&self) -> Option<FailedForks> {
        self.failures.as_ref().map(FailedForks::of)
    }

    /// Returns the cgroups whose places the answer needs.
    #[must_use]
    pub fn cgroups(&self) -> Vec<u64> {
        let ids: HashSet<u64> = self.crowds.keys().filter_map(|crowd| crowd.cgroup_id).collect();
        ids.into_iter().collect()
    }
}
