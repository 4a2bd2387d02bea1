//! Conditions on an event, and the nearest event if none meets them.

use std::fmt;

use serde_json::Value;

use crate::{event::Event, facts::Role};

/// The unit of start times in /proc, ns.
pub const TICK_NS: u64 = 10_000_000;

/// A condition on one value.
#[derive(Clone, Debug)]
enum Check {
    Is(Value),
    Absent,
    Present,
    Between(i64, i64),
    /// A list that holds the value.
    Holds(Value),
    /// A time in ns that falls into this tick.
    InTick(u64),
}

/// Conditions on one event, all of which must hold.
#[derive(Clone, Debug)]
#[must_use]
pub struct Matcher {
    conditions: Vec<(String, Check)>,
}

/// Returns the condition that an event has this `event.action`.
pub fn event(action: &str) -> Matcher {
    Matcher { conditions: Vec::new() }.field("event.action", action)
}

impl Matcher {
    /// Adds: the value at `path` equals `value`.
    pub fn field(self, path: &str, value: impl Into<Value>) -> Self {
        self.with(path, Check::Is(value.into()))
    }

    /// Adds: `path` is absent.
    pub fn absent(self, path: &str) -> Self {
        self.with(path, Check::Absent)
    }

    /// Adds: `path` is present.
    pub fn present(self, path: &str) -> Self {
        self.with(path, Check::Present)
    }

    /// Adds: the number at `path` lies between two others, both included.
    pub fn between(self, path: &str, low: impl TryInto<i64>, high: impl TryInto<i64>) -> Self {
        let low = low.try_into().unwrap_or(i64::MIN);
        let high = high.try_into().unwrap_or(i64::MAX);
        self.with(path, Check::Between(low, high))
    }

    /// Adds: the list at `path` contains `value`.
    pub fn holds(self, path: &str, value: impl Into<Value>) -> Self {
        self.with(path, Check::Holds(value.into()))
    }

    /// Adds: the event is about this thread group.
    pub fn pid(self, pid: i64) -> Self {
        self.field("process.pid", pid)
    }

    /// Adds: the event is about this task.
    pub fn tid(self, tid: i64) -> Self {
        self.field("thread.id", tid)
    }

    /// Adds: the event is about the task of a role, by pid, tid and, because these can be reused, its start in /proc.
    pub fn of(self, role: &Role) -> Self {
        let matcher = self.pid(role.pid).tid(role.tid);
        match role.start_ticks() {
            Some(ticks) => matcher.with("task.start_boottime_ns", Check::InTick(ticks)),
            None => matcher,
        }
    }

    fn with(mut self, path: &str, check: Check) -> Self {
        self.conditions.push((path.to_owned(), check));
        self
    }

    /// Whether all conditions hold.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        // Most events are about other tasks, which is known without parsing them.
        let quick = self.conditions.iter().all(|(path, check)| match path.as_str() {
            "event.action" => check.holds(Some(&event.action.as_str().into())),
            "process.pid" => check.holds(Some(&event.pid.into())),
            "thread.id" => check.holds(Some(&event.tid.into())),
            _ => true,
        });
        quick && self.conditions.iter().all(|(path, check)| check.holds(event.get(path)))
    }

    /// Returns how near the event comes: the number of conditions that hold, with a higher weight for process and action.
    fn nearness(&self, event: &Event) -> usize {
        let parsed = event.clone();
        let weight = |path: &str| match path {
            "process.pid" | "thread.id" => 20,
            "event.action" => 15,
            _ => 1,
        };
        self.conditions
            .iter()
            .filter(|(path, check)| check.holds(parsed.get(path)))
            .map(|(path, _)| weight(path))
            .sum()
    }

    /// Describes the event that comes nearest, field by field.
    pub fn nearest_miss<'a>(&self, events: impl Iterator<Item = &'a Event>) -> String {
        let Some(nearest) = events.max_by_key(|event| self.nearness(event)) else {
            return "no event at all was seen".to_owned();
        };
        let mut lines = vec![format!("nearest miss: event {} at {} ns", nearest.sequence, nearest.at_ns)];
        for (path, check) in &self.conditions {
            let found = nearest.get(path);
            let mark = if check.holds(found) { "ok   " } else { "WRONG" };
            let found = found.map_or_else(|| "absent".to_owned(), Value::to_string);
            lines.push(format!("  {mark} {path}: expected {check}, found {found}"));
        }
        lines.join("\n")
    }

    /// Returns the ids of tasks in the conditions.
    pub fn ids(&self) -> impl Iterator<Item = i64> + '_ {
        self.conditions.iter().filter_map(|(path, check)| match (path.as_str(), check) {
            ("process.pid" | "thread.id", Check::Is(value)) => value.as_i64(),
            _ => None,
        })
    }
}

