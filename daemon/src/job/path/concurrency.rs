//! How many processes were alive at once, and how many of them worked.

use std::collections::{BTreeSet, HashMap};

use crate::job::{
    failures::forker_of,
    members::{Member, Members},
    path::waits,
    report::{Alone, Parallelism},
};

/// The most processes that are named.
const MOST: usize = 20;

/// Returns the most members that were alive at once.
pub(in crate::job) fn most_at_once(members: &Members) -> u64 {
    let mut changes: Vec<(u64, i64)> = Vec::with_capacity(2 * members.all.len());
    for member in &members.all {
        changes.push((member.start_ns, 1));
        if let Some(ended) = member.ended_ns() {
            changes.push((ended, -1));
        }
    }
    // An end comes before a start at the same time.
    changes.sort_unstable();
    let (mut alive, mut most) = (0_i64, 0_i64);
    for (_, change) in changes {
        alive += change;
        most = most.max(alive);
    }
    most.unsigned_abs()
}

/// Returns how well the CPUs were used between two times. A process works from its start to its end, except where it waited for
/// a child: from its last fork or wait before until that child's end.
pub(in crate::job) fn parallelism(
    members: &Members,
    (start_ns, end_ns): (u64, u64),
    cpus: Option<u32>,
) -> Parallelism {
    let mut changes = changes(members, (start_ns, end_ns));
    changes.sort_unstable();
    let mut working: BTreeSet<usize> = BTreeSet::new();
    let mut alone: HashMap<usize, u64> = HashMap::new();
    let mut last = start_ns;
    for (at, begins, member) in changes {
        if let (1, Some(&only)) = (working.len(), working.first()) {
            *alone.entry(only).or_default() += at - last;
        }
        last = at;
        if begins {
            working.insert(member);
        } else {
            working.remove(&member);
        }
    }
    let wall_ns = end_ns - start_ns;
    let used: u64 =
        members.all.iter().filter_map(|member| Some(used_until(member, member.cost?.cpu_ns, end_ns))).sum();
    Parallelism {
        unused_cpu_ns: cpus.map(|cpus| wall_ns.saturating_mul(u64::from(cpus)).saturating_sub(used)),
        alone_ns: alone.values().sum(),
        alone: named(members, alone),
    }
}

/// What a leftover used after the end does not belong to the job.
fn used_until(member: &Member, cpu_ns: u64, end_ns: u64) -> u64 {
    cpu_ns.min(end_ns.saturating_sub(member.start_ns).saturating_mul(u64::from(member.threads) + 1))
}

/// Returns when members begin and stop to work.
fn changes(members: &Members, (start_ns, end_ns): (u64, u64)) -> Vec<(u64, bool, usize)> {
    let mut forks: Vec<Vec<u64>> = vec![Vec::new(); members.all.len()];
    for member in &members.all {
        if let Some(list) = member.forked_by.and_then(|at| forks.get_mut(at)) {
            list.push(member.start_ns);
        }
    }
    let within = |at: u64| at.clamp(start_ns, end_ns);
    let mut changes = Vec::new();
    let waits = waits(members);
    for (at, ((member, waits), forks)) in members.all.iter().zip(waits).zip(&mut forks).enumerate() {
        forks.sort_unstable();
        let ended = within(member.ended_ns().unwrap_or(end_ns));
        let mut works_from = within(member.start_ns);
        let mut from = member.start_ns;
        for wait in waits {
            // The last fork before: from then on it waited, as far as known.
            let before = forks.partition_point(|&fork| fork <= wait.at_ns);
            let fork = before.checked_sub(1).and_then(|last| forks.get(last)).copied().unwrap_or(from);
            let (idle, freed) = (within(fork.max(from)), within(wait.freed_ns));
            if idle < freed {
                add_work(&mut changes, at, works_from, idle);
                works_from = freed;
            }
            from = from.max(wait.at_ns);
        }
        add_work(&mut changes, at, works_from, ended);
    }
    changes
}

/// Adds a time in which a member worked, unless it is empty.
fn add_work(changes: &mut Vec<(u64, bool, usize)>, member: usize, from: u64, to: u64) {
    if from < to {
        changes.push((from, true, member));
        changes.push((to, false, member));
    }
}

fn named(members: &Members, alone: HashMap<usize, u64>) -> Vec<Alone> {
    let mut longest: Vec<_> = alone.into_iter().filter(|&(_, ns)| ns > 0).collect();
    longest.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    longest
        .into_iter()
        .take(MOST)
        .filter_map(|(at, ns)| {
            let member = members.all.get(at)?;
            Some(Alone {
                pid: member.pid,
                name: member.name().into(),
                ns,
                waited: forker_of(members, member),
                command: member.stage().and_then(|stage| stage.command.as_deref().map(Into::into)),
            })
        })
        .collect()
}
