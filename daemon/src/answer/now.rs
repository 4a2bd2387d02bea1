//! What a process is doing at the time of the answer, task by task, by the scheduler's fields.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
};

use serde::{Deserialize, Serialize};

use super::{
    process::names,
    usage::{self, UsageFigures},
    verdict::Missing,
};
use crate::{
    lineage::{
        Life, LifeState, TaskKind,
        blocked::wchan,
        figures::{Doing, TaskFigures, policy_name},
        id::{GroupKey, TaskKey, TaskRef, Tgid},
        record::{Comm, TaskUsage},
    },
    verdict::duration,
};

/// The most tasks that are reported one by one; the others are summed.
const MOST: usize = 64;

/// The most tasks that are shown one by one in text.
const MOST_SHOWN: usize = 8;

/// A task and what it is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Does {
    /// Its tid.
    pub tid: u32,
    /// Its comm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The exact bytes, in hexadecimal, if they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_bytes: Option<String>,
    /// `io_worker` or `user_worker`, if the kernel made the thread for the process; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `running`, `ready`, `sleeping`, `uninterruptible`, `killable`, `stopped`, `traced`, `parked`, `idle`, `frozen`, `zombie`,
    /// `dead`; `runnable` if the first two cannot be distinguished.
    pub doing: String,
    /// The kernel function that it sleeps in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wchan: Option<String>,
    /// How long it has been in its present uninterruptible sleep, at least, ns, if a daemon has observed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asleep_at_least_ns: Option<u64>,
    /// The kernel functions on its stack, the innermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kernel_stack: Vec<String>,
    /// Scheduling policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Priority as /proc/PID/stat and top(1) show it: 0 to 39, below 0 real-time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// Nice value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nice: Option<i32>,
    /// Real-time priority, if the policy has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rt_priority: Option<u32>,
    /// The CPU that it runs on or ran on last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
    /// What it has used so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<UsageFigures>,
}

/// A thread group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// Its tasks, the leader first, then those that are not in interruptible sleep; at most 64.
    pub tasks: Vec<Does>,
    /// Numbers of tasks by what they are doing.
    pub doing: BTreeMap<String, u32>,
    /// What all its present tasks have used so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<UsageFigures>,
}

/// What was read of one group or of all groups.
#[derive(Debug, Default)]
pub struct AllFigures {
    /// Tasks by tgid, in the order of tids.
    groups: HashMap<Tgid, Vec<TaskFigures>>,
    stacks: HashMap<TaskKey, Vec<String>>,
    missing: Vec<Missing>,
    /// How long tasks have been seen in uninterruptible sleep, ns.
    ages: HashMap<TaskKey, u64>,
}

impl AllFigures {
    /// Creates the figures from what was read, or from the error.
    #[must_use]
    #[expect(clippy::type_complexity, reason = "two outcomes that are taken apart at once")]
    pub fn new(
        (figures, stacks): (Result<Vec<TaskFigures>, String>, Result<HashMap<TaskKey, Vec<String>>, String>),
    ) -> Self {
        let mut missing = Vec::new();
        let mut lack = |fact: &str, error: String| {
            missing
                .push(Missing { fact: fact.into(), needs: format!("the kernel's task iterator: {error}") });
        };
        let figures = figures.unwrap_or_else(|error| {
            lack("what its tasks are doing now, and what they have used so far", error);
            Vec::new()
        });
        let stacks = stacks.unwrap_or_else(|error| {
            lack("the kernel functions in which its tasks sleep", error);
            HashMap::new()
        });
        let mut groups: HashMap<Tgid, Vec<TaskFigures>> = HashMap::new();
        for figures in figures {
            groups.entry(figures.task.tgid).or_default().push(figures);
        }
        for group in groups.values_mut() {
            group.sort_unstable_by_key(|figures| figures.task.key);
        }
        Self { groups, stacks, missing, ages: HashMap::new() }
    }

    /// Adds how long a daemon has seen tasks in their present uninterruptible sleep, ns.
    #[must_use]
    pub fn with_ages(mut self, age: impl Fn(TaskKey) -> Option<u64>) -> Self {
        let asleep = self.groups.values().flatten().filter(|figures| figures.doing.is_blocked());
        self.ages = asleep.filter_map(|figures| Some((figures.task.key, age(figures.task.key)?))).collect();
        self
    }

