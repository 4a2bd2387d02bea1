//! What processes used.

use serde::{Deserialize, Serialize};

/// What one process or several used, by the kernel's accounting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cost {
    /// Time on a CPU, ns: user and system together.
    #[serde(rename = "exec_runtime_ns")]
    pub cpu_ns: u64,
    /// Time in user mode, ns.
    pub user_ns: u64,
    /// Time in kernel mode, ns.
    pub system_ns: u64,
    /// Time in the run queue, ns.
    pub run_delay_ns: u64,
    /// Voluntary context switches.
    pub voluntary_switches: u64,
    /// Involuntary context switches.
    pub involuntary_switches: u64,
    /// Minor page faults.
    pub minor_faults: u64,
    /// Major page faults.
    pub major_faults: u64,
    /// Whether more was used: figures of some task are missing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub at_least: bool,
}

/// A sum over processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// The number of processes.
    pub processes: u64,
    /// What they used.
    #[serde(flatten)]
    pub cost: Cost,
}

impl Cost {
    /// Adds what another process used.
    pub const fn add(&mut self, other: &Self) {
        self.cpu_ns = self.cpu_ns.saturating_add(other.cpu_ns);
        self.user_ns = self.user_ns.saturating_add(other.user_ns);
        self.system_ns = self.system_ns.saturating_add(other.system_ns);
        self.run_delay_ns = self.run_delay_ns.saturating_add(other.run_delay_ns);
        self.voluntary_switches = self.voluntary_switches.saturating_add(other.voluntary_switches);
        self.involuntary_switches = self.involuntary_switches.saturating_add(other.involuntary_switches);
        self.minor_faults = self.minor_faults.saturating_add(other.minor_faults);
        self.major_faults = self.major_faults.saturating_add(other.major_faults);
        self.at_least |= other.at_least;
    }
}

impl Sum {
    /// Adds a process. Without a known cost the sum is a lower bound.
    pub fn add(&mut self, cost: Option<&Cost>) {
        self.processes += 1;
        match cost {
            Some(cost) => self.cost.add(cost),
            None => self.cost.at_least = true,
        }
    }

    /// Adds another sum.
    pub const fn join(&mut self, other: &Self) {
        self.processes += other.processes;
        self.cost.add(&other.cost);
    }
}
