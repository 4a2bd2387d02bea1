//! The parent reads what its child writes, and waits for the child after that. The read ends when the last process that has
//! the pipe open for writing closes it, which a process in the background may never do. A write to a full pipe and a wait for
//! a file lock end when another process reads or unlocks.

use super::Case;
use crate::{Code, Verdict, facts::HeldCall};

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
    let HeldCall { tid, fd, is_lock, by } = case.process()?.held_call.as_ref()?;
    // A handler runs during such a call.
    if case.blocked_thread()?.tid != *tid {
        return None;
    }
    let (who, pid) = (case.who(), case.pid());
    let other = by.as_ref().map_or_else(|| "another process".into(), ToString::to_string);
    let (summary, evidence, remedy) = if *is_lock {
        (
            format!(
                "{who} waits for a file lock that {other} holds; it may wait for its child only after that"
            ),
            format!("thread {tid} of pid {pid} sits in flock(2) or fcntl(2) of descriptor {fd}"),
            format!("find out why {other} keeps that lock"),
        )
    } else {
        (
            format!(
                "{who} writes to a pipe that is full, as {other} has not read it; it may wait for its child only after that"
            ),
            format!("thread {tid} of pid {pid} sits in write(2) to descriptor {fd}, a pipe"),
            format!("find out why {other} does not read: with that the write goes on"),
        )
    };
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
