//! All events of one taskscope process, and waiting for one of them.

use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{event::Event, matcher::Matcher, setting};

/// The time from the record of a loss to the comparison that follows, on a slow machine.
const REPAIRED_WITHIN: Duration = Duration::from_secs(10);

/// The events so far, shared by the thread that reads and the tests that wait.
#[derive(Default)]
pub struct Stream {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    events: Vec<Arc<Event>>,
    /// Lines that are no events, with their errors.
    broken: Vec<String>,
    /// Calls of programs that the kernel skipped, as taskscope reports them: the stream is not at fault.
    skipped: u64,
    skipped_at: Option<Instant>,
    /// Whether the output has ended.
    ended: bool,
}

/// A wait that `within` or `soon` starts.
#[must_use]
pub struct Expectation<'a> {
    stream: &'a Stream,
    matcher: Matcher,
    since_ns: u64,
    log: &'a dyn fmt::Display,
}

impl Stream {
    /// Takes a line of taskscope's stdout.
    pub fn line(&self, line: &str) {
        let mut state = self.lock();
        match Event::parse(line) {
            Ok(event) => {
                if let Some(last) = state.events.last()
                    && event.sequence != last.sequence + 1
                {
                    let text = format!("sequence {} follows {}: {line}", event.sequence, last.sequence);
                    state.broken.push(text);
                }
                state.events.push(Arc::new(event));
            }
            Err(error) => match skipped(line) {
                Some(lost) => {
                    state.skipped += lost;
                    state.skipped_at = Some(Instant::now());
                }
                None => state.broken.push(format!("{error:#}: {line}")),
            },
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Marks the output as ended.
    pub fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Waits until the stream has ended; returns whether it did before the deadline.
    #[must_use]
    pub fn ended_within(&self, deadline: Duration) -> bool {
        let state = self.lock();
        let wait = self.changed.wait_timeout_while(state, deadline, |state| !state.ended);
        wait.unwrap_or_else(PoisonError::into_inner).0.ended
    }

    /// Returns a wait for an event since an index; `log` is shown if it does not come.
    pub fn expect<'a>(
        &'a self,
        matcher: Matcher,
        since_ns: u64,
        log: &'a dyn fmt::Display,
    ) -> Expectation<'a> {
        Expectation { stream: self, matcher, since_ns, log }
    }

    /// Returns the events since an index.
    #[must_use]
    pub fn since(&self, since_ns: u64) -> Vec<Arc<Event>> {
        self.lock().events.iter().filter(|event| event.at_ns >= since_ns).cloned().collect()
    }

    /// Passes every event since an index to `done`, in order, until that returns true; returns whether it did in time.
    pub fn until(&self, since_ns: u64, deadline: Duration, done: &mut dyn FnMut(&Event) -> bool) -> bool {
        let end = Instant::now() + deadline;
        let mut next = 0;
        loop {
            let state = self.lock();
            let rest = end.saturating_duration_since(Instant::now());
            let wait = self
                .changed
                .wait_timeout_while(state, rest, |state| state.events.len() == next && !state.ended);
            let (state, _) = wait.unwrap_or_else(PoisonError::into_inner);
            let fresh: Vec<Arc<Event>> = state.events.iter().skip(next).cloned().collect();
            drop(state);
            if fresh.is_empty() {
                return false;
            }
            next += fresh.len();
            if fresh.iter().filter(|event| event.at_ns >= since_ns).any(|event| done(event)) {
                return true;
            }
        }
    }

