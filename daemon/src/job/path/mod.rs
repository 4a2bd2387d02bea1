//! The critical path: the chain of processes that determined when the command ended.
//!
//! It is found backwards. At a time in a process, the last thing that it waited for is the end of a child that it reaped at once
//! (or the exec of a child that it vforked): up to then the path is in that child, and from the start of the child in the process
//! that forked it. A child that was reaped long after its end held nobody up. So each moment from the start of the command to its
//! end is in exactly one step.
//!
//! The kernel does not report when a wait(2) begins. So a parent that was busy, and waited at the very moment that a child ended,
//! looks like one that was waiting.

pub(super) mod concurrency;
pub(super) mod steps;

use serde::{Deserialize, Serialize};

use crate::job::members::{Member, Members, Taken};

/// If a parent reaps a child within this time after the child's end, ns, it was waiting for the child.
const AT_ONCE_NS: u64 = 5_000_000;

/// A longer delay counts as at once too, if it is at most this fraction of the child's life: on a busy host the parent waits for a CPU.
const PART_OF_LIFE: u64 = 50;

/// But never longer than this, ns.
const AT_MOST_NS: u64 = 50_000_000;

/// Where reaps are reported late (with tracepoints), this is the longest delay that counts as at once, ns: an RCU grace period
/// on a busy host.
const LATE_NS: u64 = 500_000_000;

/// How a step of the path ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edge {
    /// The process forked that of the next step.
    Fork,
    /// It called execve(2).
    Exec,
    /// It called execve(2), and its parent, which had vforked it, continued.
    ExecFreesParent,
    /// It exited, and its parent, which waited, continued.
    Exit,
    /// The command ended.
    End,
}

/// A piece of the path in one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The member.
    pub member: usize,
    /// From, ns of `CLOCK_BOOTTIME`.
    pub from_ns: u64,
    /// To.
    pub to_ns: u64,
    /// How it ended.
    pub edge: Edge,
}

/// When a member continued, because a child exited or called execve(2).
#[derive(Clone, Copy, Debug)]
pub(in crate::job) struct Continued {
    /// When the parent continued.
    pub(in crate::job) at_ns: u64,
    /// When the child's exit or exec let the parent continue.
    pub(in crate::job) freed_ns: u64,
    pub(in crate::job) child: usize,
    edge: Edge,
}

/// Returns for each member, in order of time, the children that it waited for.
pub(in crate::job) fn waits(members: &Members) -> Vec<Vec<Continued>> {
    let mut waits: Vec<Vec<Continued>> = vec![Vec::new(); members.all.len()];
    let pids = By::new(members);
    for (child, member) in members.all.iter().enumerate() {
        let forker = member.forked_by;
        if let Some((until, list)) = member.held_until_ns.zip(forker.and_then(|at| waits.get_mut(at))) {
            list.push(Continued { at_ns: until, freed_ns: until, child, edge: Edge::ExecFreesParent });
        }
        let Some(ended) = member.ended_ns() else { continue };
        let Some(Taken::Reaped { at_ns, by, is_late, .. }) = member.taken else { continue };
        // Where the kernel does not say which process waited, it was the parent, unless that has ended.
        let parent = member.forked_by.filter(|_| member.reparented.is_none());
        let by = by.map_or(parent, |pid| pids.at(pid, at_ns));
        if let Some(list) = by.and_then(|by| waits.get_mut(by))
            && is_at_once(member, ended, at_ns, is_late)
        {
            let at_ns = if is_late { ended } else { at_ns.max(ended) };
            list.push(Continued { at_ns, freed_ns: ended, child, edge: Edge::Exit });
        }
    }
    for list in &mut waits {
        list.sort_unstable_by_key(|wait| (wait.at_ns, wait.freed_ns));
    }
    waits
}

fn is_at_once(member: &Member, ended: u64, reaped: u64, is_late: bool) -> bool {
    let life = ended.saturating_sub(member.start_ns);
    let limit = if is_late { LATE_NS } else { AT_ONCE_NS.max((life / PART_OF_LIFE).min(AT_MOST_NS)) };
    reaped.saturating_sub(ended) <= limit
}

/// Members by pid and time: pids are used again.
struct By(std::collections::HashMap<u32, Vec<usize>>, Vec<u64>);

impl By {
    fn new(members: &Members) -> Self {
        let mut by: std::collections::HashMap<u32, Vec<usize>> = std::collections::HashMap::new();
        for (at, member) in members.all.iter().enumerate() {
            by.entry(member.pid).or_default().push(at);
        }
        Self(by, members.all.iter().map(|member| member.start_ns).collect())
    }

    /// Returns the last member with this pid that began before a time.
    fn at(&self, pid: u32, at_ns: u64) -> Option<usize> {
        let list = self.0.get(&pid)?;
        list.iter().copied().rev().find(|&at| self.1.get(at).is_some_and(|&start| start <= at_ns))
    }
}

/// Returns the path, from the start of the command to its end; empty if one of these was not seen, or if there are several roots.
#[must_use]
pub fn critical_path(members: &Members) -> Vec<Piece> {
    let waits = waits(members);
    let mut path = Vec::new();
    let Some(mut to_ns) = members.only_root().and_then(Member::ended_ns) else { return path };
    let (mut at, mut edge) = (0, Edge::End);
    // Each turn goes back in time or to the forker of a member, which is before it in the list.
    while let (Some(member), Some(list)) = (members.all.get(at), waits.get(at)) {
        let start = member.start_ns.min(to_ns);
        let before = list.partition_point(|wait| wait.at_ns <= to_ns);
        let last = list.get(..before).unwrap_or_default().iter().rev().find(|wait| {
            let child = members.all.get(wait.child);
            // Skip a wait for a child that began and ended at the same time: with it this loop would not end.
            wait.freed_ns < to_ns.max(1) && child.is_some_and(|child| child.start_ns < wait.freed_ns)
        });
        let from = last.map_or(start, |wait| wait.freed_ns.max(start));
        add_stages(&mut path, member, Piece { member: at, from_ns: from, to_ns, edge });
        match last {
            Some(wait) => (at, to_ns, edge) = (wait.child, wait.freed_ns, wait.edge),
            None => match member.forked_by {
                Some(forker) => (at, to_ns, edge) = (forker, start, Edge::Fork),
                None => break,
            },
        }
    }
    path.reverse();
    // Leave out pieces from before the time that the report is about.
    path.retain(|piece| piece.to_ns >= members.from_ns);
    for piece in &mut path {
        piece.from_ns = piece.from_ns.max(members.from_ns);
    }
    path
}

/// Adds a piece, cut where its process called execve(2); the last one first.
fn add_stages(path: &mut Vec<Piece>, member: &Member, piece: Piece) {
    let mut rest = piece;
    for stage in member.stages.iter().skip(1).rev() {
        if stage.at_ns > rest.from_ns && stage.at_ns < rest.to_ns {
            path.push(Piece { from_ns: stage.at_ns, ..rest });
            rest = Piece { to_ns: stage.at_ns, edge: Edge::Exec, ..rest };
        }
    }
    path.push(rest);
}
