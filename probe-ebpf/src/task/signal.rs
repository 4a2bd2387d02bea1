//! What a record of a signal says about its sender and its target.

use aya_ebpf::helpers::bpf_probe_read_kernel_str_bytes;
use probe_common::{
    LIMIT_CPU, LIMIT_DEADLINE, LIMIT_READ, LIMIT_RTTIME, NO_LOGIN_UID, SECCOMP_UNREAD, TERMINAL_LEN, Valid,
};

use super::{Task, mark};
use crate::{
    globals::offset,
    kread::{Mem, Probed, pointer},
};

/// `SCHED_DEADLINE`.
const SCHED_DEADLINE: u32 = 6;
/// Indices of `signal_struct.rlim`.
const RLIMIT_CPU: u32 = 0;
const RLIMIT_RTTIME: u32 = 15;
/// `sizeof(struct rlimit)`: the soft limit, then the hard one.
const RLIMIT_SIZE: u32 = 16;
/// `RLIM_INFINITY`.
const UNLIMITED: u64 = u64::MAX;

impl<M: Mem> Task<M> {
    /// Fills the thread group of the tracer.
    #[inline(always)]
    pub fn tracer_tgid(self, tgid: &mut u32, valid: &mut u32) {
        *tgid = 0;
        let Some(ptrace) = self.get::<u32>(offset!(task_ptrace)) else { return };
        if ptrace == 0 {
            return mark(valid, Valid::PTRACE);
        }
        if let Some(parent) = self.task(offset!(task_parent))
            && let Some(tracer) = parent.tgid()
        {
            *tgid = tracer;
            mark(valid, Valid::PTRACE | Valid::TRACER);
        }
    }

    /// `SECCOMP_MODE_` number.
    #[inline(always)]
    pub fn seccomp_mode(self) -> u32 {
        self.get(offset!(task_seccomp_mode)).unwrap_or(SECCOMP_UNREAD)
    }

    /// The uid that was set at login; it survives setuid(2), sudo(8) and su(1).
    #[inline(always)]
    pub fn login_uid(self) -> u32 {
        self.get(offset!(task_loginuid)).unwrap_or(NO_LOGIN_UID)
    }

    /// Marks whether the task is in execve(2).
    #[inline(always)]
    pub fn in_execve(self, valid: &mut u32) {
        let mask = offset!(task_in_execve_mask);
        if let Some(byte) = self.get::<u8>(offset!(task_in_execve)) {
            mark(
                valid,
                if u32::from(byte) & mask == 0 { Valid::EXECVE } else { Valid::EXECVE | Valid::IN_EXECVE },
            );
        }
    }

    /// Fills the name of the controlling terminal. Another thread can release the terminal during the read. The buffer then holds
    /// bytes that are not a name, or the name of another terminal if the kernel has already reused the memory.
    #[inline(always)]
    pub fn terminal(self, name: &mut [u8; TERMINAL_LEN]) {
        *name = [0; TERMINAL_LEN];
        let at = offset!(tty_name);
        if at == probe_common::ABSENT {
            return;
        }
        let Some(signal) = self.signal() else { return };
        if let Some(tty) = pointer::<Probed>(signal, offset!(signal_tty)) {
            // SAFETY: the helper checks the address.
            let _ = unsafe { bpf_probe_read_kernel_str_bytes(tty.wrapping_add(at as usize), name) };
        }
    }

    /// The CPU time limits that are set: the hard ones if `is_kill`, else the soft ones.
    #[inline(always)]
    pub fn cpu_limits(self, is_kill: bool) -> u32 {
        let at = offset!(signal_rlim);
        if at == probe_common::ABSENT {
            return 0;
        }
        let Some(signal) = self.signal() else { return 0 };
        let hard = if is_kill { 8 } else { 0 };
        let limit = |index: u32| Probed::get::<u64>(signal, at + index * RLIMIT_SIZE + hard);
        let (Some(cpu), Some(rttime), Some(policy)) =
            (limit(RLIMIT_CPU), limit(RLIMIT_RTTIME), self.get::<u32>(offset!(task_policy)))
        else {
            return 0;
        };
        let mut limits = LIMIT_READ;
        if cpu != UNLIMITED {
            limits |= LIMIT_CPU;
        }
        if rttime != UNLIMITED {
            limits |= LIMIT_RTTIME;
        }
        if policy == SCHED_DEADLINE {
            limits |= LIMIT_DEADLINE;
        }
        limits
    }
}
