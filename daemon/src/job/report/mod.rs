//! The report of a job: what is written as JSON, and read again by `--baseline`.

pub(super) mod build;
pub(super) mod compare;
pub(super) mod cost;
pub(super) mod failures;
pub(super) mod leftovers;
pub(super) mod zombies;

use serde::{Deserialize, Serialize};

use crate::job::{
    cost::{Cost, Sum},
    path::Edge,
};

/// The version of the report. An added field does not change it.
pub const VERSION: u32 = 1;

/// What a command did, cost and left behind. Times are ns; docs/job.md describes the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Version of the format.
    pub job_version: u32,
    /// The job's name: that of `--name`, else of the program.
    pub name: String,
    /// The command with its arguments.
    pub command: Vec<String>,
    /// When it started: RFC 3339, UTC.
    pub started: String,
    /// What was asked for, in a report from the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub past: Option<PastReport>,
    /// How it ended.
    pub exit: ExitReport,
    /// Time from the fork of the command to its end, ns.
    pub wall_ns: u64,
    /// CPUs that it could use; absent if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// What its processes used.
    pub usage: UsageReport,
    /// Processes and threads.
    pub processes: ProcessCounts,
    /// What processes used by program, the program with the most CPU time first.
    pub programs: Vec<Consumer>,
    /// What processes used by command line, in the same order; empty if arguments are not recorded.
    #[serde(default)]
    pub commands: Vec<Consumer>,
    /// Processes that failed.
    pub failures: Failures,
    /// Children that their parents left unreaped.
    pub zombies: Zombies,
    /// Processes that were alive or unreaped at the end.
    pub leftovers: Vec<Leftover>,
    /// Why it took that long.
    pub critical_path: PathReport,
    /// How many processes worked at once.
    pub parallelism: Parallelism,
    /// Events that were lost; if there are any, figures are lower bounds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<LossReport>,
    /// Whether something is missing.
    pub at_least: bool,
    /// What else the reader should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What a report from the history is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastReport {
    /// The process that was asked for, with its descendants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The systemd unit that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// What happened before this time is not in the report: RFC 3339, UTC.
    pub since: String,
    /// What happened after it is not either.
    pub until: String,
    /// Processes whose parents are not in the job: the one with the pid, or those of the unit.
    pub roots: u64,
    /// How many of these still ran at the end.
    pub running: u64,
}

/// How a command ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitReport {
    /// Its exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// The cause of death, if it is another than that it exited: docs/deaths.md.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// What the processes of a job used. Each process is in one of four sums, by which process collected its figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageReport {
    /// All processes.
    pub all: Sum,
    /// Processes that wait4(2) of the command accounts for: each was waited for, and so were its ancestors.
    pub waited_for: Sum,
    /// Autoreaped processes, and the processes that these had waited for; no rusage includes them.
    pub autoreaped: Sum,
    /// Processes that a process outside of the job reaped, and the processes that these had waited for.
    pub orphaned: Sum,
    /// Processes that were left at the end, and the processes that these had waited for.
    pub left: Sum,
    /// What wait4(2) of the command returned, if taskscope called it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait4: Option<Rusage>,
}

/// What wait4(2) returns, microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rusage {
    /// `ru_utime`.
    pub user_us: u64,
    /// `ru_stime`.
    pub system_us: u64,
    /// `ru_minflt`.
    pub minor_faults: u64,
    /// `ru_majflt`.
    pub major_faults: u64,
    /// `ru_maxrss`: the largest process that was waited for, KiB.
    pub max_rss_kib: u64,
}

/// How many processes there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessCounts {
    /// Processes, the command included.
    pub made: u64,
    /// Threads besides the leaders.
    pub threads_made: u64,
    /// The most processes that were alive at once.
    pub most_at_once: u64,
    /// Calls of execve(2).
    pub execs: u64,
    /// Processes that got another parent.
    pub reparented: u64,
}

/// A program, or a command line, with what its processes used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consumer {
    /// The path of the program, or the command line.
    pub name: String,
    /// How often it was executed.
    pub execs: u64,
    /// Processes that ran it last, and what they used in their lives.
    #[serde(flatten)]
    pub sum: Sum,
}

/// Processes that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// How many.
    pub count: u64,
    /// How many of them were killed when memory ran out.
    pub oom: u64,
    /// The first failures.
    pub first: Vec<Failure>,
}

