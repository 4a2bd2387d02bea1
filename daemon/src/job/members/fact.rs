//! The input of the report: events of a job's processes, as docs/events.md describes them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::job::{cost::Cost, members::Incomplete};
use crate::{answer::usage::AnswerUsage, lineage::GroupUsage};

/// An event of a process of the job, or a loss.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// When it happened, ns of `CLOCK_BOOTTIME`; 0 for a loss.
    pub at_ns: u64,
    /// The process.
    pub pid: u32,
    /// When it was created, ns of `CLOCK_BOOTTIME`; 0 if not known. With the pid it is the identity.
    pub start_ns: u64,
    /// The process's parent.
    pub parent: Option<u32>,
    /// Its comm.
    pub name: Option<Arc<str>>,
    /// The path of its program.
    pub program: Option<Arc<str>>,
    /// What happened.
    pub what: What,
}

/// What happened to a process.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// It was created.
    Forked {
        /// The process whose thread called clone(2), if that is not the parent.
        creator: Option<u32>,
        /// Whether a record showed the fork. If not, the process was found later, and may have had another parent before.
        seen: bool,
    },
    /// One of its threads was created.
    ThreadMade,
    /// It runs another program.
    Execed {
        /// The arguments, if they are recorded.
        arguments: Option<Vec<String>>,
        /// Whether the process held its parent in vfork(2) until now.
        held_parent: bool,
    },
    /// A task of the process died that had held the parent in vfork(2) until now.
    LetParentGo,
    /// Its last task died.
    Ended {
        /// The wait(2) status.
        status: Option<i32>,
        /// The code of the cause of death; docs/deaths.md.
        cause: Option<String>,
        /// What its tasks used.
        usage: Option<JobUsage>,
    },
    /// It has another parent.
    Reparented {
        /// The kind of the new parent.
        kind: String,
    },
    /// A wait(2) reaped it.
    Reaped {
        /// The process that did.
        by: Option<u32>,
        /// How long it was a zombie.
        zombie_ns: Option<u64>,
        /// Whether the event came an RCU grace period after the wait(2), as on the tracepoint rung.
        is_late: bool,
    },
    /// No wait(2) was needed.
    Autoreaped,
    /// Its pid is free.
    Released {
        /// What its tasks used.
        usage: Option<JobUsage>,
    },
    /// It slept uninterruptibly before this event.
    Slept {
        /// How long, ns.
        ns: u64,
    },
    /// Events are missing.
    Lost {
        /// How many, if known.
        count: Option<u64>,
        /// Where: docs/events.md.
        place: String,
    },
}

