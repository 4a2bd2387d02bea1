//! What a task has used, and how it is scheduled.

use probe_common::{Figures, Usage, Valid};

use super::{Task, mark};
use crate::{globals::offset, kread::Mem};

/// No accounting known.
pub const NOTHING_USED: Usage = Usage {
    exec_runtime_ns: 0,
    run_delay_ns: 0,
    run_count: 0,
    utime_ns: 0,
    stime_ns: 0,
    nvcsw: 0,
    nivcsw: 0,
    min_flt: 0,
    maj_flt: 0,
};

impl<M: Mem> Task<M> {
    /// Fills the scheduler's fields, and returns which of the fields from `policy` on are known: a bit each.
    #[inline(always)]
    pub fn scheduling(self, figures: &mut Figures) -> u32 {
        figures.policy = self.get(offset!(task_policy)).unwrap_or(0);
        figures.prio = self.get(offset!(task_prio)).unwrap_or(0);
        figures.static_prio = self.get(offset!(task_static_prio)).unwrap_or(0);
        figures.rt_priority = self.get(offset!(task_rt_priority)).unwrap_or(0);
        figures.cpu = self.get(offset!(task_cpu)).unwrap_or(0);
        // An int before 7.x, a byte from then on: 0 or 1 in the first byte of either.
        figures.on_cpu = self.get::<u8>(offset!(task_on_cpu)).unwrap_or(0).into();
        // Offsets are constants to the verifier, and so is this.
        let known = |offset: u32, bit: u32| if offset == probe_common::ABSENT { 0 } else { 1 << bit };
        known(offset!(task_policy), 0)
            | known(offset!(task_prio), 1)
            | known(offset!(task_static_prio), 2)
            | known(offset!(task_rt_priority), 3)
            | known(offset!(task_cpu), 4)
            | known(offset!(task_on_cpu), 5)
    }

    /// Context switches so far, voluntary and not.
    #[inline(always)]
    pub fn switches(self) -> Option<u64> {
        let voluntary: u64 = self.get(offset!(task_nvcsw))?;
        Some(voluntary + self.get::<u64>(offset!(task_nivcsw))?)
    }

    /// Fills `usage`.
    #[inline(always)]
    pub fn usage(self, usage: &mut Usage, valid: &mut u32) {
        let zero_if_absent = |value: Option<u64>| value.unwrap_or(0);
        usage.exec_runtime_ns = zero_if_absent(self.get(offset!(task_exec_runtime)));
        usage.run_delay_ns = zero_if_absent(self.get(offset!(task_run_delay)));
        usage.run_count = zero_if_absent(self.get(offset!(task_run_count)));
        usage.utime_ns = zero_if_absent(self.get(offset!(task_utime)));
        usage.stime_ns = zero_if_absent(self.get(offset!(task_stime)));
        usage.nvcsw = zero_if_absent(self.get(offset!(task_nvcsw)));
        usage.nivcsw = zero_if_absent(self.get(offset!(task_nivcsw)));
        usage.min_flt = zero_if_absent(self.get(offset!(task_min_flt)));
        usage.maj_flt = zero_if_absent(self.get(offset!(task_maj_flt)));
        if offset!(task_exec_runtime) != probe_common::ABSENT {
            mark(valid, Valid::USAGE);
        }
    }
}
