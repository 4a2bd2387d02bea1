//! The answers of many daemons as one: rows with the name of their host, and the hosts that did not answer.
//!
//! Answers are added one after the other, and only the rows that are shown are kept. So memory does not grow with the number of
//! hosts, except for one row per host in `status`.

mod deaths;
mod sample;
mod status;
mod zombies;

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

pub use self::{
    deaths::FleetDeaths,
    sample::{
        DeathsPart, FullestLimit, HostSample, LimitsPart, NewDeaths, NoAnswer, ZombieSums, ZombiesPart,
    },
    status::{FleetStatus, HostStatus},
    zombies::FleetZombies,
};
use super::explain::Explanation;

/// The most bytes of JSON that one row may have. The longest of a real answer has some tens of KiB.
const ROW_MAX: usize = 256 << 10;

/// The most entries of lists whose length no option sets.
const LIST_MAX: usize = 100;

/// A row with the host that it is from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OfHost<T> {
    /// The host as the list names it.
    #[serde(serialize_with = "as_text")]
    pub host: Arc<str>,
    /// The row as the host's own answer has it.
    #[serde(flatten)]
    pub row: T,
}

/// Why a host is missing in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// Its name has no address.
    Name,
    /// No process listens on the port.
    Refused,
    /// There is no route, or the connection failed otherwise.
    Unreachable,
    /// It did not answer in time.
    Timeout,
    /// TLS failed for a reason other than a certificate.
    Tls,
    /// One side does not accept the other's certificate.
    Certificate,
    /// 401: it requires a password, or the password is wrong.
    Unauthorized,
    /// 404 for the path: it does not serve the API on TCP.
    NoApi,
    /// 404: it has no such process.
    NotFound,
    /// Another HTTP status than 200.
    Status,
    /// It closed the connection before the end of its answer.
    Closed,
    /// The answer is longer than the limit.
    TooLarge,
    /// The answer is not one of a daemon of this version.
    Nonsense,
    /// This host has no descriptor, thread or memory left.
    Local,
}

impl ErrorKind {
    /// Returns its name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
            Self::Certificate => "certificate",
            Self::Unauthorized => "unauthorized",
            Self::NoApi => "no_api",
            Self::NotFound => "not_found",
            Self::Status => "status",
            Self::Closed => "closed",
            Self::TooLarge => "too_large",
            Self::Nonsense => "nonsense",
            Self::Local => "local",
        }
    }
}

/// A host that did not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostError {
    /// The host as the list names it.
    #[serde(serialize_with = "as_text")]
    pub host: Arc<str>,
    /// Why, for programs.
    pub kind: ErrorKind,
    /// Why, and what to do.
    pub message: String,
}

/// What many daemons answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fleet<T> {
    /// How many hosts were asked.
    pub hosts_asked: u64,
    /// How many of them answered.
    pub hosts_answered: u64,
    /// Their answers.
    #[serde(flatten)]
    pub answer: T,
    /// The others, in the order of the list.
    pub errors: Vec<HostError>,
}

/// The answer of `fleet explain`: that of one host.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FleetExplanation {
    /// `None` if the host did not answer.
    #[serde(flatten)]
    pub explanation: Option<Box<OfHost<Explanation>>>,
}

/// An answer of one daemon that cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("a row of its answer has {0} bytes; the limit is {ROW_MAX}")]
pub struct RowTooLong(usize);

/// An answer that is made of those of single hosts.
pub trait Merge {
    /// What one host answers.
    type Answer: DeserializeOwned + Send + 'static;

    /// Adds the answer of a host.
    fn add(&mut self, host: &Arc<str>, answer: Self::Answer) -> Result<(), RowTooLong>;

    /// Sorts the rows; called once, after the last answer.
    fn finish(&mut self) {}
}

impl Merge for FleetExplanation {
    type Answer = Explanation;

    fn add(&mut self, host: &Arc<str>, answer: Explanation) -> Result<(), RowTooLong> {
        self.explanation = Some(Box::new(OfHost { host: host.clone(), row: answer }));
        Ok(())
    }
}

fn as_text<S: serde::Serializer>(name: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name)
}

/// Counts the bytes that are written to it.
struct Counting(usize);

impl std::io::Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Refuses rows that no daemon makes, so that the rows that are kept have bounded memory.
fn check<T: Serialize>(rows: &[T]) -> Result<(), RowTooLong> {
    for row in rows {
        let mut counting = Counting(0);
        // A row that was read as JSON can be written as JSON, and counting does not fail.
        let _ = serde_json::to_writer(&mut counting, row);
        if counting.0 > ROW_MAX {
            return Err(RowTooLong(counting.0));
        }
    }
    Ok(())
}

