//! The loop of the owner: polls the ring, hands effects to the sink, answers questions.

use std::{future::Future, io, os::fd::OwnedFd, time::Duration};

use thiserror::Error;
use tokio::{select, sync::mpsc, time::sleep};

use super::{
    EventSink, Pipeline, Why,
    polling::{
        poll_schedule::{BATCH, PollSchedule},
        timer_fd::Ticks,
    },
    records::{apply_record, count, kind_of},
    sums::Counts,
};
use crate::{
    kernel::{clock::boottime, counters::CountersError, decode::decode_with},
    lineage::{Lineage, Wanted, effect::Effect, id::Tgid, record::Record},
    recording::{Entry, entry::Own},
};

/// How often flags that depend on time, and the programs' loss counters, are checked.
const TICK: Duration = Duration::from_millis(250);

/// The most questions that are answered after one tick.
const QUESTIONS_A_TICK: usize = 16;

/// The capacity for effects that is kept from one batch to the next.
const KEPT_EFFECTS: usize = 8 * BATCH;

/// How often the ring is polled after detaching, for records of programs that were still running.
const LAST_POLLS: u32 = 100;

/// The time between two of these polls.
const LAST_POLL_DELAY: Duration = Duration::from_millis(1);

/// A question to the owner of the lineage and its sink. It runs between two batches of records.
pub type Question<F> = Box<dyn FnOnce(&mut Pipeline, &mut F) + Send>;

