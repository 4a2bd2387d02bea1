//! Finds the limit that refused a fork, from /proc and the cgroup hierarchy, when the record of the failed fork arrives.
//!
//! The order is that of `copy_process()`: <https://elixir.bootlin.com/linux/v6.18/source/kernel/fork.c>. A limit that is full at
//! that time has refused the fork or would have. A limit that has room again by then is not found.

use std::{collections::HashMap, sync::Arc};

use crate::{
    cgroup::PidsHierarchy,
    cgroup_mounts::Version,
    host,
    lineage::{
        Lineage,
        id::{GroupKey, Ktime, Tgid},
        record::{CloneFailed, ForkFailures, ForkLimit, ForkLimitKind},
    },
    procfs::{NextNamespace, Procfs},
};

const EAGAIN: i32 = 11;
const ENOMEM: i32 = 12;

/// Failed forks of one process within this time, ns, get the same reason, so that a storm of them causes a few reads per second.
const SAME_NS: u64 = 250_000_000;

/// The most processes whose failed forks are counted, so that a fork bomb does not use up memory.
const MOST_PROCESSES: usize = 256;

/// Failed forks of one process are counted together if each follows the one before within this time, ns.
const TOGETHER_NS: u64 = 60_000_000_000;

/// What was read last, and which forks failed lately.
#[derive(Debug, Default)]
pub(super) struct ForkRefusals {
    last: Option<(Tgid, i32, Ktime, Option<Arc<ForkLimit>>)>,
    failures: HashMap<GroupKey, ForkFailures>,
}

impl ForkRefusals {
    /// Forks of a process that failed in the last minute.
    pub(super) fn failures(&self, key: GroupKey, now: Ktime) -> Option<ForkFailures> {
        self.failures.get(&key).filter(|failures| now.since(failures.last) < TOGETHER_NS).cloned()
    }

    fn keep(&mut self, key: GroupKey, at: Ktime, failed: &CloneFailed, is_read: bool) {
        if !self.failures.contains_key(&key) && self.failures.len() >= MOST_PROCESSES {
            let oldest = self.failures.iter().min_by_key(|(_, failures)| failures.last).map(|(key, _)| *key);
            oldest.and_then(|oldest| self.failures.remove(&oldest));
        }
        let (errno, by) = (failed.errno, failed.refused_by.clone());
        let known = self.failures.remove(&key).filter(|known| at.since(known.last) < TOGETHER_NS);
        let (count, first) = known.map_or((0, at), |known| (known.count, known.first));
        self.failures.insert(key, ForkFailures { count: count + 1, first, last: at, errno, by, is_read });
    }

    /// Adds the limit that refused the fork to its record.
    pub(super) fn complete(
        &mut self,
        at: Ktime,
        failed: &mut CloneFailed,
        lineage: &Lineage,
        procfs: &Procfs,
    ) {
        let is_read = self.read(at, failed, lineage, procfs);
        let creator = failed.creator.filter(|_| matches!(failed.errno, EAGAIN | ENOMEM));
        if let Some(group) = creator.and_then(|creator| lineage.group(creator.tgid)) {
            self.keep(group.key(), at, failed, is_read);
        }
    }

    /// Adds the limit to the record of a failed fork. Returns whether it is known, from this reading or from the last one.
    fn read(&mut self, at: Ktime, failed: &mut CloneFailed, lineage: &Lineage, procfs: &Procfs) -> bool {
        let Some(creator) = failed.creator.filter(|_| matches!(failed.errno, EAGAIN | ENOMEM)) else {
            return false;
        };
        if let Some((tgid, errno, read, found)) = &self.last
            && at.since(*read) < SAME_NS
        {
            // Failed forks of other processes are not looked up either, which bounds the number of files read.
            let is_same = (*tgid, *errno) == (creator.tgid, failed.errno);
            if is_same {
                failed.refused_by.clone_from(found);
            }
            return is_same;
        }
        let found = if failed.errno == EAGAIN {
            full_limit(creator.tgid, lineage, procfs)
        } else {
            dead_namespace(creator.tgid, lineage, procfs)
        };
        let found = found.map(Arc::new);
        failed.refused_by.clone_from(&found);
        self.last = Some((creator.tgid, failed.errno, at, found));
        true
    }
}