/// A process that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its pid.
    pub pid: u32,
    /// Its comm.
    pub name: String,
    /// When it ended, from the start of the job.
    pub at_ns: u64,
    /// Its exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// The cause of death, if it is another than that it exited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The name and the pid of the process that forked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Its command line, if arguments are recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// Zombies that lasted, or whose parents ended first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zombies {
    /// How many.
    pub count: u64,
    /// How many zombies still exist.
    pub left: u64,
    /// The parents that left them unreaped.
    pub parents: Vec<ZombieParent>,
}

/// A process that left children unreaped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZombieParent {
    /// Its pid.
    pub pid: u32,
    /// Its comm.
    pub name: String,
    /// How many.
    pub zombies: u64,
    /// How long the longest was a zombie, ns.
    pub longest_ns: u64,
}

/// A process that is left when the command has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftover {
    /// Its pid.
    pub pid: u32,
    /// Its parent now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_pid: Option<u32>,
    /// Its comm.
    pub name: String,
    /// The path of its program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The number of its ancestors that are leftovers, by forks.
    pub depth: u32,
    /// How old it is.
    pub age_ns: u64,
    /// What it used so far.
    pub cpu_ns: u64,
    /// Whether it is a zombie.
    pub zombie: bool,
    /// What `--kill-leftovers` did: `TERM`, `KILL`, or why it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub killed: Option<String>,
}

/// The critical path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathReport {
    /// The kinds of time of all steps together.
    pub time: StepTime,
    /// The steps, in order of time, without gaps.
    pub steps: Vec<Step>,
}

/// The kinds of time of a step, ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepTime {
    /// The whole step.
    pub wall_ns: u64,
    /// Time on a CPU.
    pub cpu_ns: u64,
    /// Time in the run queue.
    pub run_queue_ns: u64,
    /// Time in uninterruptible sleep, as far as polls saw it; absent if that is not known, and then part of `asleep_ns`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uninterruptible_ns: Option<u64>,
    /// Time asleep for a reason that is not known: a disk, a lock, a pipe, a timer, a child that has no step.
    pub asleep_ns: u64,
    /// Time for which the process's figures are missing.
    pub unknown_ns: u64,
    /// Whether the times are estimates: shares of what the process used in several steps, or outside of the path too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}

/// A step of the critical path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The process.
    pub pid: u32,
    /// Its comm in this step.
    pub name: String,
    /// The path of its program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Its command line, if arguments are recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Start of the step, from the start of the job.
    pub at_ns: u64,
    /// What its time was.
    #[serde(flatten)]
    pub time: StepTime,
    /// How it ended.
    pub edge: Edge,
}

/// How many processes worked at once, that is, did not wait for a child.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parallelism {
    /// CPU time of the CPUs that the job did not use: `cpus` times the wall time, less its CPU time until the end.
    /// Absent if the number of CPUs is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unused_cpu_ns: Option<u64>,
    /// Time in which one process worked alone.
    pub alone_ns: u64,
    /// Which, the longest first.
    pub alone: Vec<Alone>,
}

/// A process that worked while the rest of the job waited for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alone {
    /// Its pid.
    pub pid: u32,
    /// Its comm.
    pub name: String,
    /// For how long in total.
    pub ns: u64,
    /// The name and pid of the process that forked it, which waited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited: Option<String>,
    /// Its command line, if arguments are recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// Events that were lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossReport {
    /// Where: docs/events.md.
    pub place: String,
    /// How many, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

impl Report {
    /// Returns the CPU time of all processes.
    #[must_use]
    pub const fn cost(&self) -> &Cost {
        &self.usage.all.cost
    }

    /// Returns how it ended, in words.
    #[must_use]
    pub fn exit_in_words(&self) -> String {
        let ExitReport { code, signal, cause } = &self.exit;
        if let Some(PastReport { roots, running, .. }) = &self.past
            && (*running > 0 || *roots > 1)
        {
            return match (running, roots) {
                (1, 1) => "still running".into(),
                (0, _) => format!("{roots} processes were started, and ended"),
                _ => format!("{running} of {roots} processes that were started still running"),
            };
        }
        let cause = cause.as_ref().map(|cause| format!(" ({cause})")).unwrap_or_default();
        match (code, signal) {
            (_, Some(signal)) => format!("killed by {signal}{cause}"),
            (Some(code), _) => format!("exit {code}{cause}"),
            _ => "end not seen".into(),
        }
    }
}
