//! Facts about a thread group besides its name. Names of fields are those of docs/events.md.

use serde::{Deserialize, Serialize};

use super::{
    now::{AllFigures, Now, missing},
    place::AnswerPlace,
    process::{Process, ProcessRef},
    usage::{AnswerUsage, ChildrenUsage},
    verdict::Missing,
};
use crate::{
    export::Stamp,
    lineage::{
        End, Life,
        effect::{Bound, Span},
        flags::{CLONE_FLAGS, TASK_FLAGS, signal_name},
        id::{Ktime, TaskKey, TaskRef, Tgid, Tid},
    },
};

/// A pid and a tid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ids {
    /// Thread group.
    pub pid: u32,
    /// Task.
    pub tid: u32,
}

impl Ids {
    /// Returns the task, with an unknown start.
    pub(super) const fn task(self) -> TaskRef {
        let Self { pid, tid } = self;
        TaskRef { key: TaskKey { tid: Tid(tid), start: Ktime(0) }, tgid: Tgid(pid) }
    }
}

impl From<TaskRef> for Ids {
    fn from(task: TaskRef) -> Self {
        Self { pid: task.tgid.0, tid: task.key.tid.0 }
    }
}

/// A thread that ended before its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedThread {
    /// Its pid and tid.
    #[serde(flatten)]
    pub thread: Ids,
    /// When it ended, ns of `CLOCK_BOOTTIME`.
    pub ended_boottime_ns: u64,
}

/// A pid namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PidNs {
    /// Inode number.
    pub inode: u32,
    /// Depth; 0 is the initial one.
    pub level: u32,
}

/// The process that reaped it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaper {
    /// The process.
    #[serde(flatten)]
    pub process: ProcessRef,
    /// The thread that called wait(2), if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tid: Option<u32>,
    /// Its relation to the reaped process.
    pub kind: String,
}

/// A parent's counts of its children.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Children {
    /// Children that it forked and that records showed.
    pub forked: u64,
    /// Children that its waits reaped.
    pub reaped: u64,
    /// Children that the kernel released without a wait.
    pub autoreaped: u64,
    /// Zombies that it has not reaped.
    pub zombies: u32,
    /// How long reaped children had been zombies, on average, ns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reap_latency_mean_ns: Option<u64>,
    /// At most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reap_latency_max_ns: Option<u64>,
}

impl Children {
    pub(super) fn of(life: &Life) -> Option<Self> {
        let debt = life.debt?;
        let timed = (debt.timed > 0).then_some(debt);
        Some(Self {
            forked: debt.forked,
            reaped: debt.reaped,
            autoreaped: debt.autoreaped,
            zombies: debt.zombies,
            reap_latency_mean_ns: timed.map(|debt| debt.latency_sum_ns / debt.timed),
            reap_latency_max_ns: timed.map(|debt| debt.latency_max_ns),
        })
    }
}

/// How long a process has been a zombie. Its beginning is not always seen, so there are two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZombieAge {
    /// At least, ns.
    pub zombie_at_least_ns: u64,
    /// At most, ns. Equal to the other bound if its beginning was seen.
    pub zombie_at_most_ns: u64,
}

impl ZombieAge {
    /// Returns the age of a zombie or of a former zombie; `end` is now, or when it was reaped.
    pub(super) fn of(life: &Life, end: Ktime) -> Option<Self> {
        let Span { ns, bound } = life.zombie?;
        let since_start = life.key.start.map_or(u64::MAX, |start| end.since(start));
        let (least, most) = match bound {
            Bound::Exact => (ns, ns),
            Bound::AtMost => (0, ns),
            Bound::AtLeast => (ns, since_start.max(ns)),
        };
        Some(Self { zombie_at_least_ns: least, zombie_at_most_ns: most })
    }
}

/// What a process did before its last exec, when it ran another program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeforeExec {
    /// Path of that program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executable: Option<String>,
    /// When it began to run that program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_boottime_ns: Option<u64>,
    /// Children forked by then.
    pub forked: u64,
    /// Children that its wait(2) calls had reaped by then.
    pub reaped: u64,
}

impl BeforeExec {
    fn of(before: &crate::lineage::BeforeExec) -> Self {
        Self {
            executable: before
                .executable
                .as_ref()
                .map(|path| String::from_utf8_lossy(path.bytes()).into_owned()),
            since_boottime_ns: before.since.map(|since| since.0),
            forked: before.forked,
            reaped: before.reaped,
        }
    }
}