/// Returns the first full limit, in the kernel's order.
fn full_limit(tgid: Tgid, lineage: &Lineage, procfs: &Procfs) -> Option<ForkLimit> {
    let tasks = procfs.count().map(|count| count as u64);
    let of_host = |kind, file| {
        let limit = procfs.kernel_number(file)?;
        let used = tasks?;
        (used >= limit).then(|| ForkLimit { kind, name: String::new(), used: Some(used), limit: Some(limit) })
    };
    of_user(tgid, lineage, procfs)
        .or_else(|| of_host(ForkLimitKind::ThreadsMax, "threads-max"))
        .or_else(|| of_cgroups(tgid, procfs))
        .or_else(|| of_host(ForkLimitKind::PidMax, "pid_max"))
}

fn of_user(tgid: Tgid, lineage: &Lineage, procfs: &Procfs) -> Option<ForkLimit> {
    let uid = procfs.real_uid(tgid).or_else(|| lineage.group(tgid)?.real_uid())?;
    if !procfs.is_held_to_nproc(tgid, uid) {
        return None;
    }
    let limit = procfs.nproc_limit(tgid)?;
    // The kernel counts the tasks of a user namespace separately.
    if procfs.has_own_users(tgid) {
        return None;
    }
    let of_user = lineage.groups().filter(|group| group.real_uid() == Some(uid) || group.key().tgid == tgid);
    let used = of_user.map(|group| group.threads().count() as u64).sum();
    let limit_of = ForkLimit {
        kind: ForkLimitKind::RlimitNproc,
        name: uid.to_string(),
        used: Some(used),
        limit: Some(limit),
    };
    (used >= limit).then_some(limit_of)
}

fn of_cgroups(tgid: Tgid, procfs: &Procfs) -> Option<ForkLimit> {
    let hierarchy = PidsHierarchy::of(&host::cgroup_mounts())?;
    let text = String::from_utf8(procfs.cgroups(tgid).ok()?).ok()?;
    let path = text.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let is_it = match hierarchy.version() {
            Version::V1 => controllers.split(',').any(|name| name == "pids"),
            Version::V2 => controllers.is_empty(),
        };
        is_it.then_some(path)
    })?;
    // The kernel charges the innermost cgroup first, then its ancestors.
    let full = hierarchy.above(path).into_iter().find(|limit| limit.used >= limit.limit)?;
    Some(ForkLimit {
        kind: ForkLimitKind::Cgroup,
        name: full.path,
        used: Some(full.used),
        limit: Some(full.limit),
    })
}

/// Returns the pid namespace if its init has ended: `alloc_pid()` fails then.
fn dead_namespace(tgid: Tgid, lineage: &Lineage, procfs: &Procfs) -> Option<ForkLimit> {
    let NextNamespace::Inode(next) = procfs.next_namespace(tgid) else { return None };
    let own = lineage.group(tgid)?.pid_namespace()?;
    let has_processes = || {
        lineage.groups().any(|group| group.pid_namespace() == Some(next) && group.zombie_since().is_none())
    };
    (own != next && !has_processes()).then(|| ForkLimit {
        kind: ForkLimitKind::PidNamespace,
        name: next.to_string(),
        used: None,
        limit: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const FAILED: CloneFailed =
        CloneFailed { creator: None, clone_flags: None, exit_signal: None, errno: EAGAIN, refused_by: None };

    fn key(pid: u32) -> GroupKey {
        GroupKey { tgid: Tgid(pid), start: Some(Ktime(7)) }
    }

    #[test]
    fn failures_are_counted_together_and_forgotten_after_a_minute() {
        let mut forks = ForkRefusals::default();
        for second in [10, 20, 70] {
            forks.keep(key(5), Ktime(second * SECOND), &FAILED, true);
        }
        let found = forks.failures(key(5), Ktime(100 * SECOND)).unwrap();
        assert_eq!((found.count, found.first, found.last), (3, Ktime(10 * SECOND), Ktime(70 * SECOND)));
        assert_eq!(forks.failures(key(5), Ktime(131 * SECOND)), None);
        forks.keep(key(5), Ktime(140 * SECOND), &FAILED, true);
        assert_eq!(forks.failures(key(5), Ktime(140 * SECOND)).unwrap().count, 1);
    }

    #[test]
    fn no_more_processes_are_kept_than_allowed() {
        let mut forks = ForkRefusals::default();
        for pid in 0..1000 {
            forks.keep(key(pid), Ktime(u64::from(pid)), &FAILED, true);
        }
        assert_eq!(forks.failures.len(), MOST_PROCESSES);
        assert!(
            forks.failures(key(999), Ktime(999)).is_some() && forks.failures(key(0), Ktime(999)).is_none()
        );
    }
}
