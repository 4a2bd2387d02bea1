//! The answer about stops of units and containers: which processes received a stop signal, and which were killed.

use std::{collections::HashMap, fmt::Write as _, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    HostFacts, LineageAt, Made, MergeLocalFacts, death::Sender, place::AnswerPlace, process::ProcessRef,
};
use crate::{
    export::{Stamp, matches as glob},
    lineage::{
        death::{Cause, Stop, StopMember, StopOutcome, StopRequest},
        flags::signal_name,
        id::{GroupKey, Ktime},
        record::Disposition,
    },
    verdict::duration,
};

/// The answer to `/v1/stops`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stops {
    /// When.
    #[serde(flatten)]
    pub made: Made,
    /// Stops in progress, then those that have ended, the latest first.
    pub stops: Vec<StopStory>,
}

impl MergeLocalFacts for Stops {}

/// From the first stop signal to the last exit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopStory {
    /// When the first stop signal came, by the wall clock.
    #[serde(rename = "@timestamp")]
    pub timestamp: String,
    /// The same time on `CLOCK_BOOTTIME`.
    pub boottime_ns: u64,
    /// The unit, container or pod that stopped.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub place: Option<AnswerPlace>,
    /// The name of that signal.
    pub signal_name: String,
    /// The sender.
    pub sender: Sender,
    /// `by_itself`, `killed`, or `unfinished` while a process lives.
    pub outcome: String,
    /// The time until the last process ended, ns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ns: Option<u64>,
    /// The time until the first SIGKILL, ns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kill_after_ns: Option<u64>,
    /// The stop as one sentence.
    pub summary: String,
    /// Its processes.
    pub processes: Vec<StoppedProcess>,
    /// Processes that are not listed.
    #[serde(default, skip_serializing_if = "crate::answer::is_zero")]
    pub more_processes: u64,
}

/// A process of a unit or container that stopped. Times count from the first stop signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoppedProcess {
    /// The process.
    pub process: ProcessRef,
    /// Its parent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<ProcessRef>,
    /// The first stop signal that was sent to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal_name: Option<String>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_after_ns: Option<u64>,
    /// Whether a process of the same cgroup sent it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub passed_on: bool,
    /// The process's disposition of the signal: `default`, `ignored`, `blocked`, `caught`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disposition: Option<String>,
    /// Whether the kernel dropped it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dropped: bool,
    /// When SIGKILL was sent to it, ns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kill_after_ns: Option<u64>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_after_ns: Option<u64>,
    /// Why it ended: a code of docs/deaths.md.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What happened to it, as one sentence.
    pub summary: String,
}

/// The filter of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StopFilter {
    /// systemd units; `*` and `?` match as in a shell.
    pub units: Vec<String>,
    /// Ids of containers, or prefixes of them.
    pub containers: Vec<String>,
    /// The most stops that are returned.
    pub limit: usize,
}

impl StopFilter {
    /// Creates a filter from a name on the command line: a unit with or without its suffix, or a prefix of a container's id.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let is_id = name.len() >= 6 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let containers = if is_id { vec![name.to_owned()] } else { Vec::new() };
        let units = if is_id { Vec::new() } else { vec![name.to_owned(), format!("{name}.service")] };
        Self { units, containers, limit: 3 }
    }

    pub(super) fn wants(&self, place: Option<&AnswerPlace>) -> bool {
        let is_unit = |unit: &str| self.units.iter().any(|it| glob(it.as_bytes(), unit.as_bytes()));
        let is_container = |id: &str| self.containers.iter().any(|it| id.starts_with(it.as_str()));
        let (units, containers) = (self.units.is_empty(), self.containers.is_empty());
        (units || place.and_then(|it| it.cgroup.unit.as_deref()).is_some_and(is_unit))
            && (containers
                || place.and_then(|it| it.container.as_ref()).is_some_and(|it| is_container(&it.id)))
    }
}

/// The part of the answer that comes from the lineage; places are added later.
pub struct StopsDraft {
    stops: Vec<Arc<Stop>>,
    filter: StopFilter,
    now: Ktime,
    observed_since: Option<Ktime>,
}

impl StopsDraft {
    /// Selects what the query asks for.
    #[must_use]
    pub fn of(lineage_at: &LineageAt<'_>, filter: StopFilter) -> Self {
        let stops = lineage_at.lineage.stops().collect();
        Self { stops, filter, now: lineage_at.now, observed_since: lineage_at.observed_since }
    }

