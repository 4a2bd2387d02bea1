//! The one loss that no test can rule out: the kernel skips a program of the fentry and tracepoint families while a task that
//! it preempted inside that program stands still on the CPU. From 7.0 on such programs are preemptible.
//!
//! The kernel counts it, taskscope tells it and mends the tree. A test that fails by it may try again, if nothing else was
//! lost and the tree is right.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    observer::{Observer, shared_so_far},
    replay,
    setting::report,
};

/// Under emulation, where a program takes long, one attempt in some dozens fails by this.
const ATTEMPTS: u32 = 5;
/// A loss is mended within this time.
const LATELY: Duration = Duration::from_secs(15);
/// Key of the report that says how many calls were skipped.
pub const REPORT: &str = "kernel_skipped_programs";

/// Skipped calls of one taskscope's programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skips {
    /// As the kernel counts them.
    pub kernel: u64,
    /// As its gap records say.
    pub told: u64,
}

/// Of the observers that a panic took with it. `None` is one that lost something else.
static NOTED: Mutex<Vec<Option<Skips>>> = Mutex::new(Vec::new());

/// Keeps what an observer lost, before it is gone.
pub(crate) fn note(observer: &Observer) {
    let skips = observer.skips();
    NOTED.lock().unwrap_or_else(PoisonError::into_inner).push(skips);
}

/// The least count of the last tests that began not longer ago than the mending of a loss may take: it can fall into the test
/// after the one that suffered the loss.
fn known_lately(now: u64) -> u64 {
    static BEGUN: Mutex<Vec<(Instant, u64)>> = Mutex::new(Vec::new());
    let mut begun = BEGUN.lock().unwrap_or_else(PoisonError::into_inner);
    begun.retain(|(at, _)| at.elapsed() < LATELY);
    begun.push((Instant::now(), now));
    begun.iter().map(|(_, count)| *count).min().unwrap_or(now)
}

/// Runs a test, again if the kernel skipped programs meanwhile.
#[track_caller]
pub fn attempts(test: impl Fn()) {
    let known = || shared_so_far().and_then(Observer::skips).map_or(0, |skips| skips.kernel);
    for attempt in 1.. {
        let before = known_lately(known());
        let Err(panic) = catch_unwind(AssertUnwindSafe(&test)) else { return };
        let mut noted = std::mem::take(&mut *NOTED.lock().unwrap_or_else(PoisonError::into_inner));
        let shared = shared_so_far();
        if let Some(observer) = shared {
            noted.push(observer.skips().map(|skips| Skips { kernel: skips.kernel - before, ..skips }));
        }
        let skipped = noted.iter().try_fold(0, |sum, skips| Some(sum + (*skips)?.kernel));
        match skipped {
            Some(skipped) if skipped > 0 && attempt < ATTEMPTS => {
                println!(
                    "attempt {attempt} failed, and the kernel skipped {skipped} calls of programs: again"
                );
                report("attempts_that_skipped_programs_explain", attempt);
                if let Some(observer) = shared {
                    replay::assert_mended(observer.stream());
                }
            }
            _ => resume_unwind(panic),
        }
    }
}
