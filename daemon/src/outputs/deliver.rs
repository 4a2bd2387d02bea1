//! Sends what is in an output's buffer, until the daemon ends.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::body::Bytes;
use tokio::{
    select,
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

use super::{
    backoff::Backoff,
    buffer::Buffer,
    spill::Record,
    stats::OutputStats,
    target::{Encoding, Outcome, Rest, Target},
};
use crate::{host::Identity, kernel::clock};

/// What the dispatcher and the sender of an output share.
#[derive(Debug)]
pub(super) struct Outlet {
    pub(super) stats: Arc<OutputStats>,
    buffer: Mutex<Buffer>,
    /// Notifies the sender of a new record, or that there will be no more.
    pub(super) changed: Notify,
    is_closed: AtomicBool,
    encoding: Encoding,
    host: Arc<Identity>,
}

impl Outlet {
    pub(super) fn new(
        stats: Arc<OutputStats>,
        buffer: Buffer,
        encoding: Encoding,
        host: Arc<Identity>,
    ) -> Self {
        let (changed, is_closed) = (Notify::new(), AtomicBool::new(false));
        Self { stats, buffer: Mutex::new(buffer), changed, is_closed, encoding, host }
    }

    /// Appends a record, after a gap if events are missing before it.
    pub(super) fn push(&self, record: Record) {
        let mut buffer = self.buffer();
        buffer.note_gap(self.stats.take_unreported());
        let dropped = buffer.push(record, |lost| self.gap(lost));
        drop(buffer);
        self.stats.dropped(dropped);
        self.count_waiting();
        self.changed.notify_one();
    }

    /// Encodes a gap.
    fn gap(&self, lost: u64) -> Bytes {
        let wall_ns = i128::from(clock::boottime().0) + clock::wall_offset_ns();
        self.encoding.gap("output", lost, wall_ns, &self.host)
    }

    /// Appends a pending gap without waiting for an event after it. Returns whether there is something to send.
    fn append_gap(&self) -> bool {
        let mut buffer = self.buffer();
        buffer.note_gap(self.stats.take_unreported());
        buffer.append_gap(|lost| self.gap(lost))
    }

    pub(super) fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Announces that no more records come: the sender ends when it has sent everything.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.changed.notify_one();
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Updates the figure of records that wait.
    pub(super) fn count_waiting(&self) {
        let (events, spilled) = self.buffer().waiting();
        self.stats.set_waiting(events, spilled);
    }

    fn failed(&self, why: &str) {
        if self.stats.failed(why) {
            log::warn!("output {}: {why}", self.stats.name);
        }
    }

    /// Counts `count` events that the target refused or left out as dropped, and notes a gap for them.
    fn drop_refused(&self, count: u64) {
        self.stats.dropped(count);
        self.buffer().note_gap(count);
    }
}

/// Sends the records of one output.
pub(super) struct Sender {
    outlet: Arc<Outlet>,
    target: Target,
    backoff: Backoff,
    /// Records that are sent one by one, because a batch with them was refused.
    singly: usize,
    repeat_at: Option<Instant>,
}

impl Sender {
    pub(super) fn new(outlet: Arc<Outlet>, target: Target) -> Self {
        Self { outlet, target, backoff: Backoff::new(), singly: 0, repeat_at: None }
    }

    pub(super) async fn run(mut self) {
        loop {
            let (most, bytes) = self.target.batch();
            let most = if self.singly > 0 { 1 } else { most };
            let (records, lost) = self.outlet.buffer().oldest(most, bytes);
            self.outlet.stats.dropped(lost);
            if records.is_empty() {
                if self.outlet.append_gap() {
                    continue;
                }
                if self.outlet.is_closed() {
                    return;
                }
                self.wait().await;
                continue;
            }
            let outcome = self.target.send(&records).await;
            let wait = self.took(outcome, records.len());
            self.outlet.count_waiting();
            if let Some(wait) = wait {
                // New records do not end the pause.
                sleep(wait).await;
                self.outlet.stats.retried();
            }
        }
    }

    /// Waits for a record, or until alerts have to be repeated.
    async fn wait(&mut self) {
        let Some(every) = self.target.repeats_every() else { return self.outlet.changed.notified().await };
        let at = *self.repeat_at.get_or_insert_with(|| Instant::now() + every);
        select! {
            () = self.outlet.changed.notified() => {}
            () = sleep_until(at) => {
                self.repeat_at = None;
                match self.target.repeat().await.rest {
                    Rest::None => {}
                    Rest::Retry { why, .. } | Rest::Refused(why) | Rest::LeftOut { why, .. } => {
                        self.outlet.failed(&why);
                    }
                }
            }
        }
    }

    /// Counts the outcome of `count` records. Returns how long to wait before the next attempt.
    fn took(&mut self, outcome: Outcome, count: usize) -> Option<Duration> {
        let outlet = &self.outlet;
        let Outcome { accepted, rest } = outcome;
        let events = outlet.buffer().remove(accepted);
        if accepted > 0 {
            self.singly = self.singly.saturating_sub(accepted);
            self.backoff.reset();
        }
        let (wait, left_out) = match rest {
            Rest::None => {
                if outlet.stats.succeeded() {
                    log::info!("output {}: accepts events again", outlet.stats.name);
                }
                (None, 0)
            }
            Rest::LeftOut { why, count } => {
                outlet.failed(&why);
                outlet.drop_refused(count);
                (None, count)
            }
            Rest::Retry { why, after } => {
                outlet.failed(&why);
                (Some(self.backoff.wait(after)), 0)
            }
            // At least one record of the batch is at fault; sending one by one finds it.
            Rest::Refused(why) if count - accepted > 1 => {
                outlet.failed(&why);
                self.singly = count - accepted;
                (None, 0)
            }
            Rest::Refused(why) => {
                outlet.failed(&why);
                let dropped = outlet.buffer().remove(1);
                outlet.drop_refused(dropped);
                self.singly = self.singly.saturating_sub(1);
                (None, 0)
            }
        };
        outlet.stats.sent(events.saturating_sub(left_out));
        wait
    }
}
