//! Compares the lineage with a model of the kernel: random histories, and every order in which their records can arrive.

mod arbitrary;
mod compare;
mod history;
mod kernel;
mod ring;
mod tape;
mod truth;
mod unread;
mod usage;

use std::cell::Cell;
use std::fmt::Write as _;

use proptest::arbitrary::any;
use proptest::prop_assert_eq;
use proptest::test_runner::{
    Config as Runner, FileFailurePersistence, RngAlgorithm, TestCaseError, TestRng, TestRunner,
};
use taskscope::lineage::id::{Ktime, Tgid};
use taskscope::lineage::record::{Fact, Record};
use taskscope::lineage::{Config, Effect, Lineage};

use crate::compare::{reported, same_acts, same_reports, same_tree};
use crate::history::{History, history};
use crate::kernel::Kernel;
use crate::tape::Family;
use crate::unread::Pair;
use crate::usage::{same_children, same_usage};

/// With `TASKSCOPE_HISTORIES`: this many random histories; else those of a few seconds, always the same ones.
fn runner() -> TestRunner {
    let long: Option<u32> = std::env::var("TASKSCOPE_HISTORIES").ok().and_then(|text| text.parse().ok());
    let config = Runner {
        cases: long.unwrap_or(1000),
        max_shrink_iters: 20_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/lineage/seeds.txt"))),
        ..Runner::default()
    };
    if long.is_some() {
        TestRunner::new(config)
    } else {
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
    }
}

/// Feeds records in, checking the lineage's invariants after each.
fn feed(lineage: &mut Lineage, records: &[Record], effects: &mut Vec<Effect>) -> Result<(), TestCaseError> {
    for record in records {
        lineage.apply(record, record.at, effects);
        lineage.check().map_err(|error| TestCaseError::fail(format!("after {record:?}:\n{error}")))?;
    }
    Ok(())
}

/// Advances the time and checks the invariants.
fn tick(lineage: &mut Lineage, now: Ktime, effects: &mut Vec<Effect>) -> Result<(), TestCaseError> {
    lineage.tick(now, effects);
    lineage.check().map_err(|error| TestCaseError::fail(format!("after the tick at {}:\n{error}", now.0)))
}

fn fail(error: String, records: &[Record], effects: &[Effect]) -> TestCaseError {
    let mut text = error;
    let records: Vec<String> =
        records.iter().map(|record| format!("{} {}", record.at.0, tape::line(record))).collect();
    let _ = write!(text, "\nrecords:\n{}\neffects:", records.join("\n"));
    for effect in effects {
        let (at, tid, name) = (effect.at.0, effect.thread.key.tid, effect.action.name());
        let parent = effect.process.parent.map_or(0, |parent| parent.tgid.0);
        let _ = write!(text, "\n{at} {tid} {name} (below {parent}, {})", effect.provenance.name());
    }
    TestCaseError::fail(text)
}

/// Later than every time limit.
const LATER_NS: u64 = 100_000_000_000;

/// Checks a property with many histories and random numbers, and shrinks failing cases.
fn all_histories(property: impl Fn(&History, u64) -> Result<(), TestCaseError>) {
    let inputs = (history(120), any::<u64>());
    if let Err(error) = runner().run(&inputs, |(history, dice)| property(&history, dice)) {
        panic!("{error}");
    }
}

/// Random numbers from a seed, which decide which records are lost or reordered.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most.max(1)
    }
}

#[test]
fn in_kernel_order_the_tree_and_all_that_is_reported_are_the_kernels() {
    let (tasks, wrong_guesses) = (Cell::new(0), Cell::new(0));
    all_histories(|history, _| {
        let kernel = history.play();
        let mut lineage = Lineage::new(Config::default());
        let mut effects = Vec::new();
        feed(&mut lineage, &kernel.tape.records, &mut effects)?;
        tick(&mut lineage, Ktime(kernel.now + LATER_NS), &mut effects)?;
        let result = same_tree(&kernel, &lineage).and_then(|()| {
            // No tracepoint reports what a tracer does.
            if history.with_ptrace && history.family == Family::Tracepoint {
                return Ok(());
            }
            wrong_guesses.set(wrong_guesses.get() + same_acts(&kernel, &effects, history.family)?);
            tasks.set(tasks.get() + kernel.tasks.len());
            Ok(())
        });
        result.map_err(|error| fail(error, &kernel.tape.records, &effects))
    });
    let (tasks, wrong_guesses) = (tasks.get(), wrong_guesses.get());
    println!("{tasks} tasks, {wrong_guesses} of them reported differently, as inferred");
    assert!(wrong_guesses * 500 < tasks, "{wrong_guesses} of {tasks} inferences are wrong");
}

