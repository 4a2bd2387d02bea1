//! The system call that a thread is in, by the text of /proc/PID/syscall.

use crate::verdict::facts::{Call, WaitCall, WaitTarget};

/// `WEXITED` of waitid(2).
const WEXITED: u32 = 4;

/// `P_ALL`, `P_PID`, `P_PGID`, `P_PIDFD` of waitid(2).
const WAITID_KINDS: [u64; 4] = [0, 1, 2, 3];

/// Calls that set another signal mask until they return, and which argument holds the mask; null leaves the mask unchanged.
const TEMPORARY_MASKS: [(i64, usize); 5] = [
    (libc::SYS_ppoll, 3),
    // The argument is a structure with the pointer, which is not read.
    (libc::SYS_pselect6, 5),
    (libc::SYS_epoll_pwait, 4),
    (libc::SYS_epoll_pwait2, 4),
    (libc::SYS_rt_sigsuspend, 0),
];

/// Calls that wait for what another process sends.
const READS: [i64; 7] = [
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_accept,
    libc::SYS_accept4,
];

/// Calls that wait until another process takes what they send.
const WRITES: [i64; 6] = [
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_connect,
];

/// `IORING_ENTER_GETEVENTS` of `io_uring_enter(2)`.
const RING_GETEVENTS: u64 = 1;

/// `F_SETLKW` and `F_OFD_SETLKW` of fcntl(2).
const LOCK_WAITS: [u64; 2] = [7, 38];

/// `FUTEX_WAIT`, `FUTEX_LOCK_PI`, `FUTEX_WAIT_BITSET`, `FUTEX_LOCK_PI2` of futex(2).
const FUTEX_WAITS: [u64; 4] = [0, 6, 9, 13];

/// Requests of ioctl(2) for which the kernel calls `tty_check_change()`: `TCSETS`, `TCSETSW`, `TCSETSF`, `TCSETA`, `TCSETAW`, `TCSETAF`,
/// `TCSBRK`, `TCXONC`, `TCFLSH`, `TIOCSPGRP`, `TCSBRKP`, `TCSETS2`, `TCSETSW2`, `TCSETSF2`.
const TERMINAL_REQUESTS: [u32; 14] = [
    0x5402,
    0x5403,
    0x5404,
    0x5406,
    0x5407,
    0x5408,
    0x5409,
    0x540a,
    0x540b,
    0x5410,
    0x5425,
    0x402c_542b,
    0x402c_542c,
    0x402c_542d,
];

/// `FUTEX_CMD_MASK`: without `FUTEX_PRIVATE_FLAG` and `FUTEX_CLOCK_REALTIME`.
const FUTEX_COMMAND: u64 = !(128 | 256) & 0xffff_ffff;

/// Parses /proc/PID/syscall: number and arguments of the call that a thread is in.
pub(super) fn call(text: &str) -> Option<Call> {
    let mut words = text.split_whitespace();
    let first = words.next()?;
    if first == "running" {
        return Some(Call::Running);
    }
    let number: i64 = first.parse().ok()?;
    let args: Vec<u64> = words.map_while(argument).collect();
    let arg = |n: usize| args.get(n).copied();
    if number == libc::SYS_wait4 {
        // The kernel takes the lower half as pid_t.
        let pid = (arg(0)? as u32).cast_signed();
        let target = match pid {
            -1 => WaitTarget::Any,
            0 => WaitTarget::ProcessGroup(0),
            pid if pid < 0 => WaitTarget::ProcessGroup(pid.unsigned_abs()),
            pid => WaitTarget::Pid(pid.unsigned_abs()),
        };
        return Some(Call::Wait(WaitCall { target, options: arg(2)? as u32, exited: true }));
    }
    if number == libc::SYS_waitid {
        let id = arg(1)? as u32;
        let target = match WAITID_KINDS.iter().position(|&kind| Some(kind) == arg(0))? {
            0 => WaitTarget::Any,
            1 => WaitTarget::Pid(id),
            2 => WaitTarget::ProcessGroup(id),
            _ => WaitTarget::Pidfd,
        };
        let options = arg(3)? as u32;
        return Some(Call::Wait(WaitCall { target, options, exited: options & WEXITED != 0 }));
    }
    if number == libc::SYS_rt_sigtimedwait {
        return Some(Call::SignalWait(None));
    }
    if READS.contains(&number) {
        return Some(Call::Read(arg(0)? as u32));
    }
    if WRITES.contains(&number) {
        return Some(Call::Write(arg(0)? as u32));
    }
    if is_open(number) {
        return Some(Call::Open);
    }
    if number == libc::SYS_io_uring_enter && arg(2)? > 0 && arg(3)? & RING_GETEVENTS != 0 {
        return Some(Call::Ring);
    }
    if number == libc::SYS_flock || (number == libc::SYS_fcntl && LOCK_WAITS.contains(&arg(1)?)) {
        return Some(Call::Lock(arg(0)? as u32));
    }
    if number == libc::SYS_ioctl && TERMINAL_REQUESTS.contains(&(arg(1)? as u32)) {
        return Some(Call::SetTerminal(arg(0)? as u32));
    }
    if number == libc::SYS_futex && arg(3)? == 0 && FUTEX_WAITS.contains(&(arg(1)? & FUTEX_COMMAND)) {
        return Some(Call::Futex);
    }
    #[cfg(target_arch = "x86_64")]
    if number == libc::SYS_poll {
        return Some(Call::Poll(arg(0)?, arg(1)? as u32));
    }
    if number == libc::SYS_ppoll && arg(3)? == 0 {
        return Some(Call::Poll(arg(0)?, arg(1)? as u32));
    }
    if let Some(&(_, mask)) = TEMPORARY_MASKS.iter().find(|(call, _)| *call == number) {
        return Some(if arg(mask)? == 0 { Call::Other } else { Call::TemporaryMask });
    }
    #[cfg(target_arch = "x86_64")]
    if number == libc::SYS_vfork {
        return Some(Call::Vfork);
    }
    // The flags of clone3(2) are in the caller's memory.
    let may_vfork = number == libc::SYS_clone3
        || (number == libc::SYS_clone && arg(0)? & u64::from(libc::CLONE_VFORK.unsigned_abs()) != 0);
    Some(if may_vfork { Call::Vfork } else { Call::Other })
}

