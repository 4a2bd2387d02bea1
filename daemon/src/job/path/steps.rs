//! The steps of the critical path, each with its kinds of time.

use std::collections::HashMap;

use crate::job::{
    members::{Member, Members},
    path::Piece,
    report::{PathReport, Step, StepTime},
};

/// The most steps of a report. If there are more, the shortest are joined to the step before.
const MOST: usize = 2_000;

/// Returns the steps of a path. `knows_sleeps`: whether the members' uninterruptible sleeps were seen.
pub(in crate::job) fn steps(
    members: &Members,
    path: &[Piece],
    start_ns: u64,
    knows_sleeps: bool,
) -> PathReport {
    let mut on_path: HashMap<usize, u64> = HashMap::new();
    for piece in path {
        *on_path.entry(piece.member).or_default() += piece.to_ns.saturating_sub(piece.from_ns);
    }
    let none = StepTime { uninterruptible_ns: knows_sleeps.then_some(0), ..StepTime::default() };
    let mut time = none;
    let mut found = Vec::with_capacity(path.len().min(MOST));
    for piece in shortened(path) {
        let Some(member) = members.all.get(piece.member) else { continue };
        let all_ns = on_path.get(&piece.member).copied().unwrap_or(0);
        let step = step(member, &piece, all_ns, start_ns, &none);
        time.add(&step.time);
        found.push(step);
    }
    PathReport { time, steps: found }
}

/// Joins the shortest pieces to those before them until there are not too many.
fn shortened(path: &[Piece]) -> Vec<Piece> {
    let mut lengths: Vec<u64> = path.iter().map(|piece| piece.to_ns.saturating_sub(piece.from_ns)).collect();
    let least = if path.len() > MOST {
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        lengths.get(MOST - 1).copied().unwrap_or(0)
    } else {
        0
    };
    let mut joined: Vec<Piece> = Vec::new();
    for &part in path {
        let is_short = part.to_ns.saturating_sub(part.from_ns) < least || joined.len() >= MOST;
        match joined.last_mut() {
            Some(before) if is_short => (before.to_ns, before.edge) = (part.to_ns, part.edge),
            _ => joined.push(part),
        }
    }
    joined
}

fn step(member: &Member, piece: &Piece, all_ns: u64, start_ns: u64, none: &StepTime) -> Step {
    let stage = member.stages.iter().rev().find(|stage| stage.at_ns <= piece.from_ns);
    let stage = stage.or(member.stages.first());
    Step {
        pid: member.pid,
        name: stage.map_or("?", |stage| &stage.name).into(),
        program: stage.and_then(|stage| stage.program.as_deref().map(Into::into)),
        command: stage.and_then(|stage| stage.command.as_deref().map(Into::into)),
        at_ns: piece.from_ns.saturating_sub(start_ns),
        time: time(member, piece, all_ns, none),
        edge: piece.edge,
    }
}

/// Returns the kinds of time of a step. A process's figures are for its whole life. If it has several steps, or lived longer than
/// the path was in it, each step gets a share in proportion to its length, which is an estimate. `all_ns` is how much of its life
/// is on the path.
fn time(member: &Member, piece: &Piece, all_ns: u64, none: &StepTime) -> StepTime {
    let wall_ns = piece.to_ns.saturating_sub(piece.from_ns);
    let Some(cost) = member.cost else {
        return StepTime { wall_ns, unknown_ns: wall_ns, ..*none };
    };
    let share = |figure: u64| {
        let share = u128::from(figure) * u128::from(wall_ns) / u128::from(all_ns.max(1));
        u64::try_from(share).unwrap_or(u64::MAX)
    };
    let cpu_ns = share(cost.cpu_ns).min(wall_ns);
    let run_queue_ns = share(cost.run_delay_ns).min(wall_ns - cpu_ns);
    let rest_ns = wall_ns - cpu_ns - run_queue_ns;
    let slept: u64 = member
        .sleeps
        .iter()
        .map(|&(from, to)| to.min(piece.to_ns).saturating_sub(from.max(piece.from_ns)))
        .sum();
    let uninterruptible_ns = none.uninterruptible_ns.map(|_| slept.min(rest_ns));
    let life_ns = member.ended_ns().unwrap_or(piece.to_ns).saturating_sub(member.start_ns);
    let is_whole = wall_ns == life_ns && member.threads == 0;
    StepTime {
        wall_ns,
        cpu_ns,
        run_queue_ns,
        uninterruptible_ns,
        asleep_ns: rest_ns - uninterruptible_ns.unwrap_or(0),
        unknown_ns: 0,
        estimated: !is_whole || cost.at_least,
    }
}

impl StepTime {
    /// Returns the time in which it neither ran nor waited for a CPU, as far as known.
    #[must_use]
    pub fn not_running_ns(&self) -> u64 {
        self.asleep_ns + self.uninterruptible_ns.unwrap_or(0) + self.unknown_ns
    }

    /// Adds the time of another step.
    pub fn add(&mut self, other: &Self) {
        self.wall_ns += other.wall_ns;
        self.cpu_ns += other.cpu_ns;
        self.run_queue_ns += other.run_queue_ns;
        self.uninterruptible_ns =
            self.uninterruptible_ns.zip(other.uninterruptible_ns).map(|(mine, others)| mine + others);
        self.asleep_ns += other.asleep_ns;
        self.unknown_ns += other.unknown_ns;
        self.estimated |= other.estimated;
    }
}