    /// Returns what could not be read.
    #[must_use]
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// Returns the figures of one group; `None` if nothing was read of it, or if another process has its pid now.
    #[must_use]
    pub fn of(&self, key: GroupKey) -> Option<Now> {
        let group = self.groups.get(&key.tgid)?;
        let is_same = |figures: &TaskFigures| Some(figures.task.key.start) == key.start;
        let leader = group.iter().find(|figures| figures.task.is_leader());
        if leader.is_some_and(|leader| !is_same(leader)) {
            return None;
        }
        let mut all: Vec<&TaskFigures> = group.iter().collect();
        all.sort_by_key(|figures| {
            (!figures.task.is_leader(), figures.doing == Doing::Sleeping, figures.task.key)
        });
        let mut doing = BTreeMap::new();
        let mut sum: Option<TaskUsage> = None;
        for figures in &all {
            *doing.entry(figures.doing.name().to_owned()).or_insert(0) += 1;
            if let Some(usage) = &figures.usage {
                sum.get_or_insert_default().add(usage);
            }
        }
        let tasks = all.iter().take(MOST).map(|figures| self.does(figures)).collect();
        Some(Now { tasks, doing, usage: sum.map(|sum| UsageFigures::of(&sum, sum.split())) })
    }

    /// Returns the tasks in uninterruptible sleep, in the order of processes and tids.
    pub(super) fn blocked(&self) -> impl Iterator<Item = (&TaskFigures, Does)> {
        let asleep = self.groups.values().flatten().filter(|figures| figures.doing.is_blocked());
        asleep.map(|figures| (figures, self.does(figures)))
    }

    /// Returns what one task has used so far.
    pub(super) fn used(&self, task: TaskRef) -> Option<&TaskUsage> {
        let group = self.groups.get(&task.tgid)?;
        let place = group.binary_search_by_key(&task.key, |figures| figures.task.key).ok()?;
        group.get(place)?.usage.as_ref()
    }

    fn does(&self, of: &TaskFigures) -> Does {
        let kernel_stack = self.stacks.get(&of.task.key).cloned().unwrap_or_default();
        let (name, name_bytes) = names(of.name.as_ref().map(Comm::bytes));
        Does {
            tid: of.task.key.tid.0,
            name,
            name_bytes,
            kind: kind_in_words(TaskKind::of(of.flags, of.task.is_leader()).name())
                .map(|_| TaskKind::of(of.flags, of.task.is_leader()).name().into()),
            doing: of.doing.name().into(),
            wchan: wchan(&kernel_stack).map(Into::into),
            asleep_at_least_ns: self.ages.get(&of.task.key).copied(),
            kernel_stack,
            policy: of.policy.map(|policy| policy_name(policy).into()),
            priority: of.prio.map(|prio| prio.saturating_sub(100)),
            nice: of.nice,
            rt_priority: of.rt_priority.filter(|&priority| priority > 0),
            cpu: of.cpu,
            usage: of.usage.map(|usage| UsageFigures::of(&usage, usage.split())),
        }
    }
}

/// Returns the words for a thread that the kernel made for the process; `None` for other kinds.
#[must_use]
pub fn kind_in_words(kind: &str) -> Option<&'static str> {
    match kind {
        "io_worker" => Some("io_uring worker"),
        "user_worker" => Some("kernel worker of the process"),
        _ => None,
    }
}

impl Does {
    /// Whether it is in uninterruptible sleep.
    pub(super) fn is_blocked(&self) -> bool {
        matches!(self.doing.as_str(), "uninterruptible" | "killable")
    }

    /// Returns the kernel functions on its stack, the innermost first, without offsets; `None` if they are not known.
    #[must_use]
    pub fn stack_in_words(&self) -> Option<String> {
        let names: Vec<&str> = self.kernel_stack.iter().filter_map(|frame| frame.split('+').next()).collect();
        (!names.is_empty()).then(|| format!("kernel stack: {}", names.join(" < ")))
    }