#[test]
fn what_a_group_and_its_children_used_hangs_on_no_order() {
    all_histories(|history, dice| {
        let kernel = history.play();
        let mut dice = Dice(dice);
        for shuffles in 0..3 {
            let records = ring::shuffle(&kernel.tape.records, &mut dice, shuffles);
            let mut lineage = Lineage::new(Config::default());
            let mut effects = Vec::new();
            feed(&mut lineage, &records, &mut effects)?;
            tick(&mut lineage, Ktime(kernel.now + LATER_NS), &mut effects)?;
            let result = same_usage(&kernel, &lineage).and_then(|()| {
                // Tracepoints report no wait, and nothing about tracers, so what is concluded can be wrong.
                if history.with_ptrace || history.family == Family::Tracepoint {
                    return Ok(());
                }
                same_children(&kernel, &lineage, shuffles == 0)
            });
            result.map_err(|error| fail(error, &records, &effects))?;
        }
        Ok(())
    });
}

#[test]
fn records_that_come_twice_change_nothing() {
    all_histories(|history, dice| {
        let kernel = history.play();
        let mut dice = Dice(dice);
        let mut records: Vec<Record> = Vec::new();
        let mut copies: Vec<(usize, Record)> = Vec::new();
        for (n, record) in kernel.tape.records.iter().enumerate() {
            records.push(record.clone());
            // A failed clone is not duplicated: two equal records mean two failures.
            if dice.below(4) == 0 && !matches!(record.fact, Fact::CloneFailed(_)) {
                copies.push((n + dice.below(40), record.clone()));
            }
            copies.retain(|(due, copy)| {
                if *due <= n {
                    records.push(copy.clone());
                }
                *due > n
            });
        }
        let run = |records: &[Record]| {
            let mut lineage = Lineage::new(Config::default());
            let mut effects = Vec::new();
            feed(&mut lineage, records, &mut effects)?;
            tick(&mut lineage, Ktime(kernel.now + LATER_NS), &mut effects)?;
            Ok::<_, TestCaseError>((lineage, effects))
        };
        let (_, once) = run(&kernel.tape.records)?;
        let (lineage, twice) = run(&records)?;
        same_tree(&kernel, &lineage).map_err(|error| fail(error, &records, &twice))?;
        same_reports(&reported(&once), &reported(&twice)).map_err(|error| fail(error, &records, &twice))
    });
}

#[test]
fn any_order_that_a_ring_can_produce_leads_to_the_same_tree() {
    all_histories(|history, dice| {
        let kernel = history.play();
        let mut dice = Dice(dice);
        let most = 1 + dice.below(4);
        let records = ring::shuffle(&kernel.tape.records, &mut dice, most);
        let mut lineage = Lineage::new(Config::default());
        let mut effects = Vec::new();
        feed(&mut lineage, &records, &mut effects)?;
        tick(&mut lineage, Ktime(kernel.now + LATER_NS), &mut effects)?;
        same_tree(&kernel, &lineage).map_err(|error| fail(error, &records, &effects))
    });
}

/// A snapshot that is read in slices while the kernel continues.
struct Shot {
    records: Vec<Record>,
    /// Length of the tape when it began and when it ended.
    begun: usize,
    ended: usize,
    begun_at: Ktime,
    ended_at: Ktime,
}

/// Plays a history and reads a snapshot somewhere in it, in several slices of tids.
fn play_with_shot(history: &History, dice: &mut Dice) -> (Kernel, Shot) {
    let (from, slices) = (dice.below(history.steps.len()), 1 + dice.below(6));
    let mut shot =
        Shot { records: Vec::new(), begun: 0, ended: 0, begun_at: Ktime(0), ended_at: Ktime(u64::MAX) };
    let mut step = 0;
    let mut read = |kernel: &mut Kernel, slice: usize, last: bool| {
        if slice == 0 {
            shot.begun = kernel.tape.records.len();
            shot.begun_at = Ktime(kernel.tick(1));
        }
        let width = (kernel.pid_max as usize).div_ceil(slices);
        let mut tasks: Vec<_> = kernel.present().collect();
        tasks.sort_by_key(|&task| kernel.tasks[task].tid);
        for task in tasks {
            let tid = kernel.tasks[task].tid as usize;
            if tid / width == slice || (last && tid / width > slice) {
                let at = kernel.tick(1);
                shot.records.push(tape::snapshot(at, &kernel.view(task)));
            }
        }
        if last {
            shot.ended = kernel.tape.records.len();
            shot.ended_at = Ktime(kernel.tick(1));
        }
    };
    let mut done = 0;
    let mut kernel = history.play_watched(|kernel| {
        if step >= from && done < slices {
            read(kernel, done, done + 1 == slices);
            done += 1;
        }
        step += 1;
    });
    while done < slices {
        read(&mut kernel, done, done + 1 == slices);
        done += 1;
    }
    (kernel, shot)
}

