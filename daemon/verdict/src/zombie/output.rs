//! The parent reads what its child writes, and waits for the child after that. The read ends when the last process that has
//! the pipe open for writing closes it, which a process in the background may never do. A write to a full pipe and a wait for
//! a file lock end when another process reads or unlocks.

use super::Case;
use crate::{
    Code, Verdict,
    facts::{HeldCall, HeldOn},
};

pub(super) fn reads_output_first(case: &Case<'_>) -> Option<Verdict> {
    let read = case.process()?.pipe_read.as_ref()?;
    let (who, writer) = (case.who(), &read.writer);
    let verdict = Verdict::likely(
        Code::ReadsOutputFirst,
        format!(
            "{who} reads from a pipe that {writer} still has open for writing; it may wait for its child only after that"
        ),
    );
    let verdict = verdict
        .since(format!(
            "thread {} of pid {} is in read(2) or poll(2) of descriptor {}, a pipe that {writer} has open for writing",
            read.tid,
            case.pid(),
            read.fd
        ))
        .since("such a read ends when the last writer has closed the pipe; a background command of a shell inherits the shell's output")
        .since_all(case.debts())
        .remedy(format!(
            "find out why {writer} still runs: when it ends, the read ends too. Start it with its output elsewhere (`helper >/dev/null 2>&1 &`), or let the parent wait for its child before it reads to the end"
        ))
        .by(writer.clone());
    Some(verdict)
}

pub(super) fn blocked_elsewhere(case: &Case<'_>) -> Option<Verdict> {
    let HeldCall { tid, on, by } = case.process()?.held_call.as_ref()?;
    if case.blocked_thread()?.tid != *tid {
        return None;
    }
    let (who, pid) = (case.who(), case.pid());
    let other = by.as_ref().map_or_else(|| "another process".into(), ToString::to_string);
    let (does, evidence, remedy) = match on {
        HeldOn::Lock(fd) => (
            format!("waits for a file lock that {other} holds"),
            format!("thread {tid} of pid {pid} sits in flock(2) or fcntl(2) of descriptor {fd}"),
            format!("find out why {other} keeps that lock"),
        ),
        HeldOn::Pipe(fd) => (
            format!("writes to a pipe that is full, as {other} has not read it"),
            format!("thread {tid} of pid {pid} sits in write(2) to descriptor {fd}, a pipe"),
            format!("find out why {other} does not read: once it reads, the write goes on"),
        ),
        HeldOn::Socket(fd) => (
            "sends to a socket whose receiver does not read".to_owned(),
            format!("thread {tid} of pid {pid} sits in a send to descriptor {fd}, a socket"),
            format!(
                "find out why the receiver does not read: lsof -E -p {pid} or ss -xp shows it (for syslog(3), the process that reads /dev/log)"
            ),
        ),
        HeldOn::Fifo => (
            "opens a FIFO that no other process has open at the other end".to_owned(),
            format!("thread {tid} of pid {pid} sits in open(2) of a FIFO"),
            "start the process that opens the other end, or open it once: `cat FIFO`, or `: > FIFO`"
                .to_owned(),
        ),
    };
    let summary = format!("{who} {does}; it may wait for its child only after that");
    let look = by.as_ref().map(|by| format!(": taskscope explain {}", by.key.tgid)).unwrap_or_default();
    let verdict = Verdict::likely(Code::BlockedElsewhere, summary)
        .since(evidence)
        .since_all(case.whereabouts())
        .since_all(case.debts())
        .remedy(format!("{remedy}{look}"));
    Some(match by {
        Some(by) => verdict.by(by.clone()),
        None => case.blame(verdict),
    })
}
