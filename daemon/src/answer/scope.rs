//! The lives of units and containers in answers: when each began and ended, its last process, and the first death that led to the end.

use std::{fmt::Write as _, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    HostFacts, LineageAt, Made, MergeLocalFacts, death, death::Death, place::AnswerPlace,
    process::ProcessRef, stop::StopFilter,
};
use crate::{
    export::Stamp,
    lineage::{
        id::Ktime,
        scope::{Scope, ScopeEnd, ScopeMember},
    },
    verdict::duration,
};

/// The answer to `/v1/scopes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scopes {
    /// When.
    #[serde(flatten)]
    pub made: Made,
    /// Whether the kernel reports beginnings and ends: without the hook `cgroup_notify_populated` none is known.
    pub watched: bool,
    /// Scopes with tasks, and then those that have ended, the last first.
    pub scopes: Vec<ScopeStory>,
}

impl MergeLocalFacts for Scopes {}

/// A cgroup from its first task to its last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeStory {
    /// The cgroup, unit, container and pod.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub place: Option<AnswerPlace>,
    /// Name of the cgroup's directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it got its first task, by the wall clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began: Option<String>,
    /// The same time on `CLOCK_BOOTTIME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began_boottime_ns: Option<u64>,
    /// When the last task left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// The same time on `CLOCK_BOOTTIME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_boottime_ns: Option<u64>,
    /// The time from its beginning to its end, ns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ns: Option<u64>,
    /// How the last task left: `exited`, `moved`, `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// How often a cgroup of this name was seen to begin below the same parent cgroup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts: Option<u32>,
    /// How long it was empty before, ns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub empty_ns: Option<u64>,
    /// The process that created the cgroup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_by: Option<ProcessRef>,
    /// The first process in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<ProcessRef>,
    /// The process that left last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<ProcessRef>,
    /// The first death that led to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_death: Option<Death>,
    /// Whether the cgroup's directory is gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
    /// The scope's life in a sentence.
    pub summary: String,
}

/// Scopes from the lineage; places are added later.
pub struct ScopesDraft {
    scopes: Vec<Arc<Scope>>,
    filter: StopFilter,
    is_watched: bool,
    now: Ktime,
    observed_since: Option<Ktime>,
}

impl ScopesDraft {
    /// Selects what the query asks for.
    #[must_use]
    pub fn of(lineage_at: &LineageAt<'_>, filter: StopFilter) -> Self {
        let (scopes, is_watched) =
            (lineage_at.lineage.scopes().collect(), lineage_at.lineage.watches_scopes());
        Self { scopes, filter, is_watched, now: lineage_at.now, observed_since: lineage_at.observed_since }
    }

    /// Returns the cgroups whose places the answer needs.
    #[must_use]
    pub fn cgroups(&self) -> Vec<u64> {
        self.scopes.iter().flat_map(|scope| cgroups(scope)).collect()
    }

    /// Completes the answer.
    #[must_use]
    pub fn finish(self, host_facts: &mut HostFacts<'_>) -> Scopes {
        let scopes = self.scopes.iter().filter(|scope| is_reported(scope)).filter_map(|scope| {
            let place = (host_facts.places)(scope.cgroup_id);
            self.filter.wants(place.as_ref()).then(|| ScopeStory::of(scope, place, self.now, host_facts))
        });
        let scopes = scopes.take(self.filter.limit).collect();
        let made = Made::at(self.now, self.observed_since, host_facts.stamp);
        Scopes { made, watched: self.is_watched, scopes }
    }
}

/// Returns its cgroup, and those in its first death.
pub(super) fn cgroups(scope: &Scope) -> impl Iterator<Item = u64> + use<> {
    let of_death: Vec<_> = scope.first_death.iter().flat_map(|it| death::cgroups(it)).collect();
    std::iter::once(scope.cgroup_id).chain(of_death)
}

/// Whether there is anything to report. Of a cgroup that is older than taskscope and still has tasks, neither beginning nor end is known.
const fn is_reported(scope: &Scope) -> bool {
    scope.began.is_some() || scope.end.is_some()
}