/// Further facts from the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDetails {
    /// `running`, `exiting`, `dead_leader`, `zombie`, `dead`, `released`.
    pub state: String,
    /// When that state began, or was found.
    pub state_boottime_ns: u64,
    /// Its kind.
    pub kind: String,
    /// How its creation is known.
    pub provenance: String,
    /// Its start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_boottime_ns: Option<u64>,
    /// The signal that its parent gets when it dies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_signal: Option<i32>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_signal_name: Option<String>,
    /// How it was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation: Option<String>,
    /// Flags of clone(2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clone_flags: Option<Vec<String>>,
    /// The task that called clone(2), if it is not the first parent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creator: Option<Ids>,
    /// PF_ flags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<Vec<String>>,
    /// Cgroup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup_id: Option<u64>,
    /// Pid namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid_ns: Option<PidNs>,
    /// Tasks it has, the leader included.
    pub threads: u32,
    /// Threads besides the leader, in total.
    pub threads_created: u32,
    /// The most threads besides the leader that lived at once.
    pub threads_peak: u32,
    /// Execs seen.
    pub execs: u32,
    /// When the last one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec_boottime_ns: Option<u64>,
    /// What it did before that exec, if it had children then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_exec: Option<BeforeExec>,
    /// Changes of comm seen.
    pub renames: u32,
    /// Its tracer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracer: Option<Ids>,
    /// When the leader died, if it died before other threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader_died_boottime_ns: Option<u64>,
    /// How often it was reparented.
    pub reparented: u32,
    /// When it was last reparented.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reparented_boottime_ns: Option<u64>,
    /// The kind of its last new parent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reparent_kind: Option<String>,
    /// Its parent before the first reparenting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_parent_pid: Option<u32>,
    /// How long it is or was a zombie.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub zombie: Option<ZombieAge>,
    /// `reaped` or `autoreaped`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// The process that reaped it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reaper: Option<Reaper>,
    /// When its last task died, as in the event `group_exited`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_boottime_ns: Option<u64>,
    /// When it was reaped or autoreaped, as in the events `reaped` and `autoreaped`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_boottime_ns: Option<u64>,
    /// The thread of its parent that forked it, if that thread ended and another thread has the child now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forked_by_thread: Option<EndedThread>,
    /// When it was released, so that its pid was free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released_boottime_ns: Option<u64>,
    /// Its counts as a parent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub children: Option<Children>,
    /// What its dead tasks used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<AnswerUsage>,
    /// What its dead children used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub children_usage: Option<ChildrenUsage>,
}

impl TaskDetails {
    /// Creates it from a life.
    #[must_use]
    pub fn of(life: &Life, now: Ktime, stamp: &Stamp) -> Self {
        let end = life.released_at.unwrap_or(now);
        let names = |bits: u32| {
            TASK_FLAGS.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| (*name).to_owned()).collect()
        };
        Self {
            state: life.state.name().into(),
            state_boottime_ns: life.since.0,
            kind: life.kind.name().into(),
            provenance: life.provenance.name().into(),
            start_boottime_ns: life.key.start.map(|start| start.0),
            exit_signal: life.exit_signal,
            exit_signal_name: life.exit_signal.and_then(signal_name).map(Into::into),
            creation: life.creation.map(|creation| creation.name().into()),
            clone_flags: life.clone_flags.map(clone_flags),
            creator: life.creator.map(Into::into),
            flags: life.flags.map(names),
            cgroup_id: life.cgroup_id,
            pid_ns: life.namespace.map(|namespace| PidNs { inode: namespace.inode, level: namespace.level }),
            threads: life.threads,
            threads_created: life.threads_created,
            threads_peak: life.threads_peak,
            execs: life.execs,
            exec_boottime_ns: life.exec_at.map(|at| at.0),
            before_exec: life.before_exec.as_deref().map(BeforeExec::of),
            renames: life.renames,
            tracer: life.tracer.map(Into::into),
            leader_died_boottime_ns: life.leader_died_at.map(|at| at.0),
            reparented: life.reparented,
            reparented_boottime_ns: life.reparented_at.map(|at| at.0),
            reparent_kind: life.reparent_kind.map(|kind| kind.name().into()),
            first_parent_pid: life.first_parent.map(|parent| parent.tgid.0),
            zombie: ZombieAge::of(life, end),
            end: life.end.map(|end| match end {
                End::Reaped => "reaped".into(),
                End::Autoreaped => "autoreaped".into(),
            }),
            reaper: life.reaper.map(|reaper| Reaper {
                process: ProcessRef::by(reaper.process, reaper.name, stamp),
                tid: reaper.task.map(|task| task.key.tid.0),
                kind: reaper.kind.name().into(),
            }),
            ended_boottime_ns: life.ended_at.map(|at| at.0),
            taken_boottime_ns: life.taken_at.map(|at| at.0),
            forked_by_thread: life
                .forked_by
                .map(|(thread, at)| EndedThread { thread: thread.into(), ended_boottime_ns: at.0 }),
            released_boottime_ns: life.released_at.map(|at| at.0),
            children: Children::of(life),
            usage: AnswerUsage::of(life),
            children_usage: ChildrenUsage::of(life),
        }
    }
}

pub(super) fn clone_flags(flags: u64) -> Vec<String> {
    CLONE_FLAGS.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| (*name).to_owned()).collect()
}

/// The answer to `/v1/tasks/{pid}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskAnswer {
    /// When the answer was computed.
    #[serde(flatten)]
    pub made: super::Made,
    /// The thread group.
    pub process: Process,
    /// Further facts.
    pub task: TaskDetails,
    /// What its tasks are doing now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<Now>,
    /// Facts about its present state that could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Missing>,
    /// Its cgroup, unit, container and pod.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub place: Option<AnswerPlace>,
}

impl TaskAnswer {
    /// Creates the answer about one life.
    #[must_use]
    pub fn of(
        life: &Life,
        lineage_at: &super::LineageAt<'_>,
        host_facts: &mut super::HostFacts<'_>,
        figures: &AllFigures,
    ) -> Self {
        Self {
            made: super::Made::at(lineage_at.now, lineage_at.observed_since, host_facts.stamp),
            process: Process::of(life, host_facts.stamp),
            task: TaskDetails::of(life, lineage_at.now, host_facts.stamp),
            now: figures.of(life.key),
            missing: missing(figures, life),
            place: life.cgroup_id.and_then(|id| (host_facts.places)(id)),
        }
    }
}