const fn is_open(number: i64) -> bool {
    #[cfg(target_arch = "x86_64")]
    if number == libc::SYS_open {
        return true;
    }
    number == libc::SYS_openat || number == libc::SYS_openat2
}

/// Whether a call waits for events and has no timeout, by the text of /proc/PID/syscall.
pub(super) fn awaits_events(text: &str) -> Option<bool> {
    let mut words = text.split_whitespace();
    let number: i64 = words.next()?.parse().ok()?;
    let args: Vec<u64> = words.map_while(argument).collect();
    let is = |n: usize, value: u64| args.get(n).is_some_and(|&arg| arg & 0xffff_ffff == value);
    // A timeout in ms is an int, and -1 means no timeout. A timeout that is passed by pointer is absent if the pointer is null.
    let endless = u64::from(u32::MAX);
    #[cfg(target_arch = "x86_64")]
    match number {
        libc::SYS_poll => return Some(is(2, endless)),
        libc::SYS_select => return Some(args.get(4) == Some(&0)),
        libc::SYS_epoll_wait => return Some(is(3, endless)),
        libc::SYS_pause => return Some(true),
        _ => {}
    }
    Some(match number {
        libc::SYS_ppoll => args.get(2) == Some(&0),
        libc::SYS_pselect6 => args.get(4) == Some(&0),
        libc::SYS_epoll_pwait => is(3, endless),
        libc::SYS_epoll_pwait2 => args.get(3) == Some(&0),
        libc::SYS_rt_sigsuspend => true,
        _ => false,
    })
}

pub(super) fn argument(word: &str) -> Option<u64> {
    u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::facts::WNOTHREAD;

    fn wait(target: WaitTarget, options: u32) -> Call {
        Call::Wait(WaitCall { target, options, exited: true })
    }

    #[test]
    fn a_wait_is_known_by_whom_it_takes() {
        let wait4 = |pid: &str, options: &str| {
            call(&format!("{} {pid} 0x7ffe {options} 0x0 0x0 0x0 0x7fff 0x7f00", libc::SYS_wait4))
        };
        assert_eq!(wait4("0xffffffffffffffff", "0x0"), Some(wait(WaitTarget::Any, 0)));
        assert_eq!(wait4("0xffffffff", "0x20000000"), Some(wait(WaitTarget::Any, WNOTHREAD)));
        assert_eq!(wait4("0x2a", "0x1"), Some(wait(WaitTarget::Pid(42), 1)));
        assert_eq!(wait4("0x0", "0x0"), Some(wait(WaitTarget::ProcessGroup(0), 0)));
        assert_eq!(wait4("0xffffffffffffffd6", "0x0"), Some(wait(WaitTarget::ProcessGroup(42), 0)));
        let waitid =
            |kind: &str| call(&format!("{} {kind} 0x2a 0x7ffe 0x4 0x0 0x0 0x1 0x2", libc::SYS_waitid));
        assert_eq!(waitid("0x0"), Some(wait(WaitTarget::Any, 4)));
        assert_eq!(waitid("0x1"), Some(wait(WaitTarget::Pid(42), 4)));
        assert_eq!(waitid("0x3"), Some(wait(WaitTarget::Pidfd, 4)));
        assert_eq!(waitid("0x9"), None, "a kind that is not known");
    }

    #[test]
    fn anything_else_a_thread_is_in_is_no_wait() {
        assert_eq!(call("running\n"), Some(Call::Running));
        assert_eq!(call("-1 0x7ffe 0x7f00"), Some(Call::Other));
        let other = format!("{} 0x3 0x7ffe 0x400 0x0 0x0 0x0 0x1 0x2", libc::SYS_close);
        assert_eq!(call(&other), Some(Call::Other));
        let clone = |flags: &str| call(&format!("{} {flags} 0x0 0x0 0x0 0x0 0x0 0x1 0x2", libc::SYS_clone));
        assert_eq!((clone("0x11"), clone("0x4111")), (Some(Call::Other), Some(Call::Vfork)));
        assert_eq!(call(""), None);
        assert_eq!(call("x"), None);
        assert_eq!(call(&format!("{} 0x1", libc::SYS_wait4)), None, "cut");
    }
}
