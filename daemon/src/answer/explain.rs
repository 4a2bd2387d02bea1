//! One life: its story, and what is the matter with it.

use serde::{Deserialize, Serialize};

pub use super::story::Step;
use super::{
    Draft, Made, NotFound, Outside, Scene, Sharpen, Whom,
    death::{self, Death},
    now::{Look, Now},
    place::Place,
    process::{Executable, Process, ProcessRef, text},
    story::{self, Cast},
    task::Task,
    verdict::Verdict,
};
use crate::{
    export::Stamp,
    lineage::id::GroupKey,
    verdict::{self, facts::Named},
};

/// The answer to `/v1/explain/{pid}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// When.
    #[serde(flatten)]
    pub made: Made,
    /// Who.
    pub process: Process,
    /// What the kernel knows of it besides.
    pub task: Task,
    /// Where it lives.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Its parent, if that lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<ProcessRef>,
    /// What its tasks are doing now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<Now>,
    /// Why it ended, if it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub death: Option<Death>,
    /// What happened so far.
    pub story: Vec<Step>,
    /// What is the matter.
    pub verdict: Verdict,
}

impl Sharpen for Explanation {
    fn is_blunt(&self) -> bool {
        self.verdict.is_blunt()
    }

    fn sharpen(&mut self, by: Self) {
        if by.process.entity_id == self.process.entity_id && by.task.state == self.task.state {
            self.verdict.sharpen(by.verdict);
            self.process.executable = self.process.executable.take().or(by.process.executable);
        }
    }
}

impl Draft {
    /// Cgroups whose places are wanted.
    #[must_use]
    pub fn cgroups(&self) -> Vec<u64> {
        let life = &self.subject.life;
        let of_death = life.death.iter().flat_map(|it| death::cgroups(it));
        life.cgroup_id.into_iter().chain(of_death).collect()
    }

    /// Takes what is asked for from the lineage.
    pub fn asked(whom: &Whom, scene: &Scene<'_>, stamp: &Stamp) -> Result<Self, NotFound> {
        let key = whom.find(scene, stamp)?;
        Self::of(key, scene).ok_or_else(|| match whom {
            Whom::Pid(pid) => NotFound::Pid(*pid),
            Whom::Entity(id) => NotFound::Entity(id.clone()),
        })
    }

    /// Takes over what its tasks are doing now.
    #[must_use]
    pub fn doing(mut self, look: &Look) -> Self {
        self.doing = look.of(self.subject.life.key);
        self
    }

    /// Whom it is about.
    #[must_use]
    pub const fn key(&self) -> GroupKey {
        self.subject.life.key
    }

    /// Completes an explanation from /proc.
    #[must_use]
    pub fn explain(self, outside: &mut Outside<'_>) -> Explanation {
        let stamp = outside.stamp;
        let life = self.subject.life.clone();
        let parent = match &self.parent {
            Some(parent) => Some(Named::from(parent)),
            None => life
                .parent
                .filter(|parent| parent.tgid.0 != 0)
                .map(|key| Named { key, name: life.parent_name.map(|name| name.bytes().to_vec()) }),
        };
        let (now, observed_since) = (self.now, self.observed_since);
        let doing = self.doing.clone();
        let (first_parent, creator) = (self.first_parent.clone(), self.creator.clone());
        let facts = self.finish(outside.procfs);
        let executable =
            facts.subject.known.process().and_then(|process| process.executable.as_deref()).map(text);
        let cast = Cast {
            parent: parent.clone(),
            first_parent: first_parent.as_ref(),
            creator: creator.as_ref(),
            now,
            observed_since,
            executable: executable.as_ref().map(|(path, _)| path.clone()),
        };
        let story = story::tell(&life, &cast, stamp);
        let verdict = verdict::judge(&facts);
        let mut process = Process::of(&life, stamp);
        if process.executable.is_none() {
            process.executable = executable.map(|(path, path_bytes)| Executable { path, path_bytes });
        }
        Explanation {
            made: Made::at(now, observed_since, stamp),
            process,
            task: Task::of(&life, now, stamp),
            place: life.cgroup_id.and_then(|id| (outside.places)(id)),
            parent: parent.map(|parent| ProcessRef::of(&parent, stamp)),
            now: doing,
            death: life.death.as_deref().map(|it| Death::of(it, outside)),
            story,
            verdict: Verdict::of(verdict, stamp),
        }
    }
}
