//! The members of a job of the past: from the records of lives that ended, and from the processes that still live.

use std::collections::HashMap;

use thiserror::Error;

use crate::answer::{life::LifeRecord, process::ProcessRef};
use crate::job::{
    fact::{JobUsage, start_of},
    members::{Ended, MOST, Member, Members, Stage, Taken},
};

/// Stands for a process outside of the job that started a member or waited for it: no process has this pid.
const OUTSIDE: u32 = 0;

/// Which processes are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The last process that had this pid in the window, and its descendants.
    Pid(u32),
    /// All processes that are given: those of a unit.
    All,
}

/// The times that a report is about, ns of `CLOCK_BOOTTIME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Processes that ended before this time are ignored.
    pub from_ns: u64,
    /// Events after this time are left out.
    pub to_ns: u64,
}

/// A pid, and when its process was created, if that is known.
pub type Identity = (u32, Option<u64>);

/// A process that is not released.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Living {
    /// Its pid.
    pub pid: u32,
    /// When it was created, ns of `CLOCK_BOOTTIME`; 0 if not known.
    pub start_ns: u64,
    /// Its parent now.
    pub parent_pid: Option<u32>,
    /// Its first parent, if that is another.
    pub first_parent: Option<Identity>,
    /// Its comm.
    pub name: Option<String>,
    /// Threads besides the leader that it has now.
    pub threads: u32,
    /// When it became a zombie.
    pub zombie_since_ns: Option<u64>,
    /// What it has used so far.
    pub usage: Option<JobUsage>,
}

/// No process is meant.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("no process of this time is known {0}")]
pub struct NoProcess(String);

/// A process of the job, and the process that forked it.
struct Known {
    forker: Option<Identity>,
    member: Member,
}

/// Returns the members of a job of the past, and what the reader of its report must know.
pub fn members_of_lives(
    lives: &[LifeRecord],
    living: &[Living],
    scope: &Scope,
    window: Window,
) -> Result<(Members, Vec<String>), NoProcess> {
    let ended = lives.iter().map(of_life);
    let mut all: Vec<Known> = ended.chain(living.iter().map(of_living)).collect();
    all.retain(|known| known.member.start_ns <= window.to_ns);
    // A parent is older than its children. The same process can be both in the lives and among the living.
    all.sort_by_key(|known| (known.member.start_ns, known.member.pid, known.member.ended.is_none()));
    all.dedup_by_key(|known| (known.member.start_ns, known.member.pid));
    let root = match scope {
        Scope::All => None,
        &Scope::Pid(pid) => {
            let at = all.iter().rposition(|known| known.member.pid == pid);
            Some(at.ok_or_else(|| NoProcess(format!("with the pid {pid}")))?)
        }
    };
    if all.is_empty() {
        return Err(NoProcess("in this unit".into()));
    }
    let mut members = Members::new(OUTSIDE, OUTSIDE);
    members.from_ns = window.from_ns;
    let mut added: HashMap<u32, Vec<usize>> = HashMap::new();
    let mut notes = Notes::default();
    for (at, known) in all.into_iter().enumerate() {
        let forker = known.forker.and_then(|forker| find(&members, &added, forker, known.member.start_ns));
        let is_member = match root {
            Some(root) => at == root || forker.is_some(),
            None => true,
        };
        if !is_member {
            continue;
        }
        if members.all.len() >= MOST {
            members.left_out += 1;
            continue;
        }
        let forked_by = forker.filter(|_| root != Some(at));
        let mut member = Member { forked_by, ..known.member };
        cut(&mut member, window, &mut notes);
        name_first_stage(&mut member, forked_by.and_then(|at| members.all.get(at)));
        if forked_by.is_none() && member.reparented.is_none() {
            // Its parent outside of the job waited for it.
            if let Some(Taken::Reaped { by, .. }) = &mut member.taken {
                *by = Some(OUTSIDE);
            }
        }
        added.entry(member.pid).or_default().push(members.all.len());
        members.all.push(member);
    }
    Ok((members, notes.sentences()))
}

/// Returns the member with an identity; without a start, the last one with this pid that began before a time.
fn find(
    members: &Members,
    added: &HashMap<u32, Vec<usize>>,
    (pid, start): Identity,
    before_ns: u64,
) -> Option<usize> {
    let is_it = |member: &Member| match start {
        Some(start) => member.start_ns == start,
        None => member.start_ns <= before_ns,
    };
    added.get(&pid)?.iter().copied().rev().find(|&at| members.all.get(at).is_some_and(is_it))
}

fn identity(process: &ProcessRef) -> Identity {
    (process.pid, process.entity_id.as_deref().and_then(start_of))
}

