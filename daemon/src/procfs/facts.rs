//! Facts about a process that a verdict needs: signals, states and system calls of its threads.

use std::{
    fs,
    io::{self, Read as _},
    os::unix::{ffi::OsStringExt as _, fs::FileExt as _},
    path::Path,
    thread::sleep,
    time::Duration,
};

use probe_common::ARGS_LEN;

use super::{Procfs, Sight, Stat, is_gone, list, read, read_up_to, value};
use crate::{
    lineage::{
        Arguments,
        flags::SIGCHLD,
        id::{GroupKey, Tgid, Tid},
    },
    verdict::facts::{Call, ProcessFacts, Signals, ThreadFacts, WaitCall, WaitTarget},
};

/// The most threads of one process that are read.
const MOST_THREADS: usize = 256;

/// The most descriptors of one process that are searched for a signalfd.
const MOST_DESCRIPTORS: usize = 4096;

/// A thread that is in state D, or that blocks SIGCHLD, is read again after this time: a moment of it means nothing.
const SECOND_READ: Duration = Duration::from_millis(30);

/// A process in state T is read again after this time: cpulimit(1) stops and continues a process ten times a second.
const SECOND_READ_OF_STOP: Duration = Duration::from_millis(110);

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

impl Procfs {
    /// Reads `/proc/PID/exe`; `None` for kernel threads and zombies, and if permission is denied.
    #[must_use]
    pub fn executable(&self, tgid: Tgid) -> Option<Vec<u8>> {
        let path = fs::read_link(self.root.join(format!("{tgid}/exe"))).ok()?;
        Some(path.into_os_string().into_vec())
    }

    /// Reads `/proc/PID/cmdline`, as much of it as an exec record has; `None` for kernel threads and zombies.
    #[must_use]
    pub fn arguments(&self, tgid: Tgid) -> Option<Arguments> {
        let mut text = Vec::new();
        let file = fs::File::open(self.root.join(format!("{tgid}/cmdline"))).ok()?;
        file.take(ARGS_LEN as u64 + 1).read_to_end(&mut text).ok()?;
        Arguments::of_cmdline(&text, ARGS_LEN)
    }

    /// Reads the facts of a process; the error says in words for a verdict why there are none.
    pub fn facts(&self, key: GroupKey) -> Result<ProcessFacts, String> {
        if self.is_absent() {
            return Err(
                "the host that was recorded, at that time: a recording has nothing else of its /proc".into(),
            );
        }
        let sight = self.sight();
        if sight == Sight::None {
            return Err("a /proc of the initial pid namespace, at /proc".into());
        }
        let pid = key.tgid;
        let stat = match self.stat(pid) {
            Ok(Some(stat)) => stat,
            Ok(None) if sight == Sight::Partial => {
                return Err(format!("a /proc that shows process {pid}: it is mounted with hidepid"));
            }
            Ok(None) => return Err("a live process: it ended before /proc was read".into()),
            Err(error) => return Err(format!("a readable /proc/{pid} ({error})")),
        };
        if key.start.is_some_and(|start| !self.began(&stat, start)) {
            return Err("a live process: another process has its pid now".into());
        }
        let directory = self.root.join(pid.to_string());
        let status = read(&directory.join("status"))
            .map_err(|error| format!("a readable /proc/{pid}/status ({error})"))?;
        let mut tids = self.tasks(pid).map_err(|error| format!("a readable /proc/{pid}/task ({error})"))?;
        let threads_omitted = tids.len().saturating_sub(MOST_THREADS);
        tids.truncate(MOST_THREADS);
        let unreadable = |error| format!("a readable /proc/{pid}/task ({error})");
        let mut threads = Vec::new();
        for tid in tids {
            threads.extend(thread(&directory, tid).map_err(unreadable)?);
        }
        read_again(&directory, &mut threads).map_err(unreadable)?;
        let mut facts = ProcessFacts {
            ignored: mask(&status, "SigIgn"),
            caught: mask(&status, "SigCgt"),
            pending: mask(&status, "ShdPnd"),
            namespace_pids: value(&status, "NSpid")
                .map(|pids| pids.split_whitespace().filter_map(|pid| pid.parse().ok()).collect())
                .unwrap_or_default(),
            has_waited: stat.children_used,
            signalfd: signalfd(&directory).ok(),
            executable: self.executable(pid),
            is_dumping_core: value(&status, "CoreDumping") == Some("1"),
            frozen: None,
            throttled: None,
            background: None,
            pipe_read: None,
            held_call: None,
            threads,
            threads_omitted,
        };
        facts.background = self.background_stop(pid, &facts);
        Ok(facts)
    }
}

