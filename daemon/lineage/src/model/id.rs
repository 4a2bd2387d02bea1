//! Identities of tasks and thread groups. A tid alone is not an identity, because the kernel reuses it.

use std::fmt;

/// A task's id in the initial pid namespace: `task_struct.pid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tid(pub u32);

/// A thread group's id in the initial pid namespace: `task_struct.tgid`, what users call the pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tgid(pub u32);

impl Tgid {
    /// Returns the tid of this group's leader.
    #[must_use]
    pub const fn leader(self) -> Tid {
        Tid(self.0)
    }
}

/// A time on the kernel's `CLOCK_BOOTTIME`: nanoseconds since boot, suspend included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ktime(pub u64);

impl Ktime {
    /// Returns the nanoseconds from `earlier` to this time; 0 if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The identity of a task. A later task with the same tid has another start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskKey {
    /// Its tid.
    pub tid: Tid,
    /// Its `start_boottime`.
    pub start: Ktime,
}

/// A task and the thread group it belongs to, as a record names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskRef {
    /// The task.
    pub key: TaskKey,
    /// Its thread group.
    pub tgid: Tgid,
}

impl TaskRef {
    /// Whether the task leads its group.
    #[must_use]
    pub const fn is_leader(self) -> bool {
        self.key.tid.0 == self.tgid.0
    }

    /// Returns the identity of its group, whose start is known only if the task leads it.
    #[must_use]
    pub fn group(self) -> GroupKey {
        GroupKey { tgid: self.tgid, start: self.is_leader().then_some(self.key.start) }
    }
}

/// The identity of a thread group: that of its leader. A later group with the same tgid has another start time.
///
/// An exec by another thread does not change it, because that thread takes over the leader's tid and start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKey {
    /// Its tgid.
    pub tgid: Tgid,
    /// Its leader's `start_boottime`; `None` if records showed only other threads of the group.
    pub start: Option<Ktime>,
}

impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Tgid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