#[test]
fn a_snapshot_in_any_place_of_the_stream_leads_to_the_same_tree() {
    all_histories(|history, dice| {
        let mut dice = Dice(dice);
        let (kernel, shot) = play_with_shot(history, &mut dice);
        let records = &kernel.tape.records;
        // Attached some time before the snapshot began; nothing recorded what happened before.
        let attached = shot.begun - dice.below(shot.begun.min(20) + 1);
        let mut lineage = Lineage::new(Config::default());
        let mut effects = Vec::new();
        let stream = &records[attached..];
        // The snapshot is applied after this many records of the stream: none, some, or all up to its end.
        let before = dice.below(shot.ended - attached + 1);
        feed(&mut lineage, &stream[..before], &mut effects)?;
        lineage.begin_snapshot(shot.begun_at);
        feed(&mut lineage, &shot.records, &mut effects)?;
        lineage.end_snapshot(shot.ended_at, &mut effects);
        lineage.check().map_err(TestCaseError::fail)?;
        feed(&mut lineage, &stream[before..], &mut effects)?;
        tick(&mut lineage, Ktime(kernel.now + LATER_NS), &mut effects)?;
        let mut order = stream[..before].to_vec();
        order.extend_from_slice(&shot.records);
        order.extend_from_slice(&stream[before..]);
        same_tree(&kernel, &lineage).map_err(|error| fail(error, &order, &effects))
    });
}

#[test]
fn unwanted_effects_are_counted_the_same_and_the_tree_is_equal() {
    let (briefs, wanted) = (Cell::new(0), Cell::new(0));
    all_histories(|history, dice| {
        let mut dice = Dice(dice);
        let (kernel, shot) = play_with_shot(history, &mut dice);
        let stream = &kernel.tape.records;
        let mut pair = Pair::new(Tgid(1 + dice.below(8) as u32));
        let before = dice.below(shot.ended + 1);
        pair.apply(&stream[..before]);
        pair.both(|lineage, _| lineage.begin_snapshot(shot.begun_at));
        pair.apply(&shot.records);
        pair.both(|lineage, effects| lineage.end_snapshot(shot.ended_at, effects));
        let rest = ring::shuffle(&stream[before..], &mut dice, 1);
        let (first, last) = rest.split_at(dice.below(rest.len() + 1));
        pair.apply(first);
        pair.want_all();
        pair.apply(last);
        pair.both(|lineage, effects| lineage.tick(Ktime(kernel.now + LATER_NS), effects));
        let (counted, built) =
            pair.compare(Ktime(kernel.now + LATER_NS)).map_err(|error| fail(error, stream, &[]))?;
        briefs.set(briefs.get() + counted);
        wanted.set(wanted.get() + built);
        Ok(())
    });
    assert!(briefs.get() > 1000 && wanted.get() > 100, "{briefs:?} briefs, {wanted:?} effects beside them");
}

#[test]
fn after_losses_a_snapshot_repairs_the_tree() {
    all_histories(|history, dice| {
        let mut dice = Dice(dice);
        let (kernel, shot) = play_with_shot(history, &mut dice);
        let mut lineage = Lineage::new(Config::default());
        let mut effects = Vec::new();
        // The first snapshot finds no tasks, so it has no effects.
        lineage.begin_snapshot(Ktime(0));
        lineage.end_snapshot(Ktime(1), &mut effects);
        let one_in = 1 + dice.below(8);
        let mut order: Vec<Record> = Vec::new();
        for record in &kernel.tape.records[..shot.begun] {
            if dice.below(one_in + 1) != 0 {
                order.push(record.clone());
            }
        }
        // Losses are noticed once at a random time, and once more just before the snapshot begins.
        let noticed = dice.below(order.len());
        feed(&mut lineage, &order[..noticed], &mut effects)?;
        lineage.doubt_zombies(Ktime(dice.below(kernel.now as usize) as u64).min(shot.begun_at));
        lineage.check().map_err(TestCaseError::fail)?;
        feed(&mut lineage, &order[noticed..], &mut effects)?;
        lineage.doubt_zombies(order.last().map_or(Ktime(0), |record| record.at));
        prop_assert_eq!(lineage.zombie_count(), 0, "a zombie counts that may be gone");
        // Lose nothing while the snapshot is read: only the next snapshot would repair that.
        let during = &kernel.tape.records[shot.begun..shot.ended];
        feed(&mut lineage, during, &mut effects)?;
        order.extend_from_slice(during);
        lineage.begin_snapshot(shot.begun_at);
        feed(&mut lineage, &shot.records, &mut effects)?;
        lineage.end_snapshot(shot.ended_at, &mut effects);
        lineage.check().map_err(TestCaseError::fail)?;
        prop_assert_eq!(lineage.unconfirmed_count(), 0, "a zombie is uncertain after a whole snapshot");
        let rest = &kernel.tape.records[shot.ended..];
        feed(&mut lineage, rest, &mut effects)?;
        tick(&mut lineage, Ktime(kernel.now + LATER_NS), &mut effects)?;
        order.extend_from_slice(&shot.records);
        order.extend_from_slice(rest);
        same_tree(&kernel, &lineage).map_err(|error| fail(error, &order, &effects))
    });
}

#[test]
fn whatever_the_records_say_the_lineage_stays_whole_and_bounded() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/lineage");
    let mut inputs: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "{corpus} is empty");
    for input in inputs {
        let bytes = std::fs::read(&input).unwrap();
        arbitrary::feed_any(&bytes).unwrap_or_else(|error| panic!("{}: {error}", input.display()));
    }
    let inputs = proptest::collection::vec(any::<u8>(), 1..2000);
    let outcome = runner().run(&inputs, |bytes| arbitrary::feed_any(&bytes).map_err(TestCaseError::fail));
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
