//! The share of one cgroup in what ended tasks used.

/// What tasks of one cgroup used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Time on a CPU, ns.
    pub exec_runtime_ns: u64,
    /// Time on a run queue, ns.
    pub run_delay_ns: u64,
}

impl Share {
    pub(crate) const fn add(&mut self, other: &Self) {
        self.exec_runtime_ns = self.exec_runtime_ns.wrapping_add(other.exec_runtime_ns);
        self.run_delay_ns = self.run_delay_ns.wrapping_add(other.run_delay_ns);
    }
}