/// Returns the scopes of the unit or container of a process: the present one first, then earlier ones.
pub(super) fn of_place(
    scopes: &[Arc<Scope>],
    cgroup_id: Option<u64>,
    place: Option<&AnswerPlace>,
    now: Ktime,
    host_facts: &mut HostFacts<'_>,
) -> Vec<ScopeStory> {
    const MOST: usize = 3;
    let mut found = Vec::new();
    for scope in scopes {
        let of_scope = (host_facts.places)(scope.cgroup_id);
        let is_same = |one: &AnswerPlace, other: &AnswerPlace| {
            let is_unit = one.cgroup.unit.is_some() || one.container.is_some();
            is_unit && one.cgroup.path == other.cgroup.path && one.container == other.container
        };
        let is_its = cgroup_id == Some(scope.cgroup_id)
            || place.zip(of_scope.as_ref()).is_some_and(|(one, other)| is_same(one, other));
        if is_its && is_reported(scope) && found.len() < MOST {
            found.push(ScopeStory::of(scope, of_scope, now, host_facts));
        }
    }
    found
}

impl ScopeStory {
    fn of(scope: &Scope, place: Option<AnswerPlace>, now: Ktime, host_facts: &mut HostFacts<'_>) -> Self {
        let stamp = host_facts.stamp;
        let mut story = Self {
            place,
            name: scope.name.as_ref().map(ToString::to_string),
            began: scope.began.map(|at| stamp.timestamp(at)),
            began_boottime_ns: scope.began.map(|at| at.0),
            ended: scope.ended.map(|at| stamp.timestamp(at)),
            ended_boottime_ns: scope.ended.map(|at| at.0),
            duration_ns: scope.duration_ns(),
            end: scope.end.map(|end| end.name().into()),
            starts: (scope.starts > 0).then_some(scope.starts),
            empty_ns: scope.empty_ns,
            made_by: scope.made.and_then(|(_, by)| member(by, stamp)),
            first: member(scope.first, stamp),
            last: member(scope.last, stamp),
            first_death: scope.first_death.as_deref().map(|death| Death::of(death, host_facts)),
            removed: scope.removed.is_some(),
            summary: String::new(),
        };
        story.summary = story.sentence(scope, now);
        story
    }

    fn sentence(&self, scope: &Scope, now: Ktime) -> String {
        let what = self
            .place
            .as_ref()
            .map(AnswerPlace::short)
            .filter(|what| what != "-")
            .or_else(|| self.name.clone());
        let mut text = what.unwrap_or_else(|| "a cgroup".into());
        match (&self.first, scope.began) {
            (Some(first), Some(_)) => {
                let _ = write!(text, " began with {first}");
            }
            (None, Some(_)) => text.push_str(" began"),
            (_, None) => text.push_str(" is older than taskscope"),
        }
        if let Some(empty) = self.empty_ns {
            let _ = write!(
                text,
                ", for the {} time, after it was empty for {}",
                ordinal(scope.starts),
                duration(empty)
            );
        }
        match (scope.ended, scope.end) {
            (Some(_), Some(end)) => {
                text.push_str(", and ended");
                if let Some(ns) = self.duration_ns {
                    let _ = write!(text, " after {}", duration(ns));
                }
                let last =
                    self.last.as_ref().map_or_else(|| "an unknown process".into(), ToString::to_string);
                let _ = match end {
                    ScopeEnd::Exited => write!(text, " with the end of {last}"),
                    ScopeEnd::Moved => write!(text, " when {last} was moved to another cgroup"),
                    ScopeEnd::Unknown => write!(text, "; which process left last was not seen"),
                };
            }
            (None, Some(_)) => text.push_str(", and is gone: its end was not seen"),
            _ => {
                if let Some(began) = scope.began {
                    let _ = write!(text, ", and lives for {}", duration(now.since(began)));
                }
            }
        }
        let death = self.first_death.as_ref().filter(|_| scope.end.is_some());
        let _ = match (death, scope.first_death.as_ref().map(|death| death.key), scope.last) {
            (Some(death), Some(key), Some(last)) if last.key == key => write!(text, ": {}", death.summary),
            (Some(death), ..) => write!(
                text,
                "; the first death that led to it is that of {}: {}",
                death.process, death.summary
            ),
            (None, ..) => Ok(()),
        };
        text
    }
}

fn member(member: Option<ScopeMember>, stamp: &Stamp) -> Option<ProcessRef> {
    member.map(|member| ProcessRef::by(member.key, member.name, stamp))
}

fn ordinal(number: u32) -> String {
    let suffix = match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{number}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::ordinal;

    #[test]
    fn ordinals_end_as_they_are_spoken() {
        let all = [1, 2, 3, 4, 11, 12, 13, 21, 102, 111].map(ordinal);
        assert_eq!(all, ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th"]);
    }
}
