//! Simulation: adds faults to recordings of real hosts: losses, records that come twice or out of order, restarts of the daemon,
//! and comparisons with the kernel's tasks at any point. With any faults, the lineage stays consistent, its sums balance, and after
//! the next comparison it has the same tasks and zombies as without the faults.
//!
//! The faults come from a seed. A failing case is shrunk to the fewest faults that still fail, and the report has the seed:
//! `TASKSCOPE_SIMULATION_SEED=N cargo test -p taskscope --test simulation` runs it again. `cargo xtask simulate --minutes N` runs more.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod faults;
mod host;
#[path = "../lineage/ring.rs"]
#[allow(dead_code, reason = "the shuffling of whole histories")]
mod ring;

use std::{
    cell::Cell,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use proptest::test_runner::{Config as Runner, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use taskscope::recording::{Entries, Entry, Header, Reader};

use crate::{
    faults::{Fault, faults},
    host::Host,
};

/// Cases of each recording that run with the other tests.
const CASES: u32 = 40;

/// Random numbers from a seed, for the shuffling of histories.
#[allow(dead_code, reason = "used by the histories of the model")]
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most.max(1)
    }
}

/// A recording in memory.
struct Tape {
    name: String,
    header: Header,
    entries: Vec<Entry>,
}

fn tapes() -> Vec<Tape> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/simulation");
    let mut files: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rec"));
    files.sort();
    assert!(files.len() >= 2, "{} has no recordings", directory.display());
    files.iter().map(|file| read(file)).collect()
}

fn read(file: &Path) -> Tape {
    let mut reader = Reader::open(file).unwrap_or_else(|error| panic!("{error}"));
    let mut entries = Vec::new();
    while let Some(frame) = reader.next_frame().unwrap_or_else(|error| panic!("{error}")) {
        for entry in Entries::of(&frame.content) {
            entries.push(entry.unwrap_or_else(|error| panic!("{}", reader.malformed(&frame, error))));
        }
    }
    let name = file.file_stem().unwrap().to_string_lossy().into_owned();
    Tape { name, header: reader.header.clone(), entries }
}

/// Plays a recording into two lineages, one of which has the faults.
fn simulate(tape: &Tape, faults: &[Fault]) -> Result<u64, TestCaseError> {
    let mut host = Host::new(&tape.header);
    // Before the first snapshot, the recording does not have all tasks of the host.
    let is_ended = |entry: &Entry| matches!(entry, Entry::SnapshotEnded(_));
    let first = tape.entries.iter().position(is_ended).expect("a snapshot") + 1;
    let mut by_place = faults::by_place(faults, first, tape.entries.len());
    let mut at = 0;
    while let Some(entry) = tape.entries.get(at) {
        for fault in by_place.remove(&at).unwrap_or_default() {
            host.inflict(fault).map_err(TestCaseError::fail)?;
        }
        // Two records swap places.
        if let Some(later) = tape.entries.get(at + 1)
            && host.passes(entry, later)
        {
            host.step(later, entry).and_then(|()| host.step(entry, later)).map_err(TestCaseError::fail)?;
            at += 2;
            continue;
        }
        host.step(entry, entry).map_err(TestCaseError::fail)?;
        at += 1;
    }
    host.end().map_err(TestCaseError::fail)
}

fn run(tape: &Tape, seed: u64, cases: u32) -> u64 {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Runner { cases, max_shrink_iters: 400, failure_persistence: None, ..Runner::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let steps = Cell::new(0);
    let outcome = runner.run(&faults(), |faults| {
        steps.set(steps.get() + simulate(tape, &faults)?);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{} with TASKSCOPE_SIMULATION_SEED={seed}: {error}", tape.name);
    }
    steps.get()
}

#[test]
fn whatever_is_lost_doubled_or_restarted_the_next_comparison_repairs() {
    let seed = std::env::var("TASKSCOPE_SIMULATION_SEED").ok().map(|text| text.parse().expect("a number"));
    for tape in tapes() {
        let steps = run(&tape, seed.unwrap_or(1), CASES);
        println!("{}: {} entries, {steps} played", tape.name, tape.entries.len());
        assert!(steps > 0);
    }
}

#[test]
fn a_recording_without_faults_has_the_same_tree_twice() {
    for tape in tapes() {
        simulate(&tape, &[]).unwrap_or_else(|error| panic!("{}: {error}", tape.name));
    }
}

/// With `TASKSCOPE_SIMULATION_SECONDS`: runs with other seeds for that number of seconds.
#[test]
fn for_as_long_as_asked_other_seeds_hold_too() {
    let Ok(seconds) = std::env::var("TASKSCOPE_SIMULATION_SECONDS") else { return };
    let end = Instant::now() + Duration::from_secs(seconds.parse().expect("a number"));
    let first = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let tapes = tapes();
    let mut seed = first;
    while Instant::now() < end {
        for tape in &tapes {
            run(tape, seed, 10);
        }
        seed += 1;
    }
    println!("seeds {first} to {}: {} cases", seed - 1, (seed - first) * 10 * tapes.len() as u64);
}
