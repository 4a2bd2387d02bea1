//! What tasks used of CPUs and memory, by the kernel's own figures: of a thread group, and of a parent's dead children.

use crate::model::record::Usage;

/// What those tasks of a thread group used that are dead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupUsage {
    /// Their figures, summed up.
    pub sum: Usage,
    /// Tasks whose figures are in the sum.
    pub tasks: u32,
    /// Of these, tasks whose last switch is still to come: they use a little more on the way to it.
    pub pending: u32,
    /// Tasks that ended and whose figures nobody saw.
    pub unknown: u32,
}

/// What dead children used, and their dead children, and so on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChildrenUsage {
    /// Of those that a wait(2) took, and of whom these had taken: as `getrusage(RUSAGE_CHILDREN)` counts.
    pub reaped: Descent,
    /// Of those that nobody waited for, and of all below them: the kernel forgets what they used.
    pub autoreaped: Descent,
}

/// A sum over processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descent {
    /// Their figures, user and system time as the kernel splits each one's.
    pub sum: Usage,
    /// How many there are.
    pub processes: u64,
    /// Of these, processes of which the figures of some task are not in the sum.
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

/// How a group's account changes by one task's figures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Charge {
    /// What it used beyond what was told before.
    pub(crate) more: Usage,
    /// Nothing was told before.
    pub(crate) is_first: bool,
    /// These are its last figures.
    pub(crate) is_final: bool,
    /// It ended before, without figures.
    pub(crate) was_unknown: bool,
}

impl Usage {
    /// Time in user and in kernel mode as wait4(2), times(2) and `/proc/PID/stat` show it: time on a CPU is exact, and which mode
    /// it was spent in is known by the ticks that found the task there. `cputime_adjust()` in
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

    /// The same with user and system time as the kernel splits them, fit to be added to others'.
    pub(crate) fn charged(&self) -> Self {
        let (utime_ns, stime_ns) = self.split();
        Self { utime_ns, stime_ns, ..*self }
    }

    /// Adds another's. What is taken back later is gone without a trace, so no bound stops it.
    pub fn add(&mut self, other: &Self) {
        self.each(other, u64::wrapping_add);
    }

    /// What is left without another's.
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
    /// Whether nothing is missing: the last switch of every task is in the sum.
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

    /// The same; what that changes for the group's parent.
    pub(crate) fn charge_and_diff(&mut self, charge: &Charge) -> Descent {
        let before = self.descent();
        self.charge(charge);
        self.descent().minus(&before)
    }

    /// What the group is to its parent.
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
    /// The sum of those that were waited for, or of the others.
    pub(crate) const fn of(&mut self, is_reaped: bool) -> &mut Descent {
        if is_reaped { &mut self.reaped } else { &mut self.autoreaped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(exec_runtime_ns: u64, utime_ns: u64, stime_ns: u64) -> Usage {
        Usage { exec_runtime_ns, utime_ns, stime_ns, ..Usage::default() }
    }

    #[test]
    fn time_is_split_as_the_kernel_splits_it() {
        // No tick found it: all of it counts as user time.
        assert_eq!(ran(900, 0, 0).split(), (900, 0));
        assert_eq!(ran(900, 4_000_000, 0).split(), (900, 0));
        assert_eq!(ran(900, 0, 4_000_000).split(), (0, 900));
        assert_eq!(ran(900, 8_000_000, 4_000_000).split(), (600, 300));
        assert_eq!(ran(u64::MAX, u64::MAX, u64::MAX).split(), (u64::MAX / 2 + 1, u64::MAX / 2));
    }
}