    /// Returns the number of events so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().events.len()
    }

    /// Whether there is no event so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns errors: lines that were no events, or out of sequence.
    #[must_use]
    pub fn broken(&self) -> Vec<String> {
        self.lock().broken.clone()
    }

    /// Returns how many skipped calls of its programs taskscope has reported.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.lock().skipped
    }

    /// Returns the first match at or after index `from`, or where to continue.
    fn find(state: &State, matcher: &Matcher, since_ns: u64, from: usize) -> Result<Arc<Event>, usize> {
        state
            .events
            .iter()
            .skip(from)
            .find(|event| event.at_ns >= since_ns && matcher.matches(event))
            .cloned()
            .ok_or(state.events.len())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A test that panics while it holds the lock has changed nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the number of skipped calls in a gap record.
fn skipped(line: &str) -> Option<u64> {
    let gap: serde_json::Value = serde_json::from_str(line).ok()?;
    let is_skip = gap["event"]["action"] == "gap" && gap["gap"]["place"] == "skipped";
    is_skip.then(|| gap["gap"]["lost"].as_u64())?
}

impl Expectation<'_> {
    /// Waits for the event; fails with the nearest miss if it does not come in time.
    #[track_caller]
    pub fn within(self, deadline: Duration) -> Arc<Event> {
        let begin = Instant::now();
        let mut end = begin + deadline;
        let mut state = self.stream.lock();
        let mut from = 0;
        loop {
            match Stream::find(&state, &self.matcher, self.since_ns, from) {
                Ok(event) => return event,
                Err(next) => from = next,
            }
            // A lost event is repaired within this time, if it can be repaired.
            if let Some(skipped_at) = state.skipped_at.filter(|at| *at >= begin) {
                end = end.min(skipped_at + REPAIRED_WITHIN);
            }
            let rest = end.saturating_duration_since(Instant::now());
            if rest.is_zero() || state.ended || !state.broken.is_empty() {
                break;
            }
            state = self.stream.changed.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
        let text = self.failure(&state, deadline);
        drop(state);
        panic!("{text}\ntaskscope said:\n{}", self.log);
    }

    /// Waits for the event with the usual deadline.
    #[track_caller]
    pub fn soon(self) -> Arc<Event> {
        self.within(setting::deadline())
    }

    fn failure(&self, state: &State, deadline: Duration) -> String {
        const SHOWN: usize = 20;
        let why = if !state.broken.is_empty() {
            format!("the stream is broken: {}", state.broken.join("\n"))
        } else if state.ended {
            "the stream has ended".to_owned()
        } else {
            format!("it did not come within {deadline:?}")
        };
        let since: Vec<&Event> =
            state.events.iter().filter(|event| event.at_ns >= self.since_ns).map(AsRef::as_ref).collect();
        let mut lines = vec![format!(
            "expected an event with{}\n{why}; {} events since, {} in all\n{}",
            self.matcher,
            since.len(),
            state.events.len(),
            self.matcher.nearest_miss(since.iter().copied())
        )];
        let mut ids: Vec<i64> = self.matcher.ids().collect();
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            let about: Vec<&&Event> = since.iter().filter(|event| event.concerns(id)).collect();
            lines.push(format!("events about {id} ({} of them, the last {SHOWN}):", about.len()));
            for event in about.iter().skip(about.len().saturating_sub(SHOWN)) {
                lines.push(format!("  {event}"));
            }
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event::tests::SAMPLE, matcher::event};

    const NO_LOG: &dyn fmt::Display = &"";

    fn line(sequence: u64, pid: u32) -> String {
        SAMPLE
            .replace("\"sequence\":17", &format!("\"sequence\":{sequence}"))
            .replace("4711", &pid.to_string())
            .replace('\n', "")
    }

    #[test]
    fn a_later_event_ends_the_wait() {
        let stream = Stream::default();
        stream.line(&line(1, 1));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| stream.expect(event("exited").pid(3), 0, NO_LOG).soon());
            stream.line(&line(2, 2));
            stream.line(&line(3, 3));
            assert_eq!(waiter.join().unwrap().pid, 3);
        });
    }

    #[test]
    #[should_panic(expected = "WRONG process.exit.code: expected 8, found 7")]
    fn a_miss_shows_the_nearest_event() {
        let stream = Stream::default();
        stream.line(&line(1, 4711));
        let matcher = event("exited").pid(4711).field("process.exit.code", 8);
        let _ = stream.expect(matcher, 0, NO_LOG).within(Duration::from_millis(1));
    }

    #[test]
    #[should_panic(expected = "the stream has ended")]
    fn the_end_of_the_stream_ends_the_wait_at_once() {
        let stream = Stream::default();
        stream.end();
        let _ = stream.expect(event("exited"), 0, NO_LOG).within(Duration::from_secs(3600));
    }

    #[test]
    #[should_panic(expected = "sequence 3 follows 1")]
    fn a_gap_in_the_sequence_breaks_the_stream() {
        let stream = Stream::default();
        stream.line(&line(1, 1));
        stream.line(&line(3, 1));
        let _ = stream.expect(event("forked"), 0, NO_LOG).within(Duration::from_secs(3600));
    }

    #[test]
    fn a_gap_breaks_the_stream_unless_the_kernel_skipped_a_program() {
        let stream = Stream::default();
        let gap =
            |place: &str| format!(r#"{{"event":{{"action":"gap"}},"gap":{{"place":"{place}","lost":3}}}}"#);
        stream.line(&gap("skipped"));
        assert_eq!((stream.skipped(), stream.broken().len()), (3, 0));
        stream.line(&gap("ring"));
        assert_eq!((stream.skipped(), stream.broken().len()), (3, 1));
    }

    #[test]
    fn earlier_events_do_not_match() {
        let stream = Stream::default();
        stream.line(&line(1, 1));
        assert_eq!(stream.since(1_500_000_000).len(), 1);
        assert_eq!(stream.since(1_500_000_001).len(), 0);
    }
}
