//! The ends of processes of one host in the last minute, by cause.

use std::collections::VecDeque;

use crate::answer::fleet::NewDeaths;

/// How long an end counts, ns.
const WINDOW_NS: u64 = 60_000_000_000;

/// The length of the spans in which ends are counted together, ns.
const SPAN_NS: u64 = 1_000_000_000;

/// The most causes of one host. Real hosts have fewer; a hostile host could invent any number.
const CAUSES: usize = 64;

/// The ends of the last minute.
#[derive(Debug, Default)]
pub(super) struct RecentDeaths {
    /// The causes that this host has named.
    causes: Vec<String>,
    /// Numbers of ends by second and cause, in any order.
    spans: VecDeque<(u64, usize, u64)>,
    /// The time of the last answer, on the host's `CLOCK_BOOTTIME`, ns.
    now_ns: u64,
    /// The time until which the counts are incomplete, because an answer had no room for all ends, ns.
    more_until_ns: u64,
}

impl RecentDeaths {
    /// Adds the ends since the last answer.
    pub(super) fn add(&mut self, new: NewDeaths) {
        if new.boottime_ns.saturating_add(WINDOW_NS) < self.now_ns {
            // The host has rebooted. An answer that other viewers got too can be a little older than the last one.
            *self = Self::default();
        }
        self.now_ns = self.now_ns.max(new.boottime_ns);
        let begin = self.now_ns.saturating_sub(WINDOW_NS);
        let oldest = new.deaths.last().map_or(0, |(at, _)| *at);
        if new.has_more && oldest > begin {
            self.more_until_ns = oldest.saturating_add(WINDOW_NS);
        }
        for (at, cause) in new.deaths.into_iter().filter(|(at, _)| *at > begin) {
            let Some(cause) = self.cause(cause) else { continue };
            let second = at / SPAN_NS;
            match self.spans.iter_mut().find(|(other, named, _)| *other == second && *named == cause) {
                Some((_, _, count)) => *count += 1,
                None => self.spans.push_back((second, cause, 1)),
            }
        }
        self.spans.retain(|(second, _, _)| second.saturating_add(1).saturating_mul(SPAN_NS) > begin);
    }

    /// Returns the number of a cause.
    fn cause(&mut self, cause: String) -> Option<usize> {
        let known = self.causes.iter().position(|other| *other == cause);
        known.or_else(|| {
            (self.causes.len() < CAUSES).then(|| {
                self.causes.push(cause);
                self.causes.len() - 1
            })
        })
    }

    /// Returns how many processes ended by each cause, the most frequent cause first.
    pub(super) fn by_cause(&self) -> Vec<(&str, u64)> {
        let mut sums = vec![0_u64; self.causes.len()];
        for (_, cause, count) in &self.spans {
            if let Some(sum) = sums.get_mut(*cause) {
                *sum += count;
            }
        }
        let named = self.causes.iter().map(String::as_str).zip(sums);
        let mut named: Vec<(&str, u64)> = named.filter(|(_, sum)| *sum > 0).collect();
        named.sort_by_key(|(_, sum)| std::cmp::Reverse(*sum));
        named
    }

    /// Returns how many processes ended.
    pub(super) fn sum(&self) -> u64 {
        self.spans.iter().map(|(_, _, count)| count).sum()
    }

    /// Whether there were more than are counted.
    pub(super) const fn has_more(&self) -> bool {
        self.more_until_ns > self.now_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn new(now: u64, deaths: &[(u64, &str)], has_more: bool) -> NewDeaths {
        let deaths = deaths.iter().map(|(at, cause)| (at * SECOND, (*cause).to_owned())).collect();
        NewDeaths { boottime_ns: now * SECOND, deaths, has_more }
    }

    #[test]
    fn ends_count_for_a_minute_and_a_restart_of_the_host_forgets_them() {
        let mut recent = RecentDeaths::default();
        recent.add(new(100, &[(99, "oom"), (98, "killed"), (98, "killed"), (39, "fault")], false));
        assert_eq!(recent.by_cause(), [("killed", 2), ("oom", 1)], "an end of 61 s ago does not count");
        recent.add(new(130, &[(129, "killed")], false));
        assert_eq!((recent.sum(), recent.by_cause()[0]), (4, ("killed", 3)));
        recent.add(new(160, &[], false));
        assert_eq!(recent.by_cause(), [("killed", 1)]);
        recent.add(new(5, &[(4, "oom")], false));
        assert_eq!(recent.by_cause(), [("oom", 1)]);
    }

    #[test]
    fn an_answer_that_is_a_little_older_than_the_last_adds_to_it() {
        let mut recent = RecentDeaths::default();
        recent.add(new(100, &[(99, "oom")], false));
        recent.add(new(95, &[(94, "killed")], false));
        assert_eq!((recent.sum(), recent.now_ns), (2, 100 * SECOND));
    }

    #[test]
    fn an_answer_without_room_for_all_says_so_for_as_long_as_they_would_count() {
        let mut recent = RecentDeaths::default();
        recent.add(new(100, &[(99, "killed"), (80, "killed")], true));
        assert!(recent.has_more());
        recent.add(new(139, &[], false));
        assert!(recent.has_more(), "those before 80 s");
        recent.add(new(141, &[], false));
        assert!(!recent.has_more());
        recent.add(new(300, &[(299, "killed"), (200, "killed")], true));
        assert!(!recent.has_more(), "it has room for all of the last minute");
    }

    #[test]
    fn a_host_that_makes_up_causes_takes_little_memory() {
        let mut recent = RecentDeaths::default();
        for n in 0..1000 {
            recent.add(NewDeaths { boottime_ns: n, deaths: vec![(n, format!("c{n}"))], has_more: false });
        }
        assert_eq!((recent.causes.len(), recent.spans.len()), (CAUSES, CAUSES));
    }
}
