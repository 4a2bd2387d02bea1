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

use super::{
    Procfs, Sight, Stat, is_gone, list, read, read_up_to,
    system_call::{argument, awaits_events, call},
    value,
};
use crate::{
    lineage::{
        Arguments,
        flags::SIGCHLD,
        id::{GroupKey, Tgid, Tid},
    },
    verdict::facts::{Call, ProcessFacts, Signals, ThreadFacts},
};

/// The most threads of one process that are read.
const MOST_THREADS: usize = 256;

/// The most descriptors of one process that are searched for a signalfd.
const MOST_DESCRIPTORS: usize = 4096;

/// A thread that is in state D, or that blocks SIGCHLD, is read again after this time, because it may be so only for an instant.
const SECOND_READ: Duration = Duration::from_millis(30);

/// A process in state T is read again after this time: cpulimit(1) stops and continues a process ten times a second.
const SECOND_READ_OF_STOP: Duration = Duration::from_millis(110);

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

    /// Reads the facts of a process. The error says why there are none, in the words of a verdict.
    pub fn facts(&self, key: GroupKey) -> Result<ProcessFacts, String> {
        if self.is_absent() {
            return Err("the recorded host at that time: a recording does not have its /proc".into());
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

/// Returns `None` if the thread is gone. A thread that cannot be read is an error, because leaving it out would make it look gone.
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
        // The flags are needed only for threads in state D or t; for other threads, SigPnd shows the signal that ends them.
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
        // The process is stopped and continued in turn.
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