    /// Returns the cgroups whose places the answer needs.
    #[must_use]
    pub fn cgroups(&self) -> Vec<u64> {
        self.stops.iter().flat_map(|stop| cgroups(stop)).collect()
    }

    /// Completes the answer.
    #[must_use]
    pub fn finish(self, host_facts: &mut HostFacts<'_>) -> Stops {
        let stops = self.stops.iter().filter_map(|stop| {
            let place = (host_facts.places)(stop.cgroup_id);
            self.filter.wants(place.as_ref()).then(|| StopStory::of(stop, place, self.now, host_facts))
        });
        let stops = stops.take(self.filter.limit).collect();
        Stops { made: Made::at(self.now, self.observed_since, host_facts.stamp), stops }
    }
}

/// Returns the cgroup that stopped, and the cgroup of the sender.
pub(super) fn cgroups(stop: &Stop) -> impl Iterator<Item = u64> + use<> {
    [Some(stop.cgroup_id), stop.sender.cgroup_id].into_iter().flatten()
}

/// Returns the stops of the cgroup, unit or container of a process, the last first.
pub(super) fn of_place(
    stops: &[Arc<Stop>],
    cgroup_id: Option<u64>,
    place: Option<&AnswerPlace>,
    now: Ktime,
    host_facts: &mut HostFacts<'_>,
) -> Vec<StopStory> {
    const MOST: usize = 3;
    let mut found = Vec::new();
    for stop in stops {
        let of_stop = (host_facts.places)(stop.cgroup_id);
        let is_same = |one: &AnswerPlace, other: &AnswerPlace| match (&one.container, &other.container) {
            (Some(one), Some(other)) => one.id == other.id,
            (None, None) => one.cgroup.unit.is_some() && one.cgroup.unit == other.cgroup.unit,
            _ => false,
        };
        let is_its = cgroup_id == Some(stop.cgroup_id)
            || place.zip(of_stop.as_ref()).is_some_and(|(one, other)| is_same(one, other));
        if is_its && found.len() < MOST {
            found.push(StopStory::of(stop, of_stop, now, host_facts));
        }
    }
    found
}

impl StopStory {
    /// Describes a stop.
    pub(super) fn of(
        stop: &Stop,
        place: Option<AnswerPlace>,
        now: Ktime,
        host_facts: &mut HostFacts<'_>,
    ) -> Self {
        let stamp = host_facts.stamp;
        let names: HashMap<GroupKey, &StopMember> =
            stop.members.iter().map(|member| (member.key, member)).collect();
        let processes: Vec<_> =
            stop.members.iter().map(|member| process(stop, member, &names, stamp)).collect();
        let mut story = Self {
            timestamp: stamp.timestamp(stop.began),
            boottime_ns: stop.began.0,
            place,
            signal_name: name(stop.signal),
            sender: Sender::new(&stop.sender, host_facts),
            outcome: stop.outcome().code().into(),
            duration_ns: stop.duration_ns(),
            kill_after_ns: stop.first_kill().map(|at| at.since(stop.began)),
            summary: String::new(),
            processes,
            more_processes: stop.more,
        };
        story.summary = story.sentence(stop, now);
        story
    }

    fn sentence(&self, stop: &Stop, now: Ktime) -> String {
        let what = self.place.as_ref().map_or_else(|| "a cgroup".into(), AnswerPlace::short);
        let what = if what == "-" { "the root cgroup".into() } else { what };
        let by = self.sender.process.as_ref().map_or_else(|| "an unknown task".into(), ToString::to_string);
        let count = stop.members.len() as u64 + stop.more;
        let mut text = format!("{what} was asked to stop with {} by {by}: ", self.signal_name);
        let many = if count == 1 { "its process".into() } else { format!("its {count} processes") };
        match (stop.outcome(), self.duration_ns) {
            (StopOutcome::Unfinished, _) | (_, None) => {
                let left =
                    stop.members.iter().filter(|member| member.ended.is_none()).count() as u64 + stop.more;
                let since = duration(now.since(stop.began));
                let _ = write!(
                    text,
                    "after {since} {left} of {many} {} left",
                    if left == 1 { "is" } else { "are" }
                );
            }
            (StopOutcome::ByItself, Some(ns)) => {
                let _ = write!(
                    text,
                    "{many} ended by {} within {}",
                    if count == 1 { "itself" } else { "themselves" },
                    duration(ns)
                );
            }
            (StopOutcome::Killed, Some(ns)) => {
                let kill = duration(self.kill_after_ns.unwrap_or_default());
                let _ = write!(
                    text,
                    "SIGKILL came after {kill}, and the last of {many} ended after {}",
                    duration(ns)
                );
            }
        }
        let unasked = self.processes.iter().filter(|it| it.signal_name.is_none()).count();
        if unasked > 0 {
            let _ = write!(
                text,
                "; {unasked} of them {} never sent a stop signal",
                if unasked == 1 { "was" } else { "were" }
            );
        }
        text
    }
}

