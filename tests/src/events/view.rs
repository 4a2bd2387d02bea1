//! The events of one scenario in the stream of one observer.

use std::sync::Arc;

use crate::{
    event::Event,
    facts::{Facts, Role},
    life::Life,
    matcher::{Matcher, event},
    normal::{self, Family},
    observer::Log,
    setting, spawner,
    stream::{Expectation, Stream},
};

/// The events since a scenario began.
pub struct View<'a> {
    stream: &'a Stream,
    log: &'a Log,
    since_ns: u64,
    family: Family,
}

impl<'a> View<'a> {
    pub(crate) fn new(stream: &'a Stream, log: &'a Log, since_ns: u64, family: Family) -> Self {
        Self { stream, log, since_ns, family }
    }

    /// Returns a wait for an event.
    pub fn expect(&self, matcher: Matcher) -> Expectation<'_> {
        self.stream.expect(matcher, self.since_ns, self.log)
    }

    /// Waits for several events, in order.
    #[track_caller]
    pub fn expect_many(&self, matcher: &Matcher, count: usize) -> Vec<Arc<Event>> {
        let mut found: Vec<Arc<Event>> = Vec::new();
        for _ in 0..count {
            let after = found.last().map_or(0, |event| event.sequence + 1);
            let next = matcher.clone().between("event.sequence", after, i64::MAX);
            found.push(self.expect(next).soon());
        }
        found
    }

    /// Passes every event since the start to `done`, in order, until `done` returns true. Returns whether it did so before the
    /// usual deadline. Fails if it did not and the stream is broken.
    #[track_caller]
    pub fn until(&self, mut done: impl FnMut(&Event) -> bool) -> bool {
        let is_done = self.stream.until(self.since_ns, setting::deadline(), &mut done);
        let broken = self.stream.broken();
        assert!(is_done || broken.is_empty(), "the stream is broken: {}", broken.join("\n"));
        is_done
    }

    /// Returns the family of the observer's rungs.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// Returns every event so far.
    #[must_use]
    pub fn events(&self) -> Vec<Arc<Event>> {
        self.stream.since(self.since_ns)
    }

    /// Returns every event so far of the task of a role.
    #[must_use]
    pub fn of(&self, role: &Role) -> Vec<Arc<Event>> {
        let mut events = self.events();
        events.retain(|event| role.is(event.tid, event.start_ns()));
        events
    }

    /// Waits until all earlier records have been read: makes a process, whose events come after them, and waits for these.
    #[track_caller]
    pub fn fence(&self) {
        let pid = match spawner::blink() {
            Ok(pid) => i64::from(pid),
            Err(error) => panic!("making a fence process: {error}"),
        };
        self.expect(event("exited").pid(pid).tid(pid)).within(setting::deadline());
    }

    /// Checks that no such event has come, after all earlier records have been read.
    #[track_caller]
    pub fn never(&self, matcher: &Matcher) {
        self.fence();
        if let Some(event) = self.events().iter().find(|event| matcher.matches(event)) {
            panic!("expected no event with{matcher}\nfound {event}");
        }
    }

    /// Checks that the scenario's stream in normal form is `expected`, with the differences that the observer's rungs may have.
    /// First waits until as many events of each action have come as are expected.
    #[track_caller]
    pub fn is_normal(&self, facts: &Facts, expected: &[(&str, Life)]) {
        for (name, life) in expected {
            let role = facts.role(name);
            let lines = self.family.required(life);
            let mut actions: Vec<&str> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
            actions.sort_unstable();
            for same in actions.chunk_by(|a, b| a == b) {
                self.expect_many(&event(same[0]).of(&role), same.len());
            }
        }
        self.fence();
        normal::assert_equal(&self.events(), facts, expected, self.family);
    }
}
