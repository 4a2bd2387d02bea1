//! The critical path of random schedules whose critical path is known.

use proptest::prelude::*;

use crate::job::{
    Edge, Fact, Piece, Setting, What, critical_path, report,
    tests::{ended, fact, forked, members, reaped},
};

const MS: u64 = 1_000_000;

/// The time from the end of a child until its waiting parent reaps it, ns.
const WAKE_UP: u64 = 20_000;

/// Longer than a waiting parent takes to reap a child, ns.
const LATE: u64 = 60 * MS;

/// What a process does, one after the other.
#[derive(Clone, Debug)]
enum Act {
    /// Works for this long, ns.
    Work(u64),
    /// Forks a child and waits for it.
    Call(Vec<Act>),
    /// Forks two children, the second one later, and waits for both.
    Both(Vec<Act>, u64, Vec<Act>),
    /// Forks a child, works until it is over and longer, and waits.
    Beside(Vec<Act>, u64),
    /// Vforks a child, which holds it for a time and works after its exec; waits for it.
    Spawn(u64, Vec<Act>),
}

#[derive(Default)]
struct Simulation {
    facts: Vec<Fact>,
    pids: u32,
}

/// A piece of a path: pid, from, to.
type Path = Vec<(u32, u64, u64)>;

fn add(path: &mut Path, piece: (u32, u64, u64)) {
    match path.last_mut() {
        Some(last) if last.0 == piece.0 => last.2 = piece.2,
        _ if piece.1 == piece.2 => {}
        _ => path.push(piece),
    }
}

impl Simulation {
    /// Runs a process that was forked at `start`; returns its end and its critical path.
    fn run(&mut self, acts: &[Act], start: u64, parent: u32) -> (u32, u64, Path) {
        self.pids += 1;
        let pid = self.pids;
        self.facts.push(forked(start, pid, parent));
        let (end, path) = self.act(acts, pid, start, vec![(pid, start, start)]);
        self.facts.push(ended(end, pid, parent, 0));
        (pid, end, path)
    }

    fn act(&mut self, acts: &[Act], pid: u32, start: u64, mut path: Path) -> (u64, Path) {
        let mut now = start;
        for act in acts {
            let before = now;
            match act {
                Act::Work(ns) => now += ns,
                Act::Call(child) => {
                    let (child, end, inner) = self.run(child, now, pid);
                    now = end + WAKE_UP;
                    self.facts.push(reaped(now, child, pid, WAKE_UP));
                    go(&mut path, pid, before, inner);
                }
                Act::Both(one, gap, two) => {
                    let (first, first_end, first_path) = self.run(one, now, pid);
                    let (second, second_end, second_path) = self.run(two, now + gap, pid);
                    self.facts.push(reaped(first_end + WAKE_UP, first, pid, WAKE_UP));
                    now = first_end.max(second_end) + WAKE_UP;
                    self.facts.push(reaped(now, second, pid, now - second_end));
                    if first_end + WAKE_UP >= second_end {
                        go(&mut path, pid, before, first_path);
                    } else {
                        add(&mut path, (pid, before, before + gap));
                        go(&mut path, pid, before + gap, second_path);
                    }
                }
                Act::Beside(child, more) => {
                    let (child, end, _) = self.run(child, now, pid);
                    now = end + LATE + more;
                    self.facts.push(reaped(now, child, pid, now - end));
                }
                Act::Spawn(held, child) => {
                    self.pids += 1;
                    let spawned = self.pids;
                    self.facts.push(forked(now, spawned, pid));
                    let exec = now + held;
                    let what = What::Execed { arguments: None, held_parent: true };
                    self.facts.push(fact(exec, spawned, pid, what));
                    let (end, inner) = self.act(child, spawned, exec, vec![(spawned, now, exec)]);
                    self.facts.push(ended(end, spawned, pid, 0));
                    now = end + WAKE_UP;
                    self.facts.push(reaped(now, spawned, pid, WAKE_UP));
                    go(&mut path, pid, before, inner);
                }
            }
            let from = path.last().map_or(before, |last| last.2);
            add(&mut path, (pid, from, now));
        }
        (now, path)
    }
}

