//! Tasks in uninterruptible sleep now: for how long, where in the kernel, and what or which process they wait for.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{
    LineageAt, Made, MergeLocalFacts,
    explain::draft::vforked,
    kernel_stack::by_stack,
    now::{AllFigures, Does},
    place::AnswerPlace,
    process::ProcessRef,
    task::Ids,
};
use crate::{
    export::Stamp,
    lineage::{
        figures::TaskFigures,
        id::{GroupKey, Ktime, TaskKey},
    },
    verdict::facts::Named,
};

/// The most tasks that are listed, the longest sleeps first; the rest are counted.
const MOST: usize = 200;

/// The answer to `/v1/blocked`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockedTasks {
    /// When the answer was computed.
    #[serde(flatten)]
    pub made: Made,
    /// How many tasks there are.
    pub blocked: u64,
    /// The tasks with the longest sleeps.
    pub tasks: Vec<BlockedTask>,
    /// The number of tasks that are not listed.
    #[serde(default, skip_serializing_if = "crate::answer::is_zero")]
    pub tasks_left_off: u64,
    /// Why the answer is empty, if the kernel's task iterator cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_because: Option<String>,
}

/// A blocked task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockedTask {
    /// Its process.
    pub process: ProcessRef,
    /// The task, with its kernel stack.
    pub task: Does,
    /// How long it has been asleep, at least, ns.
    pub blocked_at_least_ns: u64,
    /// Whether a fatal signal ends the sleep (`TASK_KILLABLE`).
    pub killable: bool,
    /// What it waits for, as far as its kernel stack and its children show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// The process that it waits for, if it waits for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for_process: Option<ProcessRef>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Its cgroup, unit, container and pod.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub place: Option<AnswerPlace>,
}

/// A first poll of tasks in uninterruptible sleep. Only tasks that a second poll finds in the same sleep are blocked.
#[derive(Debug, Default)]
pub struct FirstPoll {
    sleeps: HashMap<TaskKey, (Ktime, u64)>,
}

impl FirstPoll {
    /// Creates the poll from what the iterator shows.
    #[must_use]
    pub fn of(figures: &[TaskFigures]) -> Self {
        let asleep = figures.iter().filter(|figures| figures.doing.is_blocked());
        Self { sleeps: asleep.map(|it| (it.task.key, (it.at, switches(it)))).collect() }
    }

    /// Whether no task was in uninterruptible sleep.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sleeps.is_empty()
    }

    /// Whether one of these tasks is still in the same sleep.
    #[must_use]
    pub fn finds_one_of(&self, asleep: &[TaskFigures]) -> bool {
        asleep.iter().any(|figures| self.asleep_ns(figures).is_some())
    }

    /// Returns how long a task has been in the sleep in which this poll found it; `None` if it was awake in between.
    fn asleep_ns(&self, now: &TaskFigures) -> Option<u64> {
        let &(at, before) = self.sleeps.get(&now.task.key)?;
        (switches(now) == before).then(|| now.at.since(at))
    }
}

fn switches(of: &TaskFigures) -> u64 {
    of.usage.map_or(0, |usage| usage.nvcsw + usage.nivcsw)
}

/// The filter of a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockedFilter {
    /// Only sleeps that are known to be at least this long, ns.
    pub min_age_ns: u64,
}

impl BlockedTasks {
    /// Returns an answer without tasks, because the iterator could not be read.
    #[must_use]
    pub fn unknown(lineage_at: &LineageAt<'_>, stamp: &Stamp, why: String) -> Self {
        let made = Made::at(lineage_at.now, lineage_at.observed_since, stamp);
        Self { made, blocked: 0, tasks: Vec::new(), tasks_left_off: 0, unknown_because: Some(why) }
    }

    /// Returns the tasks that both polls found in the same sleep. `age` returns how long a daemon has seen the sleep, ns.
    #[must_use]
    pub fn of(
        before: &FirstPoll,
        figures: &AllFigures,
        filter: BlockedFilter,
        age: &dyn Fn(TaskKey) -> Option<u64>,
        lineage_at: &LineageAt<'_>,
        stamp: &Stamp,
        places: &mut dyn FnMut(u64) -> Option<AnswerPlace>,
    ) -> Self {
        let mut found: Vec<(u64, &TaskFigures, Does)> = Vec::new();
        for (figures, does) in figures.blocked() {
            let Some(seen) = before.asleep_ns(figures) else { continue };
            let ns = age(figures.task.key).map_or(seen, |age| age.max(seen));
            if ns >= filter.min_age_ns {
                found.push((ns, figures, does));
            }
        }
        found.sort_by_key(|&(ns, figures, _)| (std::cmp::Reverse(ns), figures.task.key));
        let blocked = found.len() as u64;
        let tasks_left_off = found.len().saturating_sub(MOST) as u64;
        found.truncate(MOST);
        let tasks =
            found.into_iter().map(|(ns, figures, does)| one(ns, figures, does, lineage_at, stamp, places));
        Self {
            made: Made::at(lineage_at.now, lineage_at.observed_since, stamp),
            blocked,
            tasks: tasks.collect(),
            tasks_left_off,
            unknown_because: None,
        }
    }
}

fn one(
    ns: u64,
    figures: &TaskFigures,
    does: Does,
    lineage_at: &LineageAt<'_>,
    stamp: &Stamp,
    places: &mut dyn FnMut(u64) -> Option<AnswerPlace>,
) -> BlockedTask {
    let group = lineage_at.lineage.group(figures.task.tgid);
    let key = group.map_or(GroupKey { tgid: figures.task.tgid, start: None }, |group| group.key());
    let name = group.and_then(|group| group.name());
    let holder = group.and_then(|group| vforked(group, lineage_at));
    // `wait_for_vfork_done()` is the only sleep in `kernel_clone()`, `_do_fork()` before Linux 5.10.
    let is_in_clone = matches!(does.wchan.as_deref(), Some("kernel_clone" | "_do_fork"));
    let child = holder.filter(|_| is_in_clone).map(|holder| holder.child);
    let (waits_for, waits_for_process, remedy) = match child {
        Some(child) => by_child(&child, stamp),
        None => match by_stack(&does.kernel_stack) {
            Some((words, remedy)) => (Some(words.into()), None, Some(remedy.into())),
            None => (None, None, None),
        },
    };
    BlockedTask {
        process: ProcessRef::by(key, name, stamp),
        blocked_at_least_ns: ns,
        killable: does.doing == "killable",
        waits_for,
        waits_for_process,
        remedy,
        place: group.and_then(|group| group.cgroup_id()).and_then(places),
        task: does,
    }
}

type Why = (Option<String>, Option<ProcessRef>, Option<String>);

fn by_child(child: &Named, stamp: &Stamp) -> Why {
    let words = format!("the exec or the end of its vfork child {child}");
    let remedy = format!("find out what the child does: taskscope explain {}", child.key.tgid);
    (Some(words), Some(ProcessRef::of(child, stamp)), Some(remedy))
}

impl BlockedTask {
    /// Returns the name of the task for people.
    #[must_use]
    pub fn who(&self) -> String {
        let Ids { pid, tid } = Ids { pid: self.process.pid, tid: self.task.tid };
        if pid == tid { self.process.to_string() } else { format!("{}, thread {tid}", self.process) }
    }
}

impl MergeLocalFacts for BlockedTasks {}
