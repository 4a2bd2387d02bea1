//! Facts of a scenario: its actions and what the kernel returned.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::matcher::TICK_NS;

/// A task that plays a role in a scenario.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its role.
    pub name: String,
    /// Its thread group.
    pub pid: i64,
    /// The task.
    pub tid: i64,
    fact: Value,
}

/// A result of wait(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waited {
    /// The status from wait(2).
    pub status: i32,
    /// When the call began.
    pub before_ns: u64,
    /// When it returned.
    pub after_ns: u64,
}

/// Every fact of a scenario so far.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    lines: Vec<Value>,
}

impl Role {
    /// Parses a fact of the kind `role`.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        Self::from_fact(&serde_json::from_str(line).ok()?)
    }

    fn from_fact(fact: &Value) -> Option<Self> {
        Some(Self {
            name: fact["role"].as_str()?.to_owned(),
            pid: fact["pid"].as_i64()?,
            tid: fact["tid"].as_i64()?,
            fact: fact.clone(),
        })
    }

    /// Returns the start of the task in ticks of /proc; `None` if the task was released already.
    #[must_use]
    pub fn start_ticks(&self) -> Option<u64> {
        self.fact["start_ticks"].as_u64()
    }

    /// Whether a task with this tid that started at `start_ns` is the one that plays the role.
    #[must_use]
    pub fn is(&self, tid: i64, start_ns: Option<u64>) -> bool {
        self.tid == tid
            && match (self.start_ticks(), start_ns) {
                (Some(ticks), Some(ns)) => ns / TICK_NS == ticks,
                _ => true,
            }
    }

    /// Returns a number that /proc showed when the role was announced.
    #[must_use]
    pub fn number(&self, key: &str) -> i64 {
        self.fact[key].as_i64().unwrap_or_else(|| panic!("the role {} has no number `{key}`", self.name))
    }

    /// Returns a list of numbers that /proc showed when the role was announced.
    #[must_use]
    pub fn numbers(&self, key: &str) -> Vec<i64> {
        numbers(&self.fact[key])
    }

    /// Returns a string of the fact.
    #[must_use]
    pub fn text(&self, key: &str) -> &str {
        self.fact[key].as_str().unwrap_or_else(|| panic!("the role {} has no text `{key}`", self.name))
    }
}

impl Facts {
    /// Adds a line.
    pub fn push(&mut self, line: Value) {
        self.lines.push(line);
    }

    /// Returns the facts of one kind, in order.
    pub fn all<'a>(&'a self, kind: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
        let kind = kind.to_owned();
        self.lines.iter().filter(move |line| line["fact"] == kind)
    }

    /// Returns the only fact of a kind with this value at `key`.
    #[must_use]
    pub fn find(&self, kind: &str, key: &str, value: &str) -> &Value {
        let mut found = self.all(kind).filter(|line| line[key] == value);
        match (found.next(), found.next()) {
            (Some(line), None) => line,
            (None, _) => panic!("the scenario has no fact `{kind}` with {key} = {value}:\n{self}"),
            (Some(_), Some(_)) => {
                panic!("the scenario has several facts `{kind}` with {key} = {value}:\n{self}")
            }
        }
    }

    /// Returns the process that has a role.
    #[must_use]
    pub fn role(&self, name: &str) -> Role {
        Role::from_fact(self.find("role", "role", name))
            .unwrap_or_else(|| panic!("the role {name} has no pid and tid:\n{self}"))
    }

    /// Returns every role in the order of the announcements.
    #[must_use]
    pub fn roles(&self) -> Vec<Role> {
        self.all("role").filter_map(Role::from_fact).collect()
    }

    /// Returns the results of wait(2) with a status for a role, in order.
    #[must_use]
    pub fn waits(&self, role: &str) -> Vec<Waited> {
        self.all("waited")
            .filter(|line| line["role"] == role)
            .filter_map(|line| {
                Some(Waited {
                    status: i32::try_from(line["status"].as_i64()?).ok()?,
                    before_ns: line["before_ns"].as_u64()?,
                    after_ns: line["after_ns"].as_u64()?,
                })
            })
            .collect()
    }

    /// Returns the only result of wait(2) with a status for a role.
    #[must_use]
    pub fn waited(&self, role: &str) -> Waited {
        match self.waits(role).as_slice() {
            [waited] => *waited,
            waits => panic!("{} waits for {role} returned a status, not one:\n{self}", waits.len()),
        }
    }

    /// Returns what /proc showed about a role at a named moment.
    #[must_use]
    pub fn proc(&self, role: &str, when: &str) -> &Value {
        self.all("proc")
            .find(|line| line["role"] == role && line["when"] == when)
            .unwrap_or_else(|| panic!("the scenario has not read /proc of {role} at {when}:\n{self}"))
    }

    /// Returns the pids of the children that the scenario `usage` has waited for.
    #[must_use]
    pub fn reaped(&self) -> BTreeSet<i64> {
        self.all("rusages").flat_map(|fact| numbers(&fact["pids"])).collect()
    }
}

/// Converts a JSON list to numbers.
#[must_use]
pub fn numbers(value: &Value) -> Vec<i64> {
    value.as_array().map(|list| list.iter().filter_map(Value::as_i64).collect()).unwrap_or_default()
}

/// Converts a JSON list to pairs of numbers.
#[must_use]
pub fn pairs(value: &Value) -> Vec<(i64, i64)> {
    value
        .as_array()
        .map(|list| list.iter().filter_map(|pair| Some((pair[0].as_i64()?, pair[1].as_i64()?))).collect())
        .unwrap_or_default()
}

impl std::fmt::Display for Facts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in &self.lines {
            let text = line.to_string();
            writeln!(f, "  {}", text.get(..400).unwrap_or(&text))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Facts {
        let mut facts = Facts::default();
        for line in [
            r#"{"fact":"role","role":"child","pid":7,"tid":7,"start_ticks":123,"ppid":6}"#,
            r#"{"fact":"waited","role":"child","errno":10,"before_ns":1,"after_ns":2}"#,
            r#"{"fact":"waited","role":"child","pid":7,"status":1792,"before_ns":3,"after_ns":4}"#,
        ] {
            facts.push(serde_json::from_str(line).unwrap());
        }
        facts
    }

    #[test]
    fn a_failed_wait_has_no_status() {
        assert_eq!(sample().waited("child"), Waited { status: 1792, before_ns: 3, after_ns: 4 });
    }

    #[test]
    fn a_reused_tid_with_another_start_is_another_task() {
        let child = sample().role("child");
        assert_eq!(child.number("ppid"), 6);
        assert!(child.is(7, Some(1_239_999_999)));
        assert!(!child.is(7, Some(1_240_000_000)));
        assert!(!child.is(8, Some(1_230_000_000)));
    }

    #[test]
    #[should_panic(expected = "has no fact `role`")]
    fn an_unknown_role_is_a_failure() {
        let _ = sample().role("parent");
    }
}