/// Returns `None` if the thread is gone. A thread that cannot be read is an error: leaving it out would make it look gone.
fn thread(process: &Path, tid: Tid) -> io::Result<Option<ThreadFacts>> {
    let directory = process.join("task").join(tid.to_string());
    let status = match read(&directory.join("status")) {
        Ok(status) => status,
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let state = state_of(&status);
    let text = |name: &str| String::from_utf8(read(&directory.join(name)).ok()?).ok();
    let syscall = text("syscall");
    let wchan = text("wchan").filter(|place| place != "0" && !place.is_empty());
    Ok(Some(ThreadFacts {
        tid,
        state,
        blocked: mask(&status, "SigBlk"),
        has_run: None,
        // Other threads have the signal that ends them in SigPnd.
        flags: matches!(state, Some(b'D' | b't')).then(|| flags(&directory)).flatten(),
        pending: mask(&status, "SigPnd"),
        switches: switches(&status),
        tracer: value(&status, "TracerPid").and_then(|tracer| tracer.parse().ok()),
        call: syscall.as_deref().and_then(call).map(|call| match call {
            Call::SignalWait(_) => {
                Call::SignalWait(syscall.as_deref().and_then(|syscall| awaited_signals(&directory, syscall)))
            }
            call => call,
        }),
        awaits_events: syscall.as_deref().and_then(awaits_events).unwrap_or(false),
        wchan,
        sleep: None,
    }))
}

impl Procfs {
    /// Whether every thread in state R has got no CPU for [`SECOND_READ`], by the time that /proc/PID/task/TID/schedstat shows.
    pub(crate) fn gets_no_cpu(&self, pid: Tgid, facts: &ProcessFacts) -> bool {
        let ran = || -> Option<Vec<u64>> {
            let ready = facts.live().filter(|thread| thread.state == Some(b'R'));
            let of = |thread: &ThreadFacts| {
                let file = self.root.join(format!("{pid}/task/{}/schedstat", thread.tid));
                String::from_utf8(read(&file).ok()?).ok()?.split_whitespace().next()?.parse().ok()
            };
            ready.map(of).collect()
        };
        let before = ran();
        sleep(SECOND_READ);
        before.is_some_and(|before| !before.is_empty() && ran().as_ref() == Some(&before))
    }
}

/// Returns a task's `PF_` bits.
fn flags(task: &Path) -> Option<u32> {
    Some(Stat::parse(&read(&task.join("stat")).ok()?).ok()?.flags)
}

/// Returns the set that `rt_sigtimedwait(2)` was given, from the caller's memory.
fn awaited_signals(thread: &Path, call: &str) -> Option<Signals> {
    let address = argument(call.split_whitespace().nth(1)?)?;
    let mut set = [0; 8];
    fs::File::open(thread.join("mem")).ok()?.read_exact_at(&mut set, address).ok()?;
    Some(Signals(u64::from_ne_bytes(set)))
}

/// Returns how often the thread was switched out, voluntarily or not.
fn switches(status: &[u8]) -> Option<u64> {
    let count = |key| value(status, key)?.parse::<u64>().ok();
    Some(count("voluntary_ctxt_switches")?.wrapping_add(count("nonvoluntary_ctxt_switches")?))
}

/// Reads threads in state D again, and keeps that state only for those that are still in it. If every thread blocks SIGCHLD
/// or is stopped, reads all again and keeps what they still block.
fn read_again(process: &Path, threads: &mut [ThreadFacts]) -> io::Result<()> {
    let blocks = |thread: &ThreadFacts| thread.blocked.is_some_and(|blocked| blocked.has(SIGCHLD));
    let all_block = threads.iter().filter(|thread| thread.is_live()).all(blocks);
    let all_stopped = threads.iter().filter(|thread| thread.is_live()).all(|it| it.state == Some(b'T'));
    let is_wanted =
        |thread: &ThreadFacts| thread.is_live() && (all_block || all_stopped || thread.state == Some(b'D'));
    if !threads.iter().any(is_wanted) {
        return Ok(());
    }
    sleep(if all_stopped { SECOND_READ_OF_STOP } else { SECOND_READ });
    for known in threads.iter_mut().filter(|thread| is_wanted(thread)) {
        match thread(process, known.tid)? {
            Some(again) => *known = both(known, again),
            None => known.state = Some(b'X'),
        }
    }
    Ok(())
}

/// Returns what two readings of a thread agree on.
fn both(first: &ThreadFacts, again: ThreadFacts) -> ThreadFacts {
    let slept_on = first.wchan == again.wchan;
    let has_run = match (first.switches, again.switches) {
        (Some(first), Some(now)) => Some(first != now || again.call == Some(Call::Running)),
        _ => None,
    };
    let state = match (first.state, again.state) {
        // Somebody stops and continues it in turn.
        (Some(b'T'), Some(state)) if has_run == Some(true) && !matches!(state, b'Z' | b'X') => first.state,
        (Some(b'D'), Some(b'D')) if slept_on => again.state,
        (_, Some(b'D')) => None,
        _ => again.state,
    };
    let blocked = match (first.blocked, again.blocked) {
        (Some(first), Some(again)) => Some(Signals(first.0 & again.0)),
        _ => None,
    };
    ThreadFacts { state, blocked, has_run, ..again }
}

fn mask(status: &[u8], key: &str) -> Option<Signals> {
    u64::from_str_radix(value(status, key)?, 16).ok().map(Signals)
}

fn state_of(status: &[u8]) -> Option<u8> {
    value(status, "State")?.bytes().next()
}

/// Parses /proc/PID/syscall: number and arguments of the call that a thread is in.
fn call(text: &str) -> Option<Call> {
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
fn awaits_events(text: &str) -> Option<bool> {
    let mut words = text.split_whitespace();
    let number: i64 = words.next()?.parse().ok()?;
    let args: Vec<u64> = words.map_while(argument).collect();
    let is = |n: usize, value: u64| args.get(n).is_some_and(|&arg| arg & 0xffff_ffff == value);
    // The kernel takes a timeout in ms as int, and a null pointer as none.
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

fn argument(word: &str) -> Option<u64> {
    u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}

/// The fdinfo of a signalfd has three lines. Another descriptor may have replaced it, whose fdinfo can be as long as its process
/// wants.
const FDINFO_MAX: usize = 4096;

/// Returns whether it has a signalfd that reads SIGCHLD.
fn signalfd(process: &Path) -> io::Result<bool> {
    for entry in list(&process.join("fd"))?.take(MOST_DESCRIPTORS) {
        let entry = entry?;
        match fs::read_link(entry.path()) {
            Ok(target) if target.as_os_str() == "anon_inode:[signalfd]" => {}
            _ => continue,
        }
        let info = match read_up_to(&process.join("fdinfo").join(entry.file_name()), FDINFO_MAX) {
            Ok(info) => info,
            // The descriptor was closed in the meantime.
            Err(error) if is_gone(&error) => continue,
            // A descriptor that replaced it has more lines than a signalfd.
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => continue,
            Err(error) => return Err(error),
        };
        if mask(&info, "sigmask").is_some_and(|signals| signals.has(SIGCHLD)) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::facts::WNOTHREAD;

    const STATUS: &[u8] = b"Name:\ta\\nSigCgt:\t1\nState:\tT (stopped)\nTracerPid:\t7\nNSpid:\t900\t12\t1\n\
        ShdPnd:\t0000000000010000\nSigBlk:\t0000000000010001\nSigIgn:\t0000000000001000\nSigCgt:\t0000000000010000\n";

    #[test]
    fn a_status_is_read_by_its_keys() {
        assert_eq!(state_of(STATUS), Some(b'T'));
        assert_eq!(value(STATUS, "NSpid"), Some("900\t12\t1"));
        assert!(mask(STATUS, "SigCgt").unwrap().has(SIGCHLD));
        assert!(!mask(STATUS, "SigIgn").unwrap().has(SIGCHLD));
        assert_eq!(mask(STATUS, "SigPnd"), None, "what is not there is not known");
    }

    #[test]
    fn every_cut_of_a_status_is_understood_or_not_known() {
        for len in 0..STATUS.len() {
            let cut = STATUS.get(..len).unwrap();
            let _ = (state_of(cut), mask(cut, "SigBlk"), value(cut, "NSpid"));
        }
    }

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

    #[test]
    fn this_process_is_seen_as_it_is() {
        let me = std::process::id();
        let key = GroupKey { tgid: Tgid(me), start: None };
        let facts = match Procfs::default().facts(key) {
            Ok(facts) => facts,
            // The test runs in a pid namespace of its own.
            Err(why) => return assert!(why.contains("namespace"), "{why}"),
        };
        assert_eq!(facts.threads.first().map(|thread| thread.tid), Some(Tid(me)));
        assert_eq!(facts.namespace_pids.first(), Some(&me));
        assert_eq!(facts.signalfd, Some(false));
        assert!(facts.ignored.unwrap().has(libc::SIGPIPE), "Rust's runtime ignores it");
        let other = GroupKey { start: Some(crate::lineage::id::Ktime(1)), ..key };
        assert!(Procfs::default().facts(other).unwrap_err().contains("another"), "the pid of another life");
    }
}