/// Adds the rows of a host to a list, up to [`LIST_MAX`]. Returns how many were left off.
fn add_some<T>(list: &mut Vec<OfHost<T>>, host: &Arc<str>, rows: Vec<T>) -> u64 {
    let room = LIST_MAX.saturating_sub(list.len());
    let left_off = rows.len().saturating_sub(room) as u64;
    list.extend(rows.into_iter().take(room).map(|row| OfHost { host: host.clone(), row }));
    left_off
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{death::Deaths, zombies::Zombies};

    fn zombies(parents: &[(u32, u32, &str)]) -> Zombies {
        let parent = |(pid, zombies, code): &(u32, u32, &str)| {
            serde_json::json!({
                "process": {"pid": pid, "name": "app"},
                "children": {"forked": 9, "reaped": 1, "autoreaped": 0, "zombies": zombies},
                "zombie_at_least_ns": 7, "zombie_at_most_ns": 7,
                "verdict": {"code": code, "words": "w", "certainty": "certain", "summary": "s", "evidence": []},
                "oldest_zombies": [],
            })
        };
        let sum: u32 = parents.iter().map(|(_, zombies, _)| zombies).sum();
        let all: Vec<_> = parents.iter().map(parent).collect();
        serde_json::from_value(serde_json::json!({
            "@timestamp": "", "boottime_ns": 0, "zombies": sum, "just_died": 0, "parents": all,
            "dead_leaders": [], "stuck_exits": [],
        }))
        .unwrap()
    }

    #[test]
    fn the_name_of_a_kind_is_the_one_in_json() {
        for kind in [ErrorKind::NoApi, ErrorKind::TooLarge, ErrorKind::Name, ErrorKind::Refused] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }

    #[test]
    fn rows_of_all_hosts_have_the_order_of_one_and_what_is_left_off_is_counted() {
        let mut fleet = FleetZombies::new(3);
        fleet.add(&"a".into(), zombies(&[(1, 5, "never_waits"), (2, 1, "never_waits")])).unwrap();
        fleet.add(&"b".into(), zombies(&[(3, 9, "just_died"), (4, 7, "never_waits")])).unwrap();
        fleet.add(&"c".into(), zombies(&[])).unwrap();
        let rows: Vec<_> = fleet.parents.iter().map(|it| (&*it.host, it.row.process.pid)).collect();
        assert_eq!(rows, [("b", 4), ("a", 1), ("a", 2)], "those that died just now are last");
        assert_eq!((fleet.zombies, fleet.parents_left_off, fleet.hosts_with_zombies), (22, 1, 2));
    }

    #[test]
    fn a_row_that_no_daemon_makes_is_refused_and_nothing_of_the_answer_is_kept() {
        let mut answer = zombies(&[(1, 5, "never_waits")]);
        answer.parents[0].verdict.summary = "x".repeat(ROW_MAX + 1);
        let mut fleet = FleetZombies::new(3);
        let error = fleet.add(&"a".into(), answer).unwrap_err();
        assert!(
            error.to_string().contains("bytes") && fleet.parents.is_empty() && fleet.zombies == 0,
            "{error}"
        );
    }

    #[test]
    fn ends_are_sorted_by_the_wall_clocks_of_their_hosts() {
        let deaths = |times: &[&str]| -> Deaths {
            let death = |time: &&str| {
                serde_json::json!({"@timestamp": time, "boottime_ns": 1, "process": {"pid": 7}, "cause": "killed",
                    "certainty": "certain", "summary": "s"})
            };
            let all: Vec<_> = times.iter().map(death).collect();
            serde_json::from_value(serde_json::json!({"@timestamp": "", "boottime_ns": 0, "deaths": all}))
                .unwrap()
        };
        let mut fleet = FleetDeaths::new(3);
        fleet.add(&"a".into(), deaths(&["2026-11-20T10:00:00Z", "2026-11-20T08:00:00Z"])).unwrap();
        // Not a time, and later in another zone although the text is smaller.
        fleet.add(&"b".into(), deaths(&["x", "2026-11-20T09:30:00-01:00"])).unwrap();
        let rows: Vec<_> = fleet.deaths.iter().map(|it| (&*it.host, &*it.row.timestamp)).collect();
        assert_eq!(
            rows,
            [
                ("b", "2026-11-20T09:30:00-01:00"),
                ("a", "2026-11-20T10:00:00Z"),
                ("a", "2026-11-20T08:00:00Z")
            ]
        );
    }

    #[test]
    fn daemons_that_are_not_ready_are_first_and_other_versions_are_understood() {
        let status = |text: &str| serde_json::from_str::<HostStatus>(text).unwrap();
        let mut fleet = FleetStatus::default();
        let well =
            r#"{"version":"9.9","uptime_ns":1,"ready":true,"tasks":1,"processes":1,"zombies":0,"new":{}}"#;
        let ill = r#"{"version":"0.1","uptime_ns":1,"ready":false,"not_ready_because":"blind","tasks":1,"processes":1,
            "zombies":0,"drift":{"fork":2,"exit":3}}"#;
        fleet.add(&"a".into(), status(well)).unwrap();
        fleet.add(&"b".into(), status(ill)).unwrap();
        fleet.finish();
        assert_eq!((&*fleet.daemons[0].host, fleet.daemons[0].row.drifted), ("b", 5));
        let json = serde_json::to_value(&fleet).unwrap();
        assert_eq!(json["daemons"][0]["drift"], 5);
    }
}
