//! Reads the limits from /proc and the cgroup hierarchy, and adds the processes that count against each.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    Consumer, Limit, LimitLeak, Limits,
    draft::{Crowd, LimitsDraft, Size, Subject},
    failures::Failures,
};
use crate::{
    answer::{
        HostFacts, Made,
        place::AnswerPlace,
        process::{ProcessRef, names},
        verdict::Missing,
    },
    cgroup::{PidsHierarchy, PidsLimit},
    cgroup_mounts::Version,
    export::Stamp,
    host,
    lineage::{id::Tgid, leak::Leak, record::Comm},
    procfs::{NextNamespace, Procfs},
    verdict::{self, Surroundings},
};

/// The most consumers that are named.
const MOST_CONSUMERS: usize = 5;

/// The most limits that are listed for the whole host.
const MOST_LIMITS: usize = 20;

/// The most processes of one user whose limit is read, those with the most tasks first: each process has a limit of its own.
const PROCESSES_OF_A_USER: usize = 64;

/// A draft with the tables that counting needs.
pub(super) struct Counting<'a> {
    draft: &'a LimitsDraft,
    stamp: &'a Stamp,
    /// Paths in the hierarchy that limits pids, by cgroup id.
    paths: HashMap<u64, String>,
}

impl LimitsDraft {
    /// Completes it from /proc and the cgroup hierarchy.
    #[must_use]
    pub fn finish(self, host_facts: &mut HostFacts<'_>) -> Limits {
        read(&self, host_facts)
    }
}

fn read(draft: &LimitsDraft, host_facts: &mut HostFacts<'_>) -> Limits {
    if host_facts.procfs.is_absent() {
        // The limits of this host are not those of the recorded one.
        return Limits {
            made: Made::at(draft.now, draft.observed_since, host_facts.stamp),
            process: draft.subject.as_ref().map(|subject| ProcessRef::of(&subject.named, host_facts.stamp)),
            limits: Vec::new(),
            missing: Vec::new(),
            failures: None,
            leaks: Vec::new(),
        };
    }
    let hierarchy = PidsHierarchy::of(&host::cgroup_mounts());
    let version = hierarchy.as_ref().map(PidsHierarchy::version);
    let counting = match version {
        Some(version) => Counting::new(draft, host_facts.stamp, host_facts.places, version),
        None => Counting { draft, stamp: host_facts.stamp, paths: HashMap::new() },
    };
    let mut limits: Vec<Limit> = counting.of_cgroups(hierarchy.as_ref());
    limits.extend(counting.of_users(host_facts.procfs));
    limits.extend(counting.of_kernel(host_facts.procfs));
    let mut missing = Vec::new();
    if let Some(subject) = &draft.subject {
        match counting.of_namespace(subject, host_facts.procfs) {
            Ok(limit) => limits.extend(limit),
            Err(hidden) => missing.push(hidden),
        }
        // The kernel shows this limit only to readers inside the namespace.
        if subject.is_nested {
            missing.push(Missing {
                fact: "kernel.pid_max of its pid namespace (since Linux 6.14), at which forks fail with EAGAIN".into(),
                needs: format!(
                    "run inside of it: nsenter -t {} -p -m sysctl kernel.pid_max (while that is full, this fails with EAGAIN itself)",
                    subject.named.key.tgid
                ),
            });
        }
    }
    // Compare used / limit without rounding, by cross-multiplication.
    limits.sort_by(|one, other| {
        let share = |it: &Limit, by: &Limit| u128::from(it.used) * u128::from(by.limit.max(1));
        other.full.cmp(&one.full).then_with(|| share(other, one).cmp(&share(one, other)))
    });
    limits.truncate(MOST_LIMITS);
    Limits {
        made: Made::at(draft.now, draft.observed_since, host_facts.stamp),
        process: draft.subject.as_ref().map(|subject| ProcessRef::of(&subject.named, host_facts.stamp)),
        limits,
        missing,
        leaks: leaks(draft, host_facts.stamp),
        failures: draft.failures.clone().map(|forks| Failures {
            forks,
            now: draft.now,
            nested: draft.nested(),
        }),
    }
}

