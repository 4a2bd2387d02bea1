//! When each host is asked.
//!
//! A host is asked again after the interval, or after ten times the duration of the quicker of its last two polls (at most 30 s),
//! whichever is longer. It is never asked while a poll of it is in flight. At most `parallel` polls are in flight, without those that
//! take longer than a second, so that slow hosts do not delay the others.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

/// A poll that takes longer does not count towards `parallel`.
const SLOW: Duration = Duration::from_secs(1);

/// The most polls in flight, slow ones included, as a multiple of `parallel`.
const WITH_SLOW: usize = 4;

/// A host is asked again after this many times the duration of a poll.
const COST: u32 = 10;

/// The longest pause that the duration of a poll leads to.
const LONGEST: Duration = Duration::from_secs(30);

/// The interval is at least this long for each host, so that on average at most 100 polls start in a second.
const PER_HOST: Duration = Duration::from_millis(10);

/// Hosts that wait, and those that are being asked.
pub(super) struct Schedule {
    every: Duration,
    parallel: usize,
    waiting: BinaryHeap<Reverse<(Instant, usize)>>,
    /// Polls in flight that are not slow, with the time at which they began, the oldest first.
    quick: VecDeque<(Instant, usize)>,
    in_flight: usize,
    /// How long the last poll of each host took.
    took: Vec<Option<Duration>>,
}

impl Schedule {
    /// All hosts are due at once.
    pub(super) fn new(hosts: usize, every: Duration, parallel: usize, now: Instant) -> Self {
        let share = PER_HOST.saturating_mul(u32::try_from(hosts).unwrap_or(u32::MAX));
        Self {
            every: every.max(share),
            parallel: parallel.max(1),
            waiting: (0..hosts).map(|host| Reverse((now, host))).collect(),
            quick: VecDeque::new(),
            in_flight: 0,
            took: vec![None; hosts],
        }
    }

    /// The interval at which a host that answers quickly is asked.
    pub(super) const fn every(&self) -> Duration {
        self.every
    }

    /// Returns a host to ask now.
    pub(super) fn next(&mut self, now: Instant) -> Option<usize> {
        self.quick.retain(|(began, _)| now.saturating_duration_since(*began) < SLOW);
        if self.quick.len() >= self.parallel || self.in_flight >= self.parallel * WITH_SLOW {
            return None;
        }
        self.waiting.peek().filter(|Reverse((due, _))| *due <= now)?;
        let Reverse((_, host)) = self.waiting.pop()?;
        self.quick.push_back((now, host));
        self.in_flight += 1;
        Some(host)
    }

    /// Notes the end of a poll.
    pub(super) fn ended(&mut self, host: usize, took: Duration, now: Instant) {
        self.quick.retain(|(_, other)| *other != host);
        self.in_flight = self.in_flight.saturating_sub(1);
        // A single slow answer does not show what a poll costs.
        let before = self.took.get_mut(host).and_then(|before| before.replace(took));
        let cost = before.map_or(took, |before| before.min(took)).saturating_mul(COST).min(LONGEST);
        self.waiting.push(Reverse((now + self.every.max(cost), host)));
    }

    /// Returns when [`Self::next`] may have a host; `None` if it has none before a poll ends.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        if self.in_flight >= self.parallel * WITH_SLOW {
            return None;
        }
        let due = self.waiting.peek().map(|Reverse((due, _))| *due)?;
        let place = (self.quick.len() >= self.parallel).then(|| self.quick.front()).flatten();
        Some(place.map_or(due, |(began, _)| due.max(*began + SLOW)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const QUICK: Duration = Duration::from_millis(3);

    fn started(schedule: &mut Schedule, now: Instant) -> Vec<usize> {
        std::iter::from_fn(|| schedule.next(now)).collect()
    }

    #[test]
    fn a_host_is_asked_again_after_the_interval_and_never_twice_at_a_time() {
        let now = Instant::now();
        let mut schedule = Schedule::new(3, 2 * SECOND, 2, now);
        assert_eq!(started(&mut schedule, now), [0, 1]);
        schedule.ended(0, QUICK, now + QUICK);
        assert_eq!(started(&mut schedule, now + QUICK), [2]);
        schedule.ended(2, QUICK, now + 2 * QUICK);
        assert_eq!(schedule.wakes_at(), Some(now + QUICK + 2 * SECOND));
        assert_eq!(started(&mut schedule, now + SECOND), [0; 0]);
        // Host 1 does not answer.
        assert_eq!(started(&mut schedule, now + 3 * SECOND), [0, 2]);
        assert_eq!(started(&mut schedule, now + 60 * SECOND), [0; 0]);
    }

    #[test]
    fn slow_hosts_give_their_places_to_others() {
        let now = Instant::now();
        let mut schedule = Schedule::new(20, 2 * SECOND, 2, now);
        assert_eq!(started(&mut schedule, now), [0, 1]);
        assert_eq!(schedule.wakes_at(), Some(now + SECOND));
        assert_eq!(started(&mut schedule, now + SECOND), [2, 3]);
        assert_eq!(started(&mut schedule, now + 2 * SECOND), [4, 5]);
        assert_eq!(started(&mut schedule, now + 3 * SECOND), [6, 7]);
        assert_eq!(
            (started(&mut schedule, now + 9 * SECOND), schedule.wakes_at()),
            (vec![], None),
            "too many"
        );
        schedule.ended(0, 9 * SECOND, now + 9 * SECOND);
        assert_eq!(started(&mut schedule, now + 9 * SECOND), [8]);
    }

    #[test]
    fn a_poll_that_takes_long_is_repeated_less_often() {
        let now = Instant::now();
        let mut schedule = Schedule::new(1, 2 * SECOND, 2, now);
        let due = |schedule: &mut Schedule, took: Duration| {
            let at = schedule.wakes_at().unwrap();
            assert_eq!(started(schedule, at), [0]);
            schedule.ended(0, took, at);
            schedule.wakes_at().unwrap() - at
        };
        assert_eq!(due(&mut schedule, QUICK), 2 * SECOND);
        assert_eq!(due(&mut schedule, SECOND), 2 * SECOND, "a single one");
        assert_eq!(due(&mut schedule, SECOND), 10 * SECOND);
        assert_eq!(due(&mut schedule, 10 * SECOND), 10 * SECOND);
        assert_eq!(due(&mut schedule, 10 * SECOND), LONGEST);
        assert_eq!(due(&mut schedule, QUICK), 2 * SECOND);
        assert_eq!(Schedule::new(1000, SECOND, 32, now).every(), 10 * SECOND);
    }
}
