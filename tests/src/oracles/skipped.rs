//! The only loss that a test cannot prevent: the kernel skips a program of the fentry and tracepoint families while it has
//! preempted another task inside that program on the same CPU. From 7.0 on such programs are preemptible.
//!
//! The kernel counts it; taskscope reports it and repairs the tree. A test that fails because of it may run again, if nothing
//! else was lost and the tree is right.

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

/// Number of attempts. Under emulation, where a program takes long, one attempt in some dozens fails for this reason.
const ATTEMPTS: u32 = 5;
/// The time within which a loss is repaired.
const LATELY: Duration = Duration::from_secs(15);
/// Key of the report that says how many calls were skipped.
pub const REPORT: &str = "kernel_skipped_programs";

/// Number of skipped calls of one taskscope's programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skips {
    /// The kernel's own count.
    pub kernel: u64,
    /// The count in its gap records, or in the status of a daemon.
    pub reported: Option<u64>,
}

/// Skips of observers that a panic dropped. `None` stands for an observer that has other losses.
static NOTED: Mutex<Vec<Option<Skips>>> = Mutex::new(Vec::new());

/// The message that taskscope logs if more clones were in progress at once than the kernel has kretprobe instances, ten on two
/// CPUs. Storms of several tests on a slow machine can cause that.
const MISSED_RETURN: &str = "the kernel missed a return";

/// Whether an observer that a panic dropped has logged that message.
static MISSED: AtomicBool = AtomicBool::new(false);

/// Stores the losses of an observer before it is dropped.
pub(crate) fn note(observer: &Observer) {
    if observer.log().text().contains(MISSED_RETURN) {
        MISSED.store(true, Ordering::Release);
        return;
    }
    let skips = observer.skips();
    NOTED.lock().unwrap_or_else(PoisonError::into_inner).push(skips);
}

/// Returns the least count among the tests that began within the time that the repair of a loss can take, because the report can
/// fall into the test after the one with the loss.
fn known_lately(now: u64) -> u64 {
    static BEGUN: Mutex<Vec<(Instant, u64)>> = Mutex::new(Vec::new());
    let mut begun = BEGUN.lock().unwrap_or_else(PoisonError::into_inner);
    begun.retain(|(at, _)| at.elapsed() < LATELY);
    begun.push((Instant::now(), now));
    begun.iter().map(|(_, count)| *count).min().unwrap_or(now)
}

/// Returns the number of skipped calls of the taskscope that tests share; `None` if it has other losses.
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
