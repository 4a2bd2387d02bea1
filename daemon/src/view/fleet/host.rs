//! The last sample of a host, and what is wrong with it.

use std::sync::Arc;

use super::{FleetCounts, deaths::RecentDeaths};
use crate::{
    answer::fleet::{HostSample, HostStatus, NoAnswer},
    view::Mark,
};

/// A host needs attention if at least this much of a limit on pids is used, percent.
const PIDS_HIGH: u64 = 80;

/// Causes of deaths that need attention.
const ALARMING: [&str; 4] = ["oom", "fault", "seccomp", "cpu_limit"];

/// A host.
#[derive(Debug)]
pub(super) struct HostState {
    /// Its name in the list.
    pub(super) name: Arc<str>,
    answer: Answer,
    deaths: RecentDeaths,
}

#[derive(Debug)]
enum Answer {
    /// It was not asked yet.
    Waiting,
    Sample(Box<HostSample>),
    Failed(NoAnswer),
}

impl HostState {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self { name, answer: Answer::Waiting, deaths: RecentDeaths::default() }
    }

    pub(super) fn take(&mut self, answer: Result<HostSample, NoAnswer>) {
        self.answer = match answer {
            Ok(mut sample) => {
                if let Some(deaths) = sample.deaths.take() {
                    self.deaths.add(deaths);
                }
                Answer::Sample(Box::new(sample))
            }
            Err(failure) => {
                // What happened while it did not answer is not known.
                self.deaths = RecentDeaths::default();
                Answer::Failed(failure)
            }
        };
    }

    /// Takes only the deaths, while the view is paused.
    pub(super) fn take_deaths(&mut self, answer: Result<HostSample, NoAnswer>) {
        match answer {
            Ok(sample) => sample.deaths.into_iter().for_each(|deaths| self.deaths.add(deaths)),
            Err(_) => self.deaths = RecentDeaths::default(),
        }
    }

    /// Returns its last answer, if the last question was answered.
    pub(super) fn sample(&self) -> Option<&HostSample> {
        match &self.answer {
            Answer::Sample(sample) => Some(sample),
            Answer::Waiting | Answer::Failed(_) => None,
        }
    }

    /// Returns why the last question was not answered.
    pub(super) const fn failure(&self) -> Option<&NoAnswer> {
        match &self.answer {
            Answer::Failed(failure) => Some(failure),
            Answer::Waiting | Answer::Sample(_) => None,
        }
    }

    pub(super) const fn is_waiting(&self) -> bool {
        matches!(self.answer, Answer::Waiting)
    }

    pub(super) const fn deaths(&self) -> &RecentDeaths {
        &self.deaths
    }

    /// How urgent the host is.
    pub(super) fn mark(&self) -> Mark {
        let sample = match &self.answer {
            Answer::Waiting => return Mark::Faint,
            Answer::Failed(_) => return Mark::Bad,
            Answer::Sample(sample) => sample,
        };
        let status = &sample.status;
        let fullest = sample.fullest.as_ref();
        if !status.ready || status.zombies_old > 0 || fullest.is_some_and(|limit| limit.full) {
            return Mark::Bad;
        }
        let is_alarming = |(cause, _): &(&str, u64)| ALARMING.contains(cause);
        let is_odd = status.ready_but.is_some()
            || status.drifted > 0
            || sample.missing.is_some()
            || fullest.is_some_and(|limit| limit.percent() >= PIDS_HIGH)
            || self.deaths.by_cause().iter().any(is_alarming);
        if is_odd { Mark::Odd } else { Mark::None }
    }

    /// Returns its rank in the order `attention`: hosts that do not answer have the lowest rank and come first.
    pub(super) fn rank(&self) -> u8 {
        match (&self.answer, self.mark()) {
            (Answer::Failed(_), _) => 0,
            (Answer::Sample(sample), _) if !sample.status.ready => 1,
            (_, Mark::Bad) => 2,
            (_, Mark::Odd) => 3,
            (_, Mark::None) => 4,
            (_, Mark::Faint) => 5,
        }
    }

    /// Returns the state in words.
    pub(super) fn state(&self) -> String {
        match &self.answer {
            Answer::Waiting => "asking".into(),
            Answer::Failed(NoAnswer { kind, message }) => {
                let kind = kind.name();
                // Most messages begin with the kind.
                if message.to_lowercase().starts_with(kind) {
                    message.clone()
                } else {
                    format!("{}: {message}", kind.replace('_', " "))
                }
            }
            Answer::Sample(sample) => match (state(&sample.status), &sample.missing) {
                (state, None) => state,
                (state, Some(missing)) => format!("{state}; {missing}"),
            },
        }
    }

    /// Whether the name, the state, the version or a cause contains a text, ignoring case. The text must be in lower case.
    pub(super) fn contains(&self, filter: &str) -> bool {
        let has = |text: &str| text.to_lowercase().contains(filter);
        filter.is_empty()
            || has(&self.name)
            || has(&self.state())
            || self.sample().is_some_and(|sample| has(&sample.status.version))
            || self.deaths.by_cause().iter().any(|(cause, _)| has(cause))
    }

    /// Adds it to the counts, except the causes of deaths.
    pub(super) fn count(&self, counts: &mut FleetCounts) {
        counts.asked += usize::from(!self.is_waiting());
        match &self.answer {
            Answer::Waiting => {}
            Answer::Failed(failure) => {
                let kind = failure.kind.name();
                match counts.errors.iter_mut().find(|(other, _)| *other == kind) {
                    Some((_, number)) => *number += 1,
                    None => counts.errors.push((kind, 1)),
                }
            }
            Answer::Sample(sample) => {
                counts.answered += 1;
                counts.not_ready += usize::from(!sample.status.ready);
                let overdue = sample.zombies.map_or(0, |zombies| zombies.overdue);
                counts.zombies = counts.zombies.saturating_add(overdue);
                counts.with_zombies += usize::from(overdue > 0);
            }
        }
    }
}

fn state(status: &HostStatus) -> String {
    match (&status.not_ready_because, &status.ready_but) {
        (Some(why), _) => format!("NOT READY: {why}"),
        (None, _) if !status.ready => "NOT READY".into(),
        (None, Some(but)) => but.clone(),
        (None, None) => "ready".into(),
    }
}
