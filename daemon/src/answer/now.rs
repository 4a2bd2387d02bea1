//! What a process is doing at the moment of the answer, task by task, as the scheduler has it.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
};

use serde::{Deserialize, Serialize};

use super::{process::names, usage};
use crate::{
    lineage::{
        blocked::wchan,
        figures::{Doing, Figures, policy_name},
        id::{GroupKey, TaskKey, TaskRef, Tgid},
        record::{self, Comm},
    },
    verdict::duration,
};

/// Tasks that are told one by one; of the others there are sums.
const MOST: usize = 64;

/// Tasks that are shown one by one in text.
const MOST_SHOWN: usize = 8;

/// One task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Does {
    /// Which.
    pub tid: u32,
    /// Its comm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The exact bytes, where they are no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_bytes: Option<String>,
    /// `running`, `ready`, `sleeping`, `uninterruptible`, `killable`, `stopped`, `traced`, `parked`, `idle`, `frozen`, `zombie`,
    /// `dead`; `runnable` where the first two cannot be told apart.
    pub doing: String,
    /// Function of the kernel that it sleeps in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wchan: Option<String>,
    /// All functions of the kernel that it is in, the innermost first.
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
    /// Real-time priority, where the policy has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rt_priority: Option<u32>,
    /// The CPU that it runs on or ran on last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
    /// What it has used so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<usage::Figures>,
}

/// A thread group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// Its tasks, the leader first, then those that are not merely asleep; at most 64.
    pub tasks: Vec<Does>,
    /// Tasks by what they are doing.
    pub doing: BTreeMap<String, u32>,
    /// What all tasks that it has have used so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<usage::Figures>,
}

/// What was read of one or of all groups.
#[derive(Debug, Default)]
pub struct Look {
    /// By tgid, each in the order of its tids.
    groups: HashMap<Tgid, Vec<Figures>>,
    stacks: HashMap<TaskKey, Vec<String>>,
}

impl Look {
    /// Of what was read of them.
    #[must_use]
    pub fn new((figures, stacks): (Vec<Figures>, HashMap<TaskKey, Vec<String>>)) -> Self {
        let mut groups: HashMap<Tgid, Vec<Figures>> = HashMap::new();
        for figures in figures {
            groups.entry(figures.task.tgid).or_default().push(figures);
        }
        for group in groups.values_mut() {
            group.sort_unstable_by_key(|figures| figures.task.key);
        }
        Self { groups, stacks }
    }

    /// Of one group; `None` where nothing was read of it, or its pid has another owner now.
    #[must_use]
    pub fn of(&self, key: GroupKey) -> Option<Now> {
        let group = self.groups.get(&key.tgid)?;
        let is_same = |figures: &Figures| Some(figures.task.key.start) == key.start;
        let leader = group.iter().find(|figures| figures.task.is_leader());
        if leader.is_some_and(|leader| !is_same(leader)) {
            return None;
        }
        let mut all: Vec<&Figures> = group.iter().collect();
        all.sort_by_key(|figures| {
            (!figures.task.is_leader(), figures.doing == Doing::Sleeping, figures.task.key)
        });
        let mut doing = BTreeMap::new();
        let mut sum: Option<record::Usage> = None;
        for figures in &all {
            *doing.entry(figures.doing.name().to_owned()).or_insert(0) += 1;
            if let Some(usage) = &figures.usage {
                sum.get_or_insert_default().add(usage);
            }
        }
        let tasks = all.iter().take(MOST).map(|figures| self.does(figures)).collect();
        Some(Now { tasks, doing, usage: sum.map(|sum| usage::Figures::of(&sum, sum.split())) })
    }

    /// What one task has used so far.
    pub(super) fn used(&self, task: TaskRef) -> Option<&record::Usage> {
        let group = self.groups.get(&task.tgid)?;
        let place = group.binary_search_by_key(&task.key, |figures| figures.task.key).ok()?;
        group[place].usage.as_ref()
    }

    fn does(&self, of: &Figures) -> Does {
        let kernel_stack = self.stacks.get(&of.task.key).cloned().unwrap_or_default();
        let (name, name_bytes) = names(of.name.as_ref().map(Comm::bytes));
        Does {
            tid: of.task.key.tid.0,
            name,
            name_bytes,
            doing: of.doing.name().into(),
            wchan: wchan(&kernel_stack).map(Into::into),
            kernel_stack,
            policy: of.policy.map(|policy| policy_name(policy).into()),
            priority: of.prio.map(|prio| prio - 100),
            nice: of.nice,
            rt_priority: of.rt_priority.filter(|&priority| priority > 0),
            cpu: of.cpu,
            usage: of.usage.map(|usage| usage::Figures::of(&usage, usage.split())),
        }
    }
}

impl Does {
    /// In a few words: `sleeping in do_epoll_wait, SCHED_OTHER, nice 0, last on CPU 1`.
    #[must_use]
    pub fn in_words(&self) -> String {
        let mut words = self.doing.clone();
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
    /// As lines of text.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let count: u32 = self.doing.values().sum();
        match self.tasks.as_slice() {
            [only] => lines.push(only.in_words()),
            tasks => {
                let by_state: Vec<_> =
                    self.doing.iter().map(|(doing, count)| format!("{count} {doing}")).collect();
                lines.push(format!("{count} tasks: {}", by_state.join(", ")));
                for task in tasks.iter().take(MOST_SHOWN) {
                    let name = task.name.as_deref().unwrap_or("?");
                    lines.push(format!("  {name}({}) {}", task.tid, task.in_words()));
                }
                if count as usize > MOST_SHOWN {
                    lines.push(format!("  {} more", count as usize - MOST_SHOWN));
                }
            }
        }
        // Of a zombie the story has it, with the threads that went before.
        let is_zombie = self.tasks.iter().all(|task| task.doing == "zombie");
        if let Some(usage) = self.usage.as_ref().filter(|_| !is_zombie) {
            lines.push(format!("used {}", usage::in_words(usage)));
        }
        lines
    }

    /// The leader's.
    #[must_use]
    pub fn leader(&self, pid: u32) -> Option<&Does> {
        self.tasks.first().filter(|task| task.tid == pid)
    }
}

/// What the leader is doing, for one line of a tree; with the CPU time of all its tasks, unless that is told elsewhere.
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
