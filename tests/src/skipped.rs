//! The one loss that no test can rule out: the kernel skips a program of the fentry and tracepoint families while a task that
//! it preempted inside that program stands still on the CPU. From 7.0 on such programs are preemptible.
//!
//! The kernel counts it, taskscope tells it and mends the tree. A test that fails by it may try again, if nothing else was
//! lost and the tree is right.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    observer::{Observer, shared_so_far},
    replay,
    service::{self, Service},
    setting::report,
};

/// Under emulation, where a program takes long, one attempt in some dozens fails by this.
const ATTEMPTS: u32 = 5;
/// A loss is repaired within this time.
const LATELY: Duration = Duration::from_secs(15);
/// Key of the report that says how many calls were skipped.
pub const REPORT: &str = "kernel_skipped_programs";

/// Skipped calls of one taskscope's programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skips {
    /// As the kernel counts them.
    pub kernel: u64,
    /// As its gap records, or a daemon's status, say.
    pub reported: Option<u64>,
}

/// Of the observers that a panic took with it. `None` is one that lost something else.
static NOTED: Mutex<Vec<Option<Skips>>> = Mutex::new(Vec::new());

/// What taskscope says when more clones were under way at once than the kernel has kretprobe instances for, ten on two CPUs: on a
/// slow machine the storms of several tests come to that.
const MISSED_RETURN: &str = "the kernel missed a return";

/// An observer that a panic took with it said so.
static MISSED: AtomicBool = AtomicBool::new(false);

/// Keeps what an observer lost, before it is gone.
pub(crate) fn note(observer: &Observer) {
    if observer.log().text().contains(MISSED_RETURN) {
        MISSED.store(true, Ordering::Release);
        return;
    }
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

/// Returns the skipped calls of the taskscope that tests share; `None` if it lost anything else.
fn of_the_shared() -> Option<u64> {
    let daemon = service::shared_so_far().map(Service::process);
    let shared = shared_so_far().into_iter().chain(daemon);
    shared.map(|observer| Some(observer.skips()?.kernel)).sum()
}

/// Runs a test, and once more if the kernel skipped programs during it, or missed a return.
#[track_caller]
pub fn attempts(test: impl Fn()) {
    for attempt in 1.. {
        let before = known_lately(of_the_shared().unwrap_or(0));
        let Err(panic) = catch_unwind(AssertUnwindSafe(&test)) else { return };
        let missed = MISSED.swap(false, Ordering::AcqRel);
        let noted = std::mem::take(&mut *NOTED.lock().unwrap_or_else(PoisonError::into_inner));
        let of_the_ended = noted.iter().try_fold(0, |sum, skips| Some(sum + (*skips)?.kernel));
        let skipped = of_the_ended.zip(of_the_shared()).map(|(ended, shared)| ended + shared - before);
        match skipped {
            Some(skipped) if skipped > 0 && attempt < ATTEMPTS => {
                println!(
                    "attempt {attempt} failed, and the kernel skipped {skipped} calls of programs: again"
                );
                report("attempts_that_skipped_programs_explain", attempt);
                if let Some(observer) = shared_so_far() {
                    replay::assert_repaired(observer.stream());
                }
            }
            _ if missed && attempt < ATTEMPTS => {
                println!(
                    "attempt {attempt} failed, and the kernel missed the return of a copy_process: again"
                );
                report("attempts_that_missed_returns_explain", attempt);
            }
            _ => resume_unwind(panic),
        }
    }
}
