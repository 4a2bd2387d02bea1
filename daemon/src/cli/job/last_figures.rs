//! Waits for figures that are still to come when the command and its descendants have ended.
//!
//! On the kprobe and fentry rungs a parent on another CPU can reap a child before the record of the child's death, which has the first
//! figures, and before its last switch, which has the final ones. No later event has them, so this asks the source of the events.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::Shared;
use crate::kernel::clock;

/// How long they are waited for. Records follow within microseconds, on emulated CPUs within milliseconds.
const LAST_FIGURES: Duration = Duration::from_secs(2);

/// The pause between two questions.
const PAUSE: Duration = Duration::from_millis(20);

/// After this time a record is assumed to be lost, ns.
const OVERDUE_NS: u64 = 60_000_000_000;

/// Returns the time from which on figures that were reported incomplete can still be completed, ns of `CLOCK_BOOTTIME`.
pub(super) fn due_since_ns() -> u64 {
    clock::boottime().0.saturating_sub(OVERDUE_NS)
}

/// Whether figures can still be completed.
pub(super) fn are_due(shared: &Shared) -> bool {
    let since_ns = due_since_ns();
    let collector = shared.borrow();
    let mut incomplete = collector.members().into_iter().flat_map(crate::job::Members::incomplete);
    incomplete.any(|(_, incomplete)| incomplete.since_ns >= since_ns)
}

fn log_incomplete(shared: &Shared) {
    let collector = shared.borrow();
    let incomplete = || collector.members().into_iter().flat_map(crate::job::Members::incomplete);
    let lacking = incomplete().filter(|(_, incomplete)| incomplete.lacks_tasks).count();
    log::debug!(
        "{} processes with incomplete figures, {lacking} of them without those of a task",
        incomplete().count()
    );
}

/// Calls `ask` until all figures are complete, or gives up: then the report says so. `ask` completes figures that were reported
/// incomplete at a time or later, ns of `CLOCK_BOOTTIME`.
pub(super) async fn wait<E: Display>(shared: &Shared, mut ask: impl AsyncFnMut(u64) -> Result<(), E>) {
    let until = Instant::now() + LAST_FIGURES;
    let mut since_ns = 0;
    log_incomplete(shared);
    loop {
        if let Err(error) = ask(since_ns).await {
            log::debug!("asking for figures: {error}");
            return;
        }
        // After a loss the figures are lower bounds anyway.
        let is_lossy = shared.borrow().members().is_none_or(crate::job::Members::has_losses);
        if is_lossy || !are_due(shared) || Instant::now() >= until {
            return;
        }
        sleep(PAUSE).await;
        since_ns = due_since_ns();
    }
}