fn name(signal: i32) -> String {
    signal_name(signal).map_or_else(|| format!("signal {signal}"), Into::into)
}

const fn disposition(disposition: Disposition) -> &'static str {
    match disposition {
        Disposition::Default => "default",
        Disposition::Ignored => "ignored",
        Disposition::Blocked => "blocked",
        Disposition::Caught => "caught",
    }
}

fn process(
    stop: &Stop,
    member: &StopMember,
    all: &HashMap<GroupKey, &StopMember>,
    stamp: &Stamp,
) -> StoppedProcess {
    let parent = member.parent.filter(|parent| parent.tgid.0 != 0);
    let of_unit = parent.and_then(|parent| all.get(&parent));
    let parent = parent.map(|parent| ProcessRef::by(parent, of_unit.and_then(|member| member.name), stamp));
    let after = |at: Option<Ktime>| at.map(|at| at.since(stop.began));
    StoppedProcess {
        process: ProcessRef::by(member.key, member.name, stamp),
        signal_name: member.asked.map(|asked| name(asked.signal)),
        asked_after_ns: after(member.asked.map(|asked| asked.at)),
        passed_on: member.asked.is_some_and(|asked| asked.is_passed_on),
        disposition: member.asked.and_then(|asked| asked.disposition).map(|it| disposition(it).into()),
        dropped: member.asked.is_some_and(|asked| asked.is_dropped),
        kill_after_ns: after(member.killed),
        ended_after_ns: after(member.ended),
        cause: member.cause.map(|cause| cause.code().into()),
        summary: sentence(stop, member, of_unit.copied(), parent.as_ref()),
        parent,
    }
}

fn sentence(
    stop: &Stop,
    member: &StopMember,
    parent: Option<&StopMember>,
    parent_ref: Option<&ProcessRef>,
) -> String {
    let mut text = match &member.asked {
        Some(asked) => request(asked),
        None => match (parent, parent_ref) {
            (Some(parent), Some(by)) if parent.asked.is_some() => {
                format!("was never sent a stop signal: its parent {by} received one and did not pass it on")
            }
            _ => "was never sent a stop signal".into(),
        },
    };
    if let Some(killed) = member.killed {
        let _ = write!(text, "; SIGKILL after {}", duration(killed.since(stop.began)));
    }
    match (member.ended, member.cause) {
        (Some(ended), cause) => {
            let cause = match cause {
                Some(Cause::Exited) => "exited",
                Some(cause) => cause.code(),
                None => "ended",
            };
            let _ = write!(text, "; {} after {}", cause.replace('_', " "), duration(ended.since(stop.began)));
        }
        (None, _) => text.push_str("; lives"),
    }
    text
}

/// Returns the stop signal and the process's disposition of it, as text.
fn request(asked: &StopRequest) -> String {
    let name = name(asked.signal);
    let what = match (asked.disposition, asked.is_dropped) {
        (Some(Disposition::Ignored), _) => ", which it ignores",
        (Some(Disposition::Default), true) => {
            ", which the kernel dropped: it is the init of its pid namespace and has no handler for it"
        }
        (_, true) => {
            ", which the kernel dropped: it ignores it, or is the init of a pid namespace without a handler"
        }
        (Some(Disposition::Blocked), _) => ", which it blocks",
        (Some(Disposition::Caught), _) => ", for which it has a handler",
        (Some(Disposition::Default) | None, false) => "",
    };
    let from = if asked.is_passed_on { " from a process of its cgroup" } else { "" };
    format!("received {name}{from}{what}")
}
