//! The lineage against a model of the kernel: random histories, and every way their records can reach it.

mod compare;
mod history;
mod kernel;
mod tape;
mod truth;

use std::cell::Cell;
use std::fmt::Write as _;

use proptest::test_runner::TestCaseError;
use proptest::test_runner::{Config as Runner, FileFailurePersistence, TestRunner};
use taskscope::lineage::id::Ktime;
use taskscope::lineage::record::Record;
use taskscope::lineage::{Config, Effect, Lineage};

use crate::compare::{same_acts, same_tree};
use crate::history::{History, history};
use crate::tape::Family;

/// Histories a property is tried with, `TASKSCOPE_HISTORIES` or a number that takes a few seconds.
fn runner() -> Runner {
    let cases = std::env::var("TASKSCOPE_HISTORIES").ok().and_then(|text| text.parse().ok()).unwrap_or(2000);
    Runner {
        cases,
        max_shrink_iters: 20_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/lineage/seeds.txt"))),
        ..Runner::default()
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

fn fail(error: String, records: &[Record], effects: &[Effect]) -> TestCaseError {
    let mut text = error;
    let records: Vec<String> = records.iter().map(|record| format!("{} {}", record.at.0, tape::line(record))).collect();
    let _ = write!(text, "\nrecords:\n{}\ntold:", records.join("\n"));
    for effect in effects {
        let (at, tid, name) = (effect.at.0, effect.thread.key.tid, effect.action.name());
        let parent = effect.process.parent.map_or(0, |parent| parent.tgid.0);
        let _ = write!(text, "\n{at} {tid} {name} (below {parent}, {})", effect.provenance.name());
    }
    TestCaseError::fail(text)
}

/// Later than anything that is waited for.
const LATER_NS: u64 = 100_000_000_000;

/// Tries a property with many histories, and shrinks the one it fails with.
fn all_histories(property: impl Fn(&History) -> Result<(), TestCaseError>) {
    if let Err(error) = TestRunner::new(runner()).run(&history(120), |history| property(&history)) {
        panic!("{error}");
    }
}

#[test]
fn in_kernel_order_the_tree_and_all_that_is_told_are_the_kernels() {
    let (tasks, wrong_guesses) = (Cell::new(0), Cell::new(0));
    all_histories(|history| {
        let kernel = history.play();
        let mut lineage = Lineage::new(Config::default());
        let mut effects = Vec::new();
        feed(&mut lineage, &kernel.tape.records, &mut effects)?;
        lineage.tick(Ktime(kernel.now + LATER_NS), &mut effects);
        let result = same_tree(&kernel, &lineage).and_then(|()| {
            // No tracepoint tells what a tracer does.
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
    println!("{tasks} tasks, {wrong_guesses} of them told otherwise than they were, as inferred");
    assert!(wrong_guesses * 2000 < tasks, "{wrong_guesses} of {tasks} inferences are wrong");
}
