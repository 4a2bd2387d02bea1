//! Processes that are left when the command has ended.

use std::collections::{BTreeMap, BTreeSet};

use crate::job::{
    members::{Member, Members},
    report::Leftover,
};

/// Returns them as a tree by forks: each process before its children, the oldest first.
#[must_use]
pub fn leftovers(members: &Members, now_ns: u64) -> Vec<Leftover> {
    let alive: BTreeSet<usize> =
        members.alive().filter(|(_, member)| is_left(member)).map(|(at, _)| at).collect();
    let mut children: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
    for &at in &alive {
        children.entry(above(members, &alive, at)).or_default().push(at);
    }
    let mut open: Vec<(usize, u32)> = below(&children, None, 0);
    let mut found = Vec::new();
    while let Some((at, depth)) = open.pop() {
        open.extend(below(&children, Some(at), depth + 1));
        let Some(member) = members.all.get(at) else { continue };
        found.push(Leftover {
            pid: member.pid,
            parent_pid: member.parent_pid,
            name: member.name().into(),
            program: member.stage().and_then(|stage| stage.program.as_deref().map(Into::into)),
            depth,
            age_ns: now_ns.saturating_sub(member.start_ns),
            cpu_ns: member.cost.map_or(0, |cost| cost.cpu_ns),
            zombie: member.ended.is_some(),
            killed: None,
        });
    }
    found
}

/// Whether a process is left. The command itself has ended, and an orphan that has ended does not belong to the job any more.
fn is_left(member: &Member) -> bool {
    match member.ended {
        None => true,
        Some(_) => member.taken.is_none() && member.reparented.is_none() && member.forked_by.is_some(),
    }
}

/// Returns the nearest ancestor of a leftover that is a leftover too.
fn above(members: &Members, alive: &BTreeSet<usize>, at: usize) -> Option<usize> {
    let mut next = members.all.get(at)?.forked_by;
    while let Some(forker) = next {
        if alive.contains(&forker) {
            return Some(forker);
        }
        next = members.all.get(forker)?.forked_by;
    }
    None
}

/// Returns the children of a leftover, the last first.
fn below(children: &BTreeMap<Option<usize>, Vec<usize>>, of: Option<usize>, depth: u32) -> Vec<(usize, u32)> {
    children.get(&of).into_iter().flatten().rev().map(|&at| (at, depth)).collect()
}