/// The parent until the fork, then the child, then the parent again.
fn go(path: &mut Path, pid: u32, fork: u64, inner: Path) {
    add(path, (pid, fork, fork));
    for piece in inner {
        add(path, piece);
    }
}

fn work() -> impl Strategy<Value = u64> {
    (1_u64..40).prop_map(|n| n * 97 * MS + n * 1000)
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let leaf = prop::collection::vec(work().prop_map(Act::Work), 1..3);
    leaf.prop_recursive(4, 40, 4, |inner| {
        let act = prop_oneof![
            2 => work().prop_map(Act::Work),
            2 => inner.clone().prop_map(Act::Call),
            2 => (inner.clone(), 1_u64..50 * MS, inner.clone()).prop_map(|(one, gap, two)| Act::Both(one, gap, two)),
            1 => (inner.clone(), work()).prop_map(|(child, more)| Act::Beside(child, more)),
            1 => (1_u64..50 * MS, inner).prop_map(|(held, child)| Act::Spawn(held, child)),
        ];
        // Each process works a little last, so that two never end at once.
        (prop::collection::vec(act, 1..4), work()).prop_map(|(mut acts, last)| {
            acts.push(Act::Work(last));
            acts
        })
    })
}

/// Joins consecutive pieces of one process.
fn joined(pieces: &[Piece], pid: impl Fn(usize) -> u32) -> Path {
    let mut path = Path::new();
    for piece in pieces {
        add(&mut path, (pid(piece.member), piece.from_ns, piece.to_ns));
    }
    path.retain(|piece| piece.1 < piece.2);
    path
}

proptest! {
    #[test]
    fn the_path_is_that_of_the_schedule(acts in acts()) {
        let mut simulation = Simulation::default();
        let (pid, end, expected) = simulation.run(&acts, 1_000, 99);
        simulation.facts.push(reaped(end + WAKE_UP, pid, 99, WAKE_UP));
        simulation.facts.sort_by_key(|fact| (fact.at_ns, order(&fact.what)));
        let members = members(simulation.facts);
        let path = critical_path(&members);
        let all = members.all();
        // It has no gaps, from the start to the end.
        prop_assert_eq!(path.first().map(|piece| piece.from_ns), Some(1_000));
        prop_assert_eq!(path.last().map(|piece| (piece.to_ns, piece.edge)), Some((end, Edge::End)));
        prop_assert!(path.is_sorted_by(|one, next| one.to_ns == next.from_ns));
        let mut expected: Path = expected;
        expected.retain(|piece| piece.1 < piece.2);
        prop_assert_eq!(joined(&path, |at| all[at].pid), expected);
    }

    #[test]
    fn any_facts_have_a_path_that_ends(facts in prop::collection::vec((0_u64..60, 1_u32..6, 0_u32..6, 0..6), 0..60)) {
        let mut given = vec![forked(0, 1, 99)];
        for (at, pid, other, what) in facts {
            given.push(match what {
                0 => forked(at, pid, other),
                1 => ended(at, pid, other, at),
                2 => reaped(at, pid, other, 0),
                3 => fact(at, pid, other, What::Execed { arguments: None, held_parent: true }),
                4 => fact(at, pid, other, What::Autoreaped),
                _ => fact(at, pid, other, What::Slept { ns: 9 }),
            });
        }
        let members = members(given);
        let path = critical_path(&members);
        prop_assert!(path.is_sorted_by(|one, next| one.from_ns <= next.from_ns));
        let report = report(&members, Setting { cpus: Some(2), ..Setting::default() });
        prop_assert_eq!(report.critical_path.time.wall_ns, path.iter().map(|piece| piece.to_ns - piece.from_ns).sum::<u64>());
    }
}

/// Returns the order of facts that have the same time: a process begins before it ends.
const fn order(what: &What) -> u8 {
    match what {
        What::Forked { .. } => 0,
        What::Ended { .. } => 2,
        What::Reaped { .. } => 3,
        _ => 1,
    }
}
