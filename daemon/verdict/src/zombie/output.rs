//! The parent reads what its child writes, and waits for the child after that. The read ends when the last process that has the
//! pipe open for writing closes it, which a process in the background may never do.

use super::Case;
use crate::{Code, Verdict};

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
