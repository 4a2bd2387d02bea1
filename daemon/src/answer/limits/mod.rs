//! Which limit on pids is full, and which processes fill it: `pids.max` of cgroups, `RLIMIT_NPROC`, `threads-max`, `pid_max`, and
//! a pid namespace without an init.

mod draft;
mod evidence;
mod failures;
mod read;
mod recorded;

use serde::{Deserialize, Serialize};

pub(super) use self::evidence::add_evidence;
pub use self::{
    draft::{Forecast, LimitsDraft},
    failures::FailedForks,
    recorded::Refusal,
};
use super::{HostFacts, LineageAt, Made, MergeLocalFacts, TaskSelector, process::ProcessRef};

/// Suffixes of cgroups whose limits systemd sets.
const UNITS: [&str; 3] = [".service", ".scope", ".slice"];

/// The answer to `/v1/limits`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// When the answer was computed.
    #[serde(flatten)]
    pub made: Made,
    /// The process whose limits these are; absent if the answer is about the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessRef>,
    /// The limits, the fullest first.
    pub limits: Vec<Limit>,
    /// What could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<super::verdict::Missing>,
    /// Processes whose threads only grow, or that fork too fast: they fill the limits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaks: Vec<LimitLeak>,
    /// Forks of the process that failed lately.
    #[serde(skip)]
    failures: Option<failures::Failures>,
}

/// A leak that fills limits on pids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitLeak {
    /// `thread_leak` or `fork_storm`.
    pub kind: String,
    /// The process that causes it.
    pub process: ProcessRef,
    /// How many there are and how fast they grow, as one sentence.
    pub summary: String,
}

/// A limit on pids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// `cgroup`, `rlimit_nproc`, `threads_max`, `pid_max`, `pid_namespace`.
    pub kind: String,
    /// The cgroup's path, the uid, or the pid namespace's inode number.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Version of the cgroup hierarchy: `v1` or `v2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hierarchy: Option<String>,
    /// Tasks that count against it now, zombies included.
    pub used: u64,
    /// The limit.
    pub limit: u64,
    /// Whether the next fork fails.
    pub full: bool,
    /// The error of that fork: `EAGAIN`, or `ENOMEM` in a pid namespace without an init.
    pub errno: String,
    /// Forks that the kernel counts as refused (`pids.events`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<u64>,
    /// The time until it is full at the growth of the last minutes, ns; absent if it does not grow or no daemon follows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_in_ns: Option<u64>,
    /// Zombies in `used`.
    pub zombies: u64,
    /// The processes that fill it, those with most tasks first.
    pub consumers: Vec<Consumer>,
}

/// Processes of one name with one parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consumer {
    /// Their comm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Their parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ProcessRef>,
    /// The number of processes.
    pub processes: u64,
    /// Their tasks.
    pub tasks: u64,
    /// Zombies among the processes.
    pub zombies: u64,
    /// The pid of one of the processes.
    pub pid: u32,
}

impl MergeLocalFacts for Limits {
    fn needs_local_facts(&self) -> bool {
        !self.missing.is_empty()
    }

    fn merge_local_facts(&mut self, lineage_at: &LineageAt<'_>, host_facts: &mut HostFacts<'_>) {
        let key = match &self.process {
            None => None,
            Some(process) => {
                let selector = process.entity_id.clone().map(TaskSelector::Entity);
                let Some(Ok(key)) = selector.map(|selector| selector.find(lineage_at, host_facts.stamp))
                else {
                    return;
                };
                Some(key)
            }
        };
        let by = LimitsDraft::about(key, lineage_at).finish(host_facts);
        if by.missing.len() < self.missing.len() {
            *self = Self { leaks: std::mem::take(&mut self.leaks), ..by };
        }
    }
}

impl Limit {
    /// Returns the limit in words: `pids.max of the cgroup /x`.
    #[must_use]
    pub fn what(&self) -> String {
        match self.kind.as_str() {
            "cgroup" => {
                let version = self.hierarchy.as_deref().unwrap_or("v2");
                format!("pids.max of the cgroup {} ({version})", self.name)
            }
            "rlimit_nproc" => format!("RLIMIT_NPROC (ulimit -u) of uid {}", self.name),
            "threads_max" => "kernel.threads-max".into(),
            "pid_max" => "kernel.pid_max".into(),
            "pid_namespace" => format!("pid namespace {}, whose init has ended", self.name),
            other => other.to_owned(),
        }
    }

    /// Returns how to raise it.
    #[must_use]
    pub fn raise(&self) -> String {
        match (self.kind.as_str(), self.name.rsplit('/').next().unwrap_or_default()) {
            ("cgroup", unit) if UNITS.iter().any(|suffix| unit.ends_with(suffix)) => {
                format!("raise the limit: systemctl set-property {unit} TasksMax=N")
            }
            ("cgroup", _) => {
                format!("raise the limit: write a larger number to pids.max of {} (docker: --pids-limit)", self.name)
            }
            ("rlimit_nproc", _) => {
                "raise the limit: ulimit -u, LimitNPROC= of the unit, or nproc in /etc/security/limits.conf".into()
            }
            ("threads_max", _) => "raise the limit: sysctl kernel.threads-max=N".into(),
            ("pid_max", _) => "raise the limit: sysctl kernel.pid_max=N".into(),
            _ => "create a new pid namespace (unshare --pid --fork) whose first process lives as long as the others".into(),
        }
    }
}

impl Consumer {
    /// `18 zombies of python3, children of python3 (pid 7)`.
    #[must_use]
    pub fn words(&self) -> String {
        let name = self.name.as_deref().unwrap_or("?");
        let parent = |child: &str| {
            self.parent.as_ref().map_or(String::new(), |parent| format!(", {child} of {parent}"))
        };
        if self.processes == 1 {
            let what = match (self.zombies, self.tasks) {
                (1, _) => "1 zombie".to_owned(),
                (_, 1) => "1 task".into(),
                (_, tasks) => format!("{tasks} tasks"),
            };
            return format!("{what} of {name} (pid {}){}", self.pid, parent("child"));
        }
        let living = self.processes - self.zombies;
        let threads = self.tasks.saturating_sub(self.processes);
        let mut parts = Vec::new();
        if self.zombies > 0 {
            parts.push(if self.zombies == 1 {
                "1 zombie".into()
            } else {
                format!("{} zombies", self.zombies)
            });
        }
        if living > 0 {
            parts.push(if living == 1 { "1 process".into() } else { format!("{living} processes") });
        }
        if threads > 0 {
            parts.push(format!("{threads} more threads"));
        }
        format!("{} of {name}{}", parts.join(" and "), parent("children"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consumer(processes: u64, tasks: u64, zombies: u64) -> String {
        let parent = ProcessRef { pid: 7, entity_id: None, name: Some("sh".into()), name_bytes: None };
        Consumer { name: Some("py".into()), parent: Some(parent), processes, tasks, zombies, pid: 9 }.words()
    }

    #[test]
    fn consumers_are_reported_as_what_they_are() {
        assert_eq!(consumer(1, 30, 0), "30 tasks of py (pid 9), child of sh (pid 7)");
        assert_eq!(consumer(1, 1, 1), "1 zombie of py (pid 9), child of sh (pid 7)");
        assert_eq!(consumer(18, 18, 18), "18 zombies of py, children of sh (pid 7)");
        assert_eq!(
            consumer(3, 7, 1),
            "1 zombie and 2 processes and 4 more threads of py, children of sh (pid 7)"
        );
    }
}
