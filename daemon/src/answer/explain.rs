//! The answer of `explain`: the history of one process, and the verdict on it.

pub(super) mod draft;
pub(super) mod recall;
mod stopped_by;
mod story;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::{recall::judge_again, story::Cast};
pub use self::{stopped_by::StoppedBy, story::Step};
use super::{
    ExplainDraft, HostFacts, LineageAt, Made, MergeLocalFacts, NotFound, Related, TaskSelector,
    death::{self, Death},
    leaks::{self, AnswerLeak, LeaksDraft},
    limits::{self, Limit, Limits, LimitsDraft},
    now::{AllFigures, Now, missing},
    place::AnswerPlace,
    process::{Executable, Process, ProcessRef, text},
    scope::{self, ScopeStory},
    stop::{self, StopStory},
    task::TaskDetails,
    verdict::{AnswerVerdict, Missing},
};
use crate::{
    export::Stamp,
    lineage::{id::GroupKey, leak::Leak, record::ForkFailures},
    verdict::{self, Code, facts::Named},
};

/// The answer to `/v1/explain/{pid}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// When the answer was computed.
    #[serde(flatten)]
    pub made: Made,
    /// The process.
    pub process: Process,
    /// Further facts from the kernel.
    pub task: TaskDetails,
    /// Its cgroup, unit, container and pod.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub place: Option<AnswerPlace>,
    /// Its parent, if the parent lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<ProcessRef>,
    /// What its tasks are doing now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<Now>,
    /// Facts about its present state that could not be read; [`AnswerVerdict::missing`] has the facts that the verdict lacks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Missing>,
    /// Why it ended, if it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub death: Option<Death>,
    /// What happened so far.
    pub story: Vec<Step>,
    /// The verdict: what is wrong with it.
    pub verdict: AnswerVerdict,
    /// The lives that the verdict uses: its own, its parent's, and its oldest zombie child's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Related>,
    /// Limits on pids for its forks, the fullest first; empty for an ended process.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Limit>,
    /// Its forks that failed in the last minute; absent if there are none, or no hook shows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork_failures: Option<limits::FailedForks>,
    /// How its unit or container stopped or is stopping, the latest stop first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stops: Vec<StopStory>,
    /// When its unit or container began and ended: the present one first, then earlier ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<ScopeStory>,
    /// Leaks that it causes or takes part in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaks: Vec<AnswerLeak>,
}

impl MergeLocalFacts for Explanation {
    fn needs_local_facts(&self) -> bool {
        let has_program =
            matches!(self.task.state.as_str(), "running" | "exiting") && self.task.kind == "process";
        self.verdict.needs_local_facts() || has_program
    }

    fn merge_local_facts(&mut self, lineage_at: &LineageAt<'_>, host_facts: &mut HostFacts<'_>) {
        let Some(id) = self.process.entity_id.clone() else { return };
        let Ok(key) = TaskSelector::Entity(id).find(lineage_at, host_facts.stamp) else { return };
        let Some((verdict, facts)) =
            judge_again(key, &self.made, &self.related, self.now.as_ref(), lineage_at, host_facts)
        else {
            return;
        };
        let failures = self.fork_failures.as_ref().map(limits::FailedForks::recall);
        self.verdict = verdict;
        let limits = LimitsDraft::about(Some(key), lineage_at).with_failures(failures);
        self.limits = held_to(Some(limits.finish(host_facts)), &mut self.verdict);
        self.add_leaks();
        if let Some(path) = facts.subject.known.process().and_then(|process| process.executable.as_deref()) {
            let executable = Executable::of_proc(path);
            if self.process.executable.is_none() {
                let step =
                    Step { timestamp: None, boottime_ns: None, text: format!("runs {}", executable.path) };
                self.story.insert(self.story.len().min(1), step);
            }
            self.process.executable = Some(executable);
        }
    }
}

impl Explanation {
    fn add_leaks(&mut self) {
        let subject = ProcessRef {
            pid: self.process.pid,
            entity_id: self.process.entity_id.clone(),
            name: self.process.name.clone(),
            name_bytes: None,
        };
        leaks::add_to_verdict(&self.leaks, &subject, &mut self.verdict);
    }
}

impl ExplainDraft {
    /// Returns the cgroups whose places the answer needs.
    #[must_use]
    pub fn cgroups(&self) -> Vec<u64> {
        let life = &self.subject.life;
        let of_death = life.death.iter().flat_map(|it| death::cgroups(it));
        let of_limits = self.limits.iter().flat_map(LimitsDraft::cgroups);
        let of_stops = self.stops.iter().flat_map(|it| stop::cgroups(it));
        let of_leaks = self.leaks.iter().flat_map(LeaksDraft::cgroups);
        let of_scopes = self.scopes.iter().flat_map(|it| scope::cgroups(it));
        life.cgroup_id
            .into_iter()
            .chain(of_death)
            .chain(of_limits)
            .chain(of_stops)
            .chain(of_scopes)
            .chain(of_leaks)
            .collect()
    }