fn of_life(life: &LifeRecord) -> Known {
    let process = &life.process;
    let parent = || {
        let start = process.parent_entity_id.as_deref().and_then(start_of);
        Some((process.parent_pid?, start))
    };
    let creator = life.creator.as_ref().map(|creator| (creator.pid, None));
    let forker = creator.or_else(|| life.first_parent.as_ref().map(identity)).or_else(parent);
    let start_ns = life.start_boottime_ns.unwrap_or(0);
    let ended_ns = life.dead_ns();
    let status = process.exit.as_ref().map(|exit| exit.status);
    let program = process.executable.as_ref().map(|executable| executable.path.as_str().into());
    let stage = |at_ns| Stage {
        at_ns,
        name: process.name.as_deref().unwrap_or("?").into(),
        program: Option::clone(&program),
        command: None,
    };
    let exec_ns = life.exec_boottime_ns.filter(|_| life.execs > 0);
    let unnamed = Stage { at_ns: start_ns, name: "?".into(), program: None, command: None };
    let stages = match exec_ns {
        Some(exec_ns) => vec![unnamed, stage(exec_ns)],
        None => vec![stage(start_ns)],
    };
    let is_vfork = life.creation.as_deref() == Some("vfork");
    let zombie_ns = life.zombie_duration_ns.unwrap_or(0);
    let taken = match life.end.as_deref() {
        Some("reaped") => Some(Taken::Reaped {
            at_ns: ended_ns.saturating_add(zombie_ns),
            by: life.reaper.as_ref().map(|reaper| reaper.pid),
            zombie_ns,
            is_late: life.zombie_duration_bound.as_deref() == Some("at_most"),
        }),
        Some("autoreaped") => Some(Taken::Autoreaped),
        _ => None,
    };
    let usage = life.usage.as_ref().map(JobUsage::of_life);
    let kind = life.reparent_kind.clone().unwrap_or_else(|| "unknown".into());
    let member = Member {
        pid: process.pid,
        start_ns,
        forked_by: None,
        parent_pid: process.parent_pid,
        stages,
        execs: life.execs,
        threads: life.threads_created,
        held_until_ns: match (is_vfork, life.execs) {
            (true, 0) => Some(ended_ns),
            (true, 1) => exec_ns,
            _ => None,
        },
        ended: Some(Ended { at_ns: ended_ns, status, cause: Some(life.death.cause.clone()) }),
        taken,
        is_released: true,
        reparented: life.reparented_boottime_ns.map(|at_ns| (at_ns, kind)),
        cost: usage.and_then(JobUsage::cost),
        incomplete: usage.and_then(|usage| usage.incomplete_since(life.boottime_ns)),
        sleeps: Vec::new(),
        is_seen: life.provenance == "observed",
    };
    Known { forker, member }
}

fn of_living(living: &Living) -> Known {
    let Living { pid, start_ns, parent_pid, first_parent, name, threads, zombie_since_ns, usage } = living;
    let stage =
        Stage { at_ns: *start_ns, name: name.as_deref().unwrap_or("?").into(), program: None, command: None };
    let member = Member {
        pid: *pid,
        start_ns: *start_ns,
        forked_by: None,
        parent_pid: *parent_pid,
        stages: vec![stage],
        execs: 0,
        threads: *threads,
        held_until_ns: None,
        ended: zombie_since_ns.map(|at_ns| Ended { at_ns, status: None, cause: None }),
        taken: None,
        is_released: false,
        reparented: first_parent.map(|_| (*start_ns, "unknown".into())),
        cost: usage.and_then(JobUsage::cost),
        incomplete: None,
        sleeps: Vec::new(),
        is_seen: true,
    };
    Known { forker: first_parent.or_else(|| Some(((*parent_pid)?, None))), member }
}

/// Processes about which something is not known.
#[derive(Default)]
struct Notes {
    /// Older than the window.
    older: u64,
    /// Alive at its end, and ended since.
    ended_later: u64,
    /// Called execve(2) more than once.
    execed: u64,
    /// Alive, or a zombie: neither its calls of execve(2) nor all its threads are known.
    living: u64,
}

/// Leaves out what happened after the window, and what cannot be divided at its borders.
fn cut(member: &mut Member, window: Window, notes: &mut Notes) {
    if member.ended_ns().is_some_and(|at| at > window.to_ns) {
        (member.ended, member.taken) = (None, None);
        member.forget_cost();
        notes.ended_later += 1;
    }
    if let Some(Taken::Reaped { at_ns, .. }) = member.taken
        && at_ns > window.to_ns
    {
        member.taken = None;
    }
    if member.reparented.as_ref().is_some_and(|&(at, _)| at > window.to_ns) {
        member.reparented = None;
    }
    if member.start_ns < window.from_ns {
        member.forget_cost();
        notes.older += 1;
    }
    notes.execed += u64::from(member.execs > 1);
    notes.living += u64::from(!member.is_released);
}

/// Until its first execve(2) a process has the name and the program of its forker at the fork.
fn name_first_stage(member: &mut Member, forker: Option<&Member>) {
    let at_ns = member.start_ns;
    let inherited = forker.and_then(|forker| forker.stages.iter().rev().find(|stage| stage.at_ns <= at_ns));
    if let (true, Some(inherited), Some(first)) = (member.execs == 1, inherited, member.stages.first_mut()) {
        *first = Stage { at_ns, ..inherited.clone() };
    }
}

impl Notes {
    fn sentences(&self) -> Vec<String> {
        let mut all = vec![
            "from the records of lives: command lines, and which part of a sleep was uninterruptible, are not known"
                .to_owned(),
        ];
        for (count, what) in [
            (
                self.older,
                "processes began before this time: what they used, and their execs and threads, are in no sum, because these cannot be divided",
            ),
            (self.ended_later, "processes ended after this time: what they had used until then is not known"),
            (
                self.execed,
                "processes called execve(2) more than once: only their last program is known, so EXECS of programs are lower bounds",
            ),
            (
                self.living,
                "processes were not released when this was asked: their execs, and their threads that had ended, are not known",
            ),
        ] {
            if count > 0 {
                all.push(format!("{count} {what}"));
            }
        }
        all
    }
}

impl Member {
    fn forget_cost(&mut self) {
        (self.cost, self.incomplete) = (None, None);
    }
}