/// The most leaks that are named.
const MOST_LEAKS: usize = 5;

pub(super) fn leaks(draft: &LimitsDraft, stamp: &Stamp) -> Vec<LimitLeak> {
    let one = |leak: &Arc<Leak>| LimitLeak {
        kind: leak.kind().name().into(),
        process: ProcessRef::by(leak.culprit, leak.name, stamp),
        summary: verdict::leak(leak, draft.now, &Surroundings::default()).summary,
    };
    draft.leaks.iter().take(MOST_LEAKS).map(one).collect()
}

/// Returns its path in the hierarchy of that version.
fn path_of(place: &AnswerPlace, version: Version) -> String {
    match version {
        Version::V1 => place.cgroup.controller_path.clone().unwrap_or_else(|| "/".into()),
        Version::V2 => place.cgroup.path.clone(),
    }
}

fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl<'a> Counting<'a> {
    /// Reads the paths in a hierarchy of that version.
    pub(super) fn new(
        draft: &'a LimitsDraft,
        stamp: &'a Stamp,
        places: &mut dyn FnMut(u64) -> Option<AnswerPlace>,
        version: Version,
    ) -> Self {
        let ids = draft.cgroups().into_iter();
        let paths = ids.filter_map(|id| Some((id, path_of(&places(id)?, version)))).collect();
        Self { draft, stamp, paths }
    }

    /// Whether processes are in this cgroup or below it.
    pub(super) fn is_in(&self, crowd: &Crowd, cgroup: &str) -> bool {
        self.path(crowd.cgroup_id).is_some_and(|path| is_below(path, cgroup))
    }

    fn path(&self, id: Option<u64>) -> Option<&str> {
        self.paths.get(&id?).map(String::as_str)
    }

    fn of_cgroups(&self, hierarchy: Option<&PidsHierarchy>) -> Vec<Limit> {
        let Some(hierarchy) = hierarchy else { return Vec::new() };
        let found = match &self.draft.subject {
            Some(subject) => hierarchy.above(self.path(subject.cgroup_id).unwrap_or("/")),
            None => hierarchy.all(),
        };
        let limit = |found: PidsLimit| {
            let members =
                |crowd: &Crowd| self.path(crowd.cgroup_id).is_some_and(|path| is_below(path, &found.path));
            Limit {
                hierarchy: Some(found.version.name().into()),
                refused: found.hits,
                ..self.limit("cgroup", found.path.clone(), Some(found.used), found.limit, members)
            }
        };
        found.into_iter().map(limit).collect()
    }

    fn of_users(&self, procfs: &Procfs) -> Vec<Limit> {
        if let Some(subject) = &self.draft.subject {
            let (pid, Some(uid)) = (subject.named.key.tgid, subject.uid) else { return Vec::new() };
            return self.of_user(uid, &[pid], procfs).into_iter().collect();
        }
        let mut users: BTreeMap<u32, Vec<(u64, Tgid)>> = BTreeMap::new();
        for (crowd, size) in &self.draft.crowds {
            if let Some(uid) = crowd.uid.filter(|&uid| uid != 0) {
                let (pid, tasks) = size.largest;
                users.entry(uid).or_default().push((tasks, Tgid(pid)));
            }
        }
        let of_user = |(uid, mut processes): (u32, Vec<(u64, Tgid)>)| {
            processes.sort_unstable_by(|one, other| other.cmp(one));
            let pids: Vec<Tgid> =
                processes.into_iter().map(|(_, pid)| pid).take(PROCESSES_OF_A_USER).collect();
            self.of_user(uid, &pids, procfs)
        };
        users.into_iter().filter_map(of_user).collect()
    }

    /// Returns the lowest limit of these processes. The kernel counts tasks in a user namespace separately, so their number is
    /// not known.
    fn of_user(&self, uid: u32, pids: &[Tgid], procfs: &Procfs) -> Option<Limit> {
        let held =
            pids.iter().filter(|&&pid| procfs.is_held_to_nproc(pid, uid) && !procfs.has_own_users(pid));
        let limit = held.filter_map(|&pid| procfs.nproc_limit(pid)).min()?;
        Some(self.limit("rlimit_nproc", uid.to_string(), None, limit, |crowd| crowd.uid == Some(uid)))
    }

    fn of_kernel(&self, procfs: &Procfs) -> Vec<Limit> {
        let used = procfs.count().map_or(self.draft.tasks, |count| count as u64);
        let limit = |kind, file| {
            procfs
                .kernel_number(file)
                .map(|limit| self.limit(kind, String::new(), Some(used), limit, |_| true))
        };
        [limit("threads_max", "threads-max"), limit("pid_max", "pid_max")].into_iter().flatten().collect()
    }

    /// Returns the pid namespace of the next child if its init has ended: `alloc_pid()` fails there.
    fn of_namespace(&self, subject: &Subject, procfs: &Procfs) -> Result<Option<Limit>, Missing> {
        let next = match procfs.next_namespace(subject.named.key.tgid) {
            NextNamespace::Inode(inode) => inode,
            NextNamespace::Hidden => {
                return Err(Missing {
                    fact: "the pid namespace of its next child".into(),
                    needs: "CAP_SYS_PTRACE".into(),
                });
            }
            NextNamespace::Unborn | NextNamespace::Unknown => return Ok(None),
        };
        let is_dead =
            subject.namespace.is_some_and(|own| own != next) && !self.draft.namespaces.contains(&next);
        let limit = || Limit {
            errno: "ENOMEM".into(),
            full: true,
            ..self.limit("pid_namespace", next.to_string(), Some(0), 0, |_| false)
        };
        Ok(is_dead.then(limit))
    }

    pub(super) fn limit(
        &self,
        kind: &str,
        name: String,
        used: Option<u64>,
        limit: u64,
        is_member: impl Fn(&Crowd) -> bool,
    ) -> Limit {
        // Returns one row for each name and parent, over all cgroups and users.
        let mut by_parent: HashMap<(Option<Comm>, _), Size> = HashMap::new();
        let (mut counted, mut zombies) = (0, 0);
        for (crowd, size) in self.draft.crowds.iter().filter(|(crowd, _)| is_member(crowd)) {
            let sum = by_parent.entry((crowd.name, crowd.parent)).or_default();
            sum.processes += size.processes;
            sum.tasks += size.tasks;
            sum.zombies += size.zombies;
            if size.largest.1 > sum.largest.1 {
                sum.largest = size.largest;
            }
            counted += size.tasks;
            zombies += size.zombies;
        }
        let used = used.unwrap_or(counted);
        let forecast = self.draft.forecasts.iter().find(|it| it.kind == kind && it.name == name);
        let full_in_ns = forecast.filter(|_| used < limit).map(|it| it.full_in_ns);
        let mut rows: Vec<_> = by_parent.into_iter().collect();
        rows.sort_unstable_by_key(|((name, parent), size)| {
            (std::cmp::Reverse(size.tasks), name.map(|name| name.0), *parent)
        });
        rows.truncate(MOST_CONSUMERS);
        let consumers = rows.into_iter().map(|((name, parent), size)| Consumer {
            name: names(name.as_ref().map(Comm::bytes)).0,
            parent: parent
                .filter(|parent| parent.tgid.0 != 0)
                .map(|parent| ProcessRef::by(parent, self.draft.parents.get(&parent).copied(), self.stamp)),
            processes: size.processes,
            tasks: size.tasks,
            zombies: size.zombies,
            pid: size.largest.0,
        });
        Limit {
            kind: kind.into(),
            name,
            hierarchy: None,
            used,
            limit,
            full: used >= limit,
            errno: "EAGAIN".into(),
            refused: None,
            full_in_ns,
            zombies,
            consumers: consumers.collect(),
        }
    }
}