/// Why a line could not be parsed.
#[derive(Debug, thiserror::Error)]
#[error("a line of the event stream cannot be read: {0}")]
pub struct LineError(#[from] serde_json::Error);

#[derive(Debug, Deserialize)]
struct JobLine {
    event: JobHead,
    #[serde(default)]
    boottime_ns: u64,
    process: Option<JobProcess>,
    thread: Option<JobThread>,
    #[serde(default)]
    task: JobTask,
    gap: Option<JobGap>,
}

#[derive(Debug, Deserialize)]
struct JobHead {
    action: String,
}

#[derive(Debug, Deserialize)]
struct JobProcess {
    pid: u32,
    entity_id: Option<String>,
    parent_pid: Option<u32>,
    name: Option<String>,
    executable: Option<JobExecutable>,
    command_args: Option<Vec<String>>,
    exit: Option<JobExit>,
}

#[derive(Debug, Deserialize)]
struct JobExecutable {
    path: String,
}

#[derive(Debug, Deserialize)]
struct JobExit {
    status: i32,
}

#[derive(Debug, Deserialize)]
struct JobThread {
    id: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct JobTask {
    kind: Option<String>,
    provenance: Option<String>,
    hook: Option<String>,
    creator: Option<Pid>,
    vfork_held_ns: Option<u64>,
    death: Option<JobDeath>,
    usage: Option<JobUsage>,
    reparent_kind: Option<String>,
    reaper: Option<Pid>,
    zombie_duration_ns: Option<u64>,
    zombie_duration_bound: Option<String>,
    blocked_ns: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Pid {
    pid: u32,
}

#[derive(Debug, Deserialize)]
struct JobDeath {
    cause: String,
}

#[derive(Debug, Deserialize)]
struct JobGap {
    place: String,
    lost: Option<u64>,
}

/// `task.usage`: nothing but counts if none of the tasks' figures are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobUsage {
    #[serde(flatten)]
    cost: Cost,
    tasks: u32,
    tasks_pending: u32,
    tasks_unknown: u32,
}

impl JobUsage {
    /// Returns the cost; `None` if nothing is known.
    #[must_use]
    pub const fn cost(self) -> Option<Cost> {
        if self.tasks == 0 {
            return None;
        }
        Some(Cost { at_least: self.cost.at_least || !self.is_complete(), ..self.cost })
    }

    /// Whether the records of all its tasks had arrived. If not, a later question can find more: the last switch of a task can come
    /// after its release, and on the kprobe and fentry rungs all records with its figures can.
    const fn is_complete(self) -> bool {
        self.tasks_pending == 0 && !self.lacks_tasks()
    }

    /// Whether no figures of some task had arrived.
    const fn lacks_tasks(self) -> bool {
        self.tasks_unknown > 0
    }

    /// Returns what the figures of an event at this time lack; `None` if they are complete.
    pub(super) fn incomplete_since(self, since_ns: u64) -> Option<Incomplete> {
        let lacks_tasks = self.lacks_tasks();
        (!self.is_complete()).then_some(Incomplete { since_ns, lacks_tasks })
    }

    /// Returns the usage of a group's ended tasks.
    #[must_use]
    pub fn of(account: &GroupUsage) -> Self {
        let GroupUsage { sum, tasks, pending, unknown } = account;
        let (user_ns, system_ns) = sum.split();
        let cost = Cost {
            cpu_ns: sum.exec_runtime_ns,
            user_ns,
            system_ns,
            run_delay_ns: sum.run_delay_ns,
            voluntary_switches: sum.nvcsw,
            involuntary_switches: sum.nivcsw,
            minor_faults: sum.min_flt,
            major_faults: sum.maj_flt,
            at_least: false,
        };
        Self { cost, tasks: *tasks, tasks_pending: *pending, tasks_unknown: *unknown }
    }

    /// Returns the usage in the record of a life.
    #[must_use]
    pub const fn of_life(usage: &AnswerUsage) -> Self {
        let figures = &usage.figures;
        let cost = Cost {
            cpu_ns: figures.exec_runtime_ns,
            user_ns: figures.user_ns,
            system_ns: figures.system_ns,
            run_delay_ns: figures.run_delay_ns,
            voluntary_switches: figures.voluntary_switches,
            involuntary_switches: figures.involuntary_switches,
            minor_faults: figures.minor_faults,
            major_faults: figures.major_faults,
            at_least: usage.at_least,
        };
        Self {
            cost,
            tasks: usage.tasks,
            tasks_pending: usage.tasks_pending,
            tasks_unknown: usage.tasks_unknown,
        }
    }
}

/// The hook that reports a release an RCU grace period later.
const LATE_HOOK: &str = "sched_process_free";

/// The actions that a report needs; the filter of a subtree needs all of them.
pub const ACTIONS: &str = "forked,execed,exited,group_exited,reparented,reaped,autoreaped,released,\
                           blocked_cleared";

impl Fact {
    /// Parses a line of the event stream; `None` if it has no fact about the job.
    pub fn of_line(line: &[u8]) -> Result<Option<Self>, LineError> {
        let line: JobLine = serde_json::from_slice(line)?;
        if let Some(JobGap { place, lost }) = line.gap {
            return Ok(Some(Self::lost(place, lost)));
        }
        let (Some(process), Some(thread)) = (line.process, line.thread) else { return Ok(None) };
        let is_leader = thread.id == process.pid;
        let is_thread = line.task.kind.as_deref().is_some_and(|kind| kind != "process");
        let task = line.task;
        let pid = |pid: Option<Pid>| pid.map(|pid| pid.pid);
        let what = match &*line.event.action {
            "forked" if is_thread || !is_leader => What::ThreadMade,
            "forked" => What::Forked {
                creator: pid(task.creator),
                seen: task.provenance.as_deref() == Some("observed"),
            },
            "execed" => {
                What::Execed { arguments: process.command_args, held_parent: task.vfork_held_ns.is_some() }
            }
            "exited" if task.vfork_held_ns.is_some() => What::LetParentGo,
            "group_exited" => What::Ended {
                status: process.exit.map(|exit| exit.status),
                cause: task.death.map(|death| death.cause),
                usage: task.usage,
            },
            "reparented" if is_leader => {
                What::Reparented { kind: task.reparent_kind.unwrap_or_else(|| "unknown".into()) }
            }
            "reaped" if is_leader => {
                // Also if something else, such as the end of the parent, shows that it has been reaped.
                let is_late = task.hook.as_deref() == Some(LATE_HOOK)
                    || task.zombie_duration_bound.as_deref() == Some("at_most");
                What::Reaped { by: pid(task.reaper), zombie_ns: task.zombie_duration_ns, is_late }
            }
            "autoreaped" if is_leader => What::Autoreaped,
            "released" if is_leader => What::Released { usage: task.usage },
            "blocked_cleared" => What::Slept { ns: task.blocked_ns.unwrap_or(0) },
            _ => return Ok(None),
        };
        Ok(Some(Self {
            at_ns: line.boottime_ns,
            pid: process.pid,
            start_ns: process.entity_id.as_deref().and_then(start_of).unwrap_or(0),
            parent: process.parent_pid,
            name: process.name.map(Into::into),
            program: process.executable.map(|executable| executable.path.into()),
            what,
        }))
    }

    /// Creates the fact that events are missing.
    #[must_use]
    pub fn lost(place: String, count: Option<u64>) -> Self {
        let what = What::Lost { count, place };
        Self { at_ns: 0, pid: 0, start_ns: 0, parent: None, name: None, program: None, what }
    }
}

/// Returns the start of an entity id, `BOOT-PID-START`.
#[must_use]
pub fn start_of(entity_id: &str) -> Option<u64> {
    entity_id.rsplit('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_stream_are_facts() {
        let line = br#"{"event":{"action":"forked","sequence":1},"boottime_ns":70,"process":{"pid":7,
            "entity_id":"abcd-7-70","parent_pid":3,"name":"sh"},"thread":{"id":7},
            "task":{"kind":"process","creator":{"pid":4,"tid":5},"provenance":"observed"}}"#;
        let fact = Fact::of_line(line).unwrap().unwrap();
        assert_eq!((fact.at_ns, fact.pid, fact.start_ns, fact.parent), (70, 7, 70, Some(3)));
        assert_eq!(fact.what, What::Forked { creator: Some(4), seen: true });
        let line = br#"{"event":{"action":"released"},"boottime_ns":90,"process":{"pid":7},"thread":{"id":7},
            "task":{"usage":{"exec_runtime_ns":50,"user_ns":30,"system_ns":20,"tasks":1,"tasks_pending":1}}}"#;
        let What::Released { usage: Some(usage) } = Fact::of_line(line).unwrap().unwrap().what else {
            panic!("not released")
        };
        let cost = usage.cost().unwrap();
        assert!(!usage.is_complete() && !usage.lacks_tasks());
        assert!(cost.at_least && cost.cpu_ns == 50 && cost.system_ns == 20, "{cost:?}");
    }

    #[test]
    fn a_gap_is_a_loss_and_other_lines_are_nothing() {
        let gap = br#"{"event":{"action":"gap"},"gap":{"place":"ring","lost":3}}"#;
        let fact = Fact::of_line(gap).unwrap().unwrap();
        assert_eq!(fact.what, What::Lost { count: Some(3), place: "ring".into() });
        let heartbeat = br#"{"event":{"action":"heartbeat","sequence":9}}"#;
        assert_eq!(Fact::of_line(heartbeat).unwrap(), None);
        assert!(Fact::of_line(b"{").is_err());
    }
}
