//! CPU time and page faults of a thread group and of a parent's dead children, by the kernel's accounting.

use crate::model::record::TaskUsage;

/// What the dead tasks of a thread group used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupUsage {
    /// The sum over these tasks.
    pub sum: TaskUsage,
    /// Tasks whose figures are in the sum.
    pub tasks: u32,
    /// Tasks in the sum whose last switch is still to come. They use a little more CPU time until then.
    pub pending: u32,
    /// Tasks that ended and whose usage no record had.
    pub unknown: u32,
}

/// What dead children used, including their own dead children, recursively.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChildrenUsage {
    /// Usage of children that a wait(2) reaped, and of the children that these had reaped: what `getrusage(RUSAGE_CHILDREN)`
    /// counts.
    pub reaped: Descent,
    /// Usage of children that no wait(2) reaped, and of all their descendants. The kernel drops it.
    pub autoreaped: Descent,
}

/// A sum over processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descent {
    /// The sum. User and system time are split for each process as the kernel splits them.
    pub sum: TaskUsage,
    /// The number of processes.
    pub processes: u64,
    /// Processes of these with a task whose usage is not in the sum.
    pub unknown: u64,
}

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

/// How one task's usage changes the sum of its group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Charge {
    /// What the task used beyond what was added before.
    pub(crate) more: TaskUsage,
    /// Whether nothing was added for this task before.
    pub(crate) is_first: bool,
    /// Whether this is the final usage of the task.
    pub(crate) is_final: bool,
    /// Whether the task was counted as ended without usage before.
    pub(crate) was_unknown: bool,
}

impl TaskUsage {
    /// Returns time in user mode and in kernel mode as wait4(2), times(2) and `/proc/PID/stat` show it. The time on a CPU is
    /// exact; it is split in proportion to the ticks that found the task in each mode. `cputime_adjust()` in
    /// <https://elixir.bootlin.com/linux/v6.18/source/kernel/sched/cputime.c>.
    #[must_use]
    pub fn split(&self) -> (u64, u64) {
        let (runtime, user, system) = (self.exec_runtime_ns, self.utime_ns, self.stime_ns);
        if system == 0 {
            return (runtime, 0);
        }
        if user == 0 {
            return (0, runtime);
        }
        let scaled = u128::from(system) * u128::from(runtime) / (u128::from(system) + u128::from(user));
        let system = u64::try_from(scaled).unwrap_or(runtime);
        (runtime - system, system)
    }

    /// Returns this usage with user and system time as the kernel splits them, so that it can be added to the usage of other
    /// processes.
    pub(crate) fn charged(&self) -> Self {
        let (utime_ns, stime_ns) = self.split();
        Self { utime_ns, stime_ns, ..*self }
    }

    /// Adds another usage. The sums wrap, so that `TaskUsage::minus` can subtract again what was added.
    pub fn add(&mut self, other: &Self) {
        self.each(other, u64::wrapping_add);
    }

    /// Returns this usage minus another.
    pub(crate) fn minus(&self, other: &Self) -> Self {
        let mut left = *self;
        left.each(other, u64::wrapping_sub);
        left
    }

    fn each(&mut self, other: &Self, with: impl Fn(u64, u64) -> u64) {
        self.exec_runtime_ns = with(self.exec_runtime_ns, other.exec_runtime_ns);
        self.run_delay_ns = with(self.run_delay_ns, other.run_delay_ns);
        self.run_count = with(self.run_count, other.run_count);
        self.utime_ns = with(self.utime_ns, other.utime_ns);
        self.stime_ns = with(self.stime_ns, other.stime_ns);
        self.nvcsw = with(self.nvcsw, other.nvcsw);
        self.nivcsw = with(self.nivcsw, other.nivcsw);
        self.min_flt = with(self.min_flt, other.min_flt);
        self.maj_flt = with(self.maj_flt, other.maj_flt);
    }
}

impl GroupUsage {
    /// Whether the sum has the last switch of every task.
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        self.pending == 0 && self.unknown == 0
    }

    pub(crate) fn charge(&mut self, charge: &Charge) {
        self.sum.add(&charge.more);
        self.tasks = self.tasks.wrapping_add(u32::from(charge.is_first));
        match (charge.is_first, charge.is_final) {
            (true, false) => self.pending = self.pending.wrapping_add(1),
            (false, true) => self.pending = self.pending.saturating_sub(1),
            _ => {}
        }
        self.unknown = self.unknown.saturating_sub(u32::from(charge.was_unknown));
    }

    /// Applies a charge and returns how it changes what the group's parent receives.
    pub(crate) fn charge_and_diff(&mut self, charge: &Charge) -> Descent {
        let before = self.descent();
        self.charge(charge);
        self.descent().minus(&before)
    }

    /// Returns what the group adds to its parent's children usage.
    pub(crate) fn descent(&self) -> Descent {
        Descent {
            sum: self.sum.charged(),
            processes: 1,
            unknown: u64::from(self.unknown > 0 || self.tasks == 0),
        }
    }
}

impl Descent {
    pub(crate) fn add(&mut self, other: &Self) {
        self.sum.add(&other.sum);
        self.processes = self.processes.wrapping_add(other.processes);
        self.unknown = self.unknown.wrapping_add(other.unknown);
    }

    pub(crate) fn minus(&self, other: &Self) -> Self {
        Self {
            sum: self.sum.minus(&other.sum),
            processes: self.processes.wrapping_sub(other.processes),
            unknown: self.unknown.wrapping_sub(other.unknown),
        }
    }
}

impl ChildrenUsage {
    /// Returns the sum over children that were reaped by wait(2), or over the others.
    pub(crate) const fn of(&mut self, is_reaped: bool) -> &mut Descent {
        if is_reaped { &mut self.reaped } else { &mut self.autoreaped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(exec_runtime_ns: u64, utime_ns: u64, stime_ns: u64) -> TaskUsage {
        TaskUsage { exec_runtime_ns, utime_ns, stime_ns, ..TaskUsage::default() }
    }

    #[test]
    fn time_is_split_as_the_kernel_splits_it() {
        // No tick found the task running, so all of its time counts as user time.
        assert_eq!(ran(900, 0, 0).split(), (900, 0));
        assert_eq!(ran(900, 4_000_000, 0).split(), (900, 0));
        assert_eq!(ran(900, 0, 4_000_000).split(), (0, 900));
        assert_eq!(ran(900, 8_000_000, 4_000_000).split(), (600, 300));
        assert_eq!(ran(u64::MAX, u64::MAX, u64::MAX).split(), (u64::MAX / 2 + 1, u64::MAX / 2));
    }
}