    /// Returns a short description: `sleeping in do_epoll_wait, SCHED_OTHER, nice 0, last on CPU 1`.
    #[must_use]
    pub fn in_words(&self) -> String {
        let mut words = match self.kind.as_deref().and_then(kind_in_words) {
            Some(kind) => format!("{kind}, {}", self.doing),
            None => self.doing.clone(),
        };
        if let Some(wchan) = &self.wchan {
            let _ = write!(words, " in {wchan}");
        }
        if let Some(policy) = &self.policy {
            let _ = write!(words, ", {policy}");
        }
        match (self.rt_priority, self.nice) {
            (Some(priority), _) => {
                let _ = write!(words, " {priority}");
            }
            (None, Some(nice)) if nice != 0 => {
                let _ = write!(words, ", nice {nice}");
            }
            _ => {}
        }
        if let Some(cpu) = self.cpu {
            let last = if self.doing == "running" { "on" } else { "last on" };
            let _ = write!(words, ", {last} CPU {cpu}");
        }
        words
    }
}

impl Now {
    /// Returns lines of text.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        // The text comes from the answer, which can come from any program.
        let count = self.doing.values().fold(0, |sum: u32, count| sum.saturating_add(*count));
        match self.tasks.as_slice() {
            [only] => {
                lines.push(only.in_words());
                lines.extend(only.stack_in_words().filter(|_| only.is_blocked()));
            }
            tasks => {
                let by_state: Vec<_> =
                    self.doing.iter().map(|(doing, count)| format!("{count} {doing}")).collect();
                lines.push(format!("{count} tasks: {}", by_state.join(", ")));
                for task in tasks.iter().take(MOST_SHOWN) {
                    let name = task.name.as_deref().unwrap_or("?");
                    lines.push(format!("  {name}({}) {}", task.tid, task.in_words()));
                    let stack = task.stack_in_words().filter(|_| task.is_blocked());
                    lines.extend(stack.map(|stack| format!("    {stack}")));
                }
                let more = (count as usize).saturating_sub(MOST_SHOWN);
                if more > 0 {
                    lines.push(format!("  {more} more"));
                }
            }
        }
        // For a zombie, the story has its usage, ended threads included.
        let is_zombie = self.tasks.iter().all(|task| task.doing == "zombie");
        if let Some(usage) = self.usage.as_ref().filter(|_| !is_zombie) {
            lines.push(format!("used {}", usage::in_words(usage)));
        }
        lines
    }

    /// Returns the leader.
    #[must_use]
    pub fn leader(&self, pid: u32) -> Option<&Does> {
        self.tasks.first().filter(|task| task.tid == pid)
    }
}

/// Returns what could not be read of a life; nothing for a life that has ended.
pub(super) fn missing(figures: &AllFigures, life: &Life) -> Vec<Missing> {
    let is_over = matches!(life.state, LifeState::Dead | LifeState::Released);
    if is_over { Vec::new() } else { figures.missing().to_vec() }
}

/// Returns what the leader is doing, for a line of the tree. Adds the CPU time of all its tasks, unless another column shows it.
#[must_use]
pub fn short(now: &Now, pid: u32, with_usage: bool) -> String {
    let doing = match now.leader(pid) {
        Some(leader) if now.tasks.len() == 1 => leader.doing.clone(),
        _ => now.doing.iter().map(|(doing, count)| format!("{count} {doing}")).collect::<Vec<_>>().join(" "),
    };
    match now.usage.as_ref().filter(|_| with_usage) {
        Some(usage) => format!("{doing}, CPU {}", duration(usage.exec_runtime_ns)),
        None => doing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_iterator_could_not_read_is_named_with_the_reason() {
        let error = "opening it: Too many open files (os error 24)";
        let figures = AllFigures::new((Err(error.into()), Ok(HashMap::new())));
        let [missing] = figures.missing() else { panic!("{:?}", figures.missing()) };
        assert!(missing.fact.contains("doing now") && missing.needs.ends_with(error), "{missing:?}");
        assert!(AllFigures::new((Ok(Vec::new()), Ok(HashMap::new()))).missing().is_empty());
    }
}