impl Check {
    fn holds(&self, found: Option<&Value>) -> bool {
        let number = || found.and_then(Value::as_i64);
        match self {
            Self::Is(expected) => found == Some(expected),
            Self::Absent => found.is_none(),
            Self::Present => found.is_some(),
            Self::Between(low, high) => number().is_some_and(|n| (*low..=*high).contains(&n)),
            Self::Holds(value) => found.and_then(Value::as_array).is_some_and(|list| list.contains(value)),
            Self::InTick(tick) => found.and_then(Value::as_u64).is_some_and(|ns| ns / TICK_NS == *tick),
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(value) => write!(f, "{value}"),
            Self::Absent => write!(f, "absent"),
            Self::Present => write!(f, "anything"),
            Self::Between(low, high) => write!(f, "{low}..={high}"),
            Self::Holds(value) => write!(f, "a list with {value}"),
            Self::InTick(tick) => write!(f, "tick {tick} of 10 ms"),
        }
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (path, check) in &self.conditions {
            write!(f, "\n  {path} = {check}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::SAMPLE;

    fn sample() -> Event {
        Event::parse(SAMPLE).unwrap()
    }

    #[test]
    fn every_kind_of_condition_holds_and_fails() {
        let held = event("exited")
            .pid(4711)
            .tid(4711)
            .field("process.exit.code", 7)
            .field("process.name", "sh")
            .absent("process.exit.signal")
            .present("task.exit_state")
            .between("boottime_ns", 1_500_000_000_u64, 1_500_000_000_u64)
            .holds("task.clone_flags", "CLONE_CHILD_SETTID");
        assert!(held.matches(&sample()), "{}", held.nearest_miss([sample()].iter()));
        for wrong in [
            event("exiting"),
            event("exited").pid(4712),
            event("exited").field("process.exit.code", "7"),
            event("exited").absent("process.exit.code"),
            event("exited").present("process.exit.signal"),
            event("exited").between("boottime_ns", 0, 1_499_999_999),
            event("exited").holds("task.clone_flags", "CLONE_VM"),
        ] {
            assert!(!wrong.matches(&sample()), "{wrong}");
        }
    }

    #[test]
    fn the_nearest_miss_is_of_the_same_task_and_names_the_wrong_field() {
        let other = SAMPLE.replace("4711", "99").replace("1792", "256").replace("\"code\":7", "\"code\":1");
        let events = [Event::parse(&other).unwrap(), sample()];
        let text = event("exited").pid(4711).field("process.exit.code", 1).nearest_miss(events.iter());
        assert!(text.contains("WRONG process.exit.code: expected 1, found 7"), "{text}");
        assert!(text.contains("ok    process.pid: expected 4711, found 4711"), "{text}");
    }

    #[test]
    fn a_start_time_must_fall_into_the_tick_that_proc_shows() {
        let role = Role::parse(r#"{"role":"child","pid":4711,"tid":4711,"start_ticks":123}"#).unwrap();
        assert!(event("exited").of(&role).matches(&sample()));
        let role = Role::parse(r#"{"role":"child","pid":4711,"tid":4711,"start_ticks":124}"#).unwrap();
        assert!(!event("exited").of(&role).matches(&sample()));
    }
}
