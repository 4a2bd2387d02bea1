//! How many processes and threads a cgroup has now.

/// The tasks of a cgroup now. A process is in the cgroup of its leader, and so are its threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CgroupCounts {
    /// Processes of which a thread is not past `exit_notify()`.
    pub processes: u32,
    /// Threads that are not past `exit_notify()`, leaders among them.
    pub threads: u32,
    /// Confirmed zombies.
    pub zombies: u32,
}

impl CgroupCounts {
    /// Adds the tasks of another cgroup, or of other processes of the same one.
    pub const fn add(&mut self, other: &Self) {
        self.processes += other.processes;
        self.threads += other.threads;
        self.zombies += other.zombies;
    }

    /// Removes tasks that were added before.
    pub(crate) const fn subtract(&mut self, other: &Self) {
        self.processes -= other.processes;
        self.threads -= other.threads;
        self.zombies -= other.zombies;
    }
}