/// Why observing ended with an error.
#[derive(Debug, Error)]
pub enum RunError {
    /// The event loop cannot wait for the ring.
    #[error("waiting for the ring buffer: {0}")]
    Ring(#[from] io::Error),
    /// The programs' counters cannot be read.
    #[error(transparent)]
    Counters(#[from] CountersError),
}

impl Pipeline {
    /// Runs until `stop` resolves; then detaches and handles the records that are left in the ring.
    pub async fn run<F: EventSink>(
        &mut self,
        sink: &mut F,
        stop: impl Future<Output = ()>,
    ) -> Result<(), RunError> {
        let (_, mut no_questions) = mpsc::channel(1);
        self.serve(sink, &mut no_questions, stop).await
    }

    /// Runs as [`Pipeline::run`] and answers questions in between. Records come first, but a question waits for no more than a
    /// batch of them.
    pub async fn serve<F: EventSink>(
        &mut self,
        sink: &mut F,
        questions: &mut mpsc::Receiver<Question<F>>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), RunError> {
        self.deliver(sink);
        let mut schedule = PollSchedule::new(self.ring_fd()?, self.observer.wake_ups.take())?;
        let mut ticks = Ticks::every(TICK)?;
        tokio::pin!(stop);
        loop {
            select! {
                biased;
                () = &mut stop => break,
                () = ticks.due() => {
                    self.tick(sink);
                    // If ticks take longer than the interval between them, such as with a comparison under load, this is the only
                    // branch that runs. So it answers questions too.
                    for _ in 0..QUESTIONS_A_TICK {
                        let Ok(question) = questions.try_recv() else { break };
                        self.answer(question, sink);
                    }
                }
                () = schedule.due() => {
                    let handled = self.turn();
                    self.deliver(sink);
                    self.settle_new_orphans(sink);
                    schedule.after(handled, sink.max_batch_delay());
                    if let Ok(question) = questions.try_recv() {
                        self.answer(question, sink);
                    }
                }
                // This branch is disabled once all senders of questions are gone.
                Some(question) = questions.recv() => {
                    // Records that wait in the ring for the next poll are part of the answer.
                    self.catch_up(sink);
                    self.answer(question, sink);
                }
            }
            self.deliver(sink);
            schedule.follow(sink.max_batch_delay());
        }
        self.end(sink).await
    }

    /// Detaches, handles the records left in the ring, repairs the last loss, and checks the sums.
    async fn end(&mut self, sink: &mut impl EventSink) -> Result<(), RunError> {
        self.canary.stop();
        self.observer.detach();
        self.check_misses();
        // A program that was running on another CPU may still send its last record.
        for _ in 0..LAST_POLLS {
            while self.turn() > 0 {
                self.deliver(sink);
            }
            self.check_losses(sink);
            if self.sums().check().is_empty() {
                break;
            }
            sleep(LAST_POLL_DELAY).await;
        }
        if std::mem::take(&mut self.resync_due) {
            self.resync(Why::Loss, sink);
        }
        self.lineage.tick(boottime(), &mut self.effects);
        self.deliver(sink);
        // Without the counters the last loss is unknown.
        self.observer.totals()?;
        for wrong in self.sums().check() {
            log::error!("records do not add up: {wrong}");
        }
        self.lineage.note(|| Entry::Counters(Box::new(self.counts.recorded())));
        Ok(())
    }

    /// Handles the records in the ring, up to a batch. Returns how many there were.
    pub(super) fn turn(&mut self) -> usize {
        let Self { observer, lineage, counts, effects, drained_to, decoded, procfs, local_facts, .. } = self;
        let now = boottime();
        let mut apply = |records: &mut Vec<Record>, counts: &mut Counts| {
            lineage.prefetch(records);
            for record in records.iter_mut() {
                local_facts.complete(record, lineage, procfs);
                apply_record(lineage, counts, record, now, effects);
            }
            records.clear();
        };
        let handled = observer.drain(BATCH, |bytes| {
            let received = &mut counts.received;
            let result = decode_with(bytes, |record| {
                count(received, kind_of(&record));
                *drained_to = record.at.max(*drained_to);
                decoded.push(record);
            });
            if let Err(error) = result {
                counts.undecoded += 1;
                log::error!("ring buffer: {error}");
            } else if decoded.len() >= Lineage::PREFETCHED {
                apply(decoded, counts);
            }
        });
        apply(decoded, counts);
        handled
    }

    pub(super) fn deliver(&mut self, sink: &mut impl EventSink) {
        self.filter_canary(sink.is_kept());
        let names: Vec<_> = self.lineage.take_cgroup_names().collect();
        if !names.is_empty() {
            sink.take_cgroup_names(&names);
        }
        if !self.effects.is_empty() {
            sink.take(&mut self.effects);
            self.effects.clear();
            // A comparison of many tasks makes many effects at once.
            self.effects.shrink_to(KEPT_EFFECTS);
        }
        let briefs = self.lineage.take_briefs();
        if !briefs.as_slice().is_empty() {
            sink.take_briefs(briefs.as_slice());
        }
        drop(briefs);
        self.lineage.trim_briefs(KEPT_EFFECTS);
        self.follow_wants(sink);
    }

    /// Removes the effects of the canary, and notes them in the recording, so that a replay can remove them too.
    fn filter_canary(&mut self, is_kept: bool) {
        if self.lineage.journal().is_none() || self.effects.is_empty() || is_kept {
            return self.canary.filter(&mut self.effects);
        }
        let id = |effect: &Effect| (effect.at, effect.thread.key.tid, effect.action.kind());
        let before: Vec<_> = self.effects.iter().map(id).collect();
        self.canary.filter(&mut self.effects);
        let mut left = self.effects.iter().map(id).peekable();
        let removed = before.iter().filter(|id| left.next_if_eq(id).is_none());
        let own: Vec<Own> = removed.map(|&(at, tid, _)| Own { tid, at }).collect();
        drop(left);
        self.lineage.note(|| Entry::Delivered(own));
    }

    /// Makes the lineage build the effects that the sink wants, and those of the canary.
    pub(super) fn follow_wants(&mut self, sink: &impl EventSink) {
        let own = [Some(Tgid(std::process::id())), self.canary.process()];
        let some = Wanted::Of(own, sink.wanted_actions());
        self.lineage.set_wanted(if sink.wants_effects() { Wanted::All } else { some });
    }

    /// Runs a question. Before it, looks for losses, uncertain orphans and reaped zombies, and counts what ended tasks used.
    fn answer<S: EventSink>(&mut self, question: Question<S>, sink: &mut S) {
        self.check_losses(sink);
        self.settle_orphans(sink);
        self.end_reaped_before_answer(sink);
        let shares: Vec<_> = self.lineage.take_shares().collect();
        if !shares.is_empty() {
            sink.take_usage(&shares);
        }
        self.deliver_stops(sink);
        question(self, sink);
        // The question may have added a reader of events.
        self.follow_wants(sink);
    }

    pub(super) fn deliver_stops(&mut self, sink: &mut impl EventSink) {
        let stops: Vec<_> = self.lineage.take_ended_stops().collect();
        if !stops.is_empty() {
            sink.take_stops(&stops);
        }
    }

    fn ring_fd(&self) -> io::Result<OwnedFd> {
        use std::os::fd::AsFd as _;
        self.observer.as_fd().try_clone_to_owned()
    }
}