    /// Selects what the query asks for.
    pub fn asked(
        selector: &TaskSelector,
        lineage_at: &LineageAt<'_>,
        stamp: &Stamp,
    ) -> Result<Self, NotFound> {
        let key = selector.find(lineage_at, stamp)?;
        let mut draft = Self::of(key, lineage_at).ok_or_else(|| match selector {
            TaskSelector::Pid(pid) => NotFound::Pid(*pid),
            TaskSelector::Entity(id) => NotFound::Entity(id.clone()),
        })?;
        draft.limits = Some(LimitsDraft::about(Some(key), lineage_at));
        let death = draft.subject.life.death.clone();
        draft.relatives = death
            .and_then(|death| death::Relatives::of(&[death], lineage_at).into_iter().next())
            .unwrap_or_default();
        draft.stops = lineage_at.lineage.stops().collect();
        draft.scopes = lineage_at.lineage.scopes().collect();
        Ok(draft)
    }

    /// Adds what its tasks are doing now.
    #[must_use]
    pub fn doing(mut self, figures: &AllFigures) -> Self {
        self.doing = figures.of(self.subject.life.key);
        self.not_read = missing(figures, &self.subject.life);
        self
    }

    /// Adds when limits will be full.
    #[must_use]
    pub fn with_forecasts(mut self, forecasts: Vec<limits::Forecast>) -> Self {
        self.limits = self.limits.map(|limits| limits.with_forecasts(forecasts));
        self
    }

    /// Adds its forks that failed recently.
    #[must_use]
    pub fn with_fork_failures(mut self, failures: Option<ForkFailures>) -> Self {
        self.limits = self.limits.map(|limits| limits.with_failures(failures));
        self
    }

    /// Adds the leaks that it takes part in.
    #[must_use]
    pub fn with_leaks(mut self, leaks: Vec<Arc<Leak>>, lineage_at: &LineageAt<'_>) -> Self {
        let own: Vec<_> = leaks.into_iter().filter(|leak| leak.concerns(self.key())).collect();
        self.leaks = (!own.is_empty()).then(|| LeaksDraft::of(own, lineage_at));
        self
    }

    /// Returns the process that the explanation is about.
    #[must_use]
    pub const fn key(&self) -> GroupKey {
        self.subject.life.key
    }

    /// Completes an explanation from /proc.
    #[must_use]
    pub fn explain(self, host_facts: &mut HostFacts<'_>) -> Explanation {
        let stamp = host_facts.stamp;
        let life = self.subject.life.clone();
        let parent = match &self.parent {
            Some(parent) => Some(Named::from(parent)),
            None => life
                .parent
                .filter(|parent| parent.tgid.0 != 0)
                .map(|key| Named { key, name: life.parent_name.map(|name| name.bytes().to_vec()) }),
        };
        let (now, observed_since) = (self.now, self.observed_since);
        let (doing, missing) = (self.doing.clone(), self.not_read.clone());
        let limits = self.limits.clone();
        let (stops, scopes) = (self.stops.clone(), self.scopes.clone());
        let (relatives, signals) = (self.relatives.clone(), self.signals.clone());
        let leaks = self.leaks.clone();
        let (first_parent, creator) = (self.first_parent.clone(), self.creator.clone());
        let related = self.related(host_facts);
        let facts = self.finish(host_facts.procfs);
        let executable =
            facts.subject.known.process().and_then(|process| process.executable.as_deref()).map(text);
        let cast = Cast {
            parent: parent.clone(),
            signals: &signals,
            first_parent: first_parent.as_ref(),
            creator: creator.as_ref(),
            now,
            observed_since,
            executable: executable.as_ref().map(|(path, _)| path.clone()),
        };
        let story = story::steps(&life, &cast, stamp);
        let mut verdict = AnswerVerdict::of(verdict::judge(&facts), stamp);
        let fork_failures = limits.as_ref().and_then(LimitsDraft::failed_forks);
        let limits = limits.map(|limits| limits.finish(host_facts));
        let limits = held_to(limits, &mut verdict);
        let mut process = Process::of(&life, stamp);
        // What /proc shows now is newer than what the exec showed: the file can have been deleted or renamed since.
        if let Some(seen) = facts.subject.known.process().and_then(|process| process.executable.as_deref()) {
            process.executable = Some(Executable::of_proc(seen));
        }
        let place = life.cgroup_id.and_then(|id| (host_facts.places)(id));
        let stops = stop::of_place(&stops, life.cgroup_id, place.as_ref(), now, host_facts);
        let scopes = scope::of_place(&scopes, life.cgroup_id, place.as_ref(), now, host_facts);
        let leaks = leaks.map_or_else(Vec::new, |draft| draft.finish(host_facts).leaks);
        let mut explanation = Explanation {
            made: Made::at(now, observed_since, stamp),
            process,
            task: TaskDetails::of(&life, now, stamp),
            place,
            parent: parent.map(|parent| ProcessRef::of(&parent, stamp)),
            now: doing,
            missing,
            death: life.death.as_deref().map(|it| Death::with_relatives(it, &relatives, host_facts)),
            story,
            verdict,
            related,
            limits,
            fork_failures,
            stops,
            scopes,
            leaks,
        };
        explanation.add_leaks();
        explanation
    }
}

/// Returns the limits on pids that apply to a live process, and adds a full limit to its verdict.
fn held_to(limits: Option<Limits>, verdict: &mut AnswerVerdict) -> Vec<Limit> {
    let Some(limits) = limits else { return Vec::new() };
    let Some(subject) = &limits.process else { return Vec::new() };
    limits::add_evidence(&limits, subject, verdict);
    // If something else is wrong with the process, the verdict does not need the limits that could not be read.
    if verdict.code == Code::Alive.name() || limits.pid_max_is_left() {
        verdict.missing.extend(limits.missing.iter().cloned());
    }
    limits.limits
}
