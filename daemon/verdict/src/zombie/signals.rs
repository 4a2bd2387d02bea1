//! The parent does not get SIGCHLD, or does not handle it correctly.

use super::Case;
use crate::facts::{Call, ProcessFacts, ThreadFacts};
use crate::{Certainty, Code, Verdict};
use lineage::flags::SIGCHLD;

pub(super) fn sigchld_blocked(case: &Case<'_>) -> Option<Verdict> {
    let process = case.process()?;
    let has_handler = process.caught?.has(SIGCHLD);
    if !has_handler || !process.blocks_sigchld()? {
        return None;
    }
    if process.has_temporary_mask() || case.has_waited() == Some(true) {
        return Some(blocked_for_now(case, process));
    }
    let summary =
        format!("{} blocks SIGCHLD: the handler that would reap its children does not run", case.who());
    // It may block the signal for one call only, so it must have left the call that the first poll found.
    let has_run = process.live().any(|thread| thread.has_run == Some(true));
    let certainty = if has_run && case.is_overdue() { Certainty::Certain } else { Certainty::Likely };
    let deadlock = in_handler(case);
    let remedy = if deadlock.is_some() {
        DEADLOCK_REMEDY
    } else {
        "it must unblock SIGCHLD (a signal mask is inherited through fork and exec: look at who started it too) or wait without the signal"
    };
    let verdict = Verdict::new(Code::SigchldBlocked, certainty, summary)
        .since_all(case.disposition())
        .since_all(case.never())
        .since_all(case.whereabouts())
        .since_all(deadlock)
        .since_all(case.sits_in())
        .since_all(case.debts())
        .remedy(case.or_now(remedy));
    Some(case.blame(verdict))
}

const DEADLOCK_REMEDY: &str = "look at its stack (gdb -p PID -batch -ex 'thread apply all bt'): <signal handler called> above a lock is a deadlock. A handler may call only async-signal-safe functions: no malloc(3), printf(3) or mutex";

/// Returns, as evidence, a possible deadlock: a handler of SIGCHLD that takes a lock which the interrupted code holds waits for
/// ever, with SIGCHLD blocked.
fn in_handler(case: &Case<'_>) -> Option<String> {
    let blocks = |thread: &&ThreadFacts| thread.blocked.is_some_and(|blocked| blocked.has(SIGCHLD));
    let thread = case.process()?.live().filter(blocks).find(|thread| thread.call == Some(Call::Futex))?;
    Some(format!(
        "thread {} waits for a lock in futex(2): if it does so in its handler for SIGCHLD, during which that signal is blocked, that is a deadlock",
        thread.tid
    ))
}

fn blocked_for_now(case: &Case<'_>, process: &ProcessFacts) -> Verdict {
    let who = case.who();
    let (summary, call) = if process.has_temporary_mask() {
        (
            format!(
                "{who} blocks SIGCHLD for now: it is in a call that sets another signal mask until it returns"
            ),
            "one of its threads is in ppoll(2), pselect6(2), epoll_pwait(2) or rt_sigsuspend(2)",
        )
    } else {
        (
            format!("{who} blocks SIGCHLD for now, possibly only during its current system call"),
            "it has waited for other children, so it unblocks the signal at times",
        )
    };
    let deadlock = in_handler(case);
    let remedy = match deadlock {
        Some(_) => format!("wait until that call returns and look again. If it does not: {DEADLOCK_REMEDY}"),
        None => "wait until that call returns and look again: the handler runs then".into(),
    };
    let verdict = Verdict::likely(Code::SigchldBlockedForNow, summary)
        .since(call)
        .since_all(case.disposition())
        .since_all(case.whereabouts())
        .since_all(deadlock)
        .since_all(case.debts())
        .remedy(remedy);
    case.blame(verdict)
}

pub(super) fn signalfd_not_read(case: &Case<'_>) -> Option<Verdict> {
    let process = case.process()?;
    if process.signalfd != Some(true) || !process.blocks_sigchld()? || case.is_pending() != Some(true) {
        return None;
    }
    let who = case.who();
    let summary = format!("{who} uses a signalfd for SIGCHLD and does not read it");
    // A parent that reaps other children, or whose child has died just now, may only be busy.
    let reaps = case.has_waited() == Some(true);
    let certainty = if reaps || !case.is_overdue() { Certainty::Likely } else { Certainty::Certain };
    let verdict = Verdict::new(Code::SignalfdNotRead, certainty, summary)
        .since_all(case.disposition())
        .since_all(case.never())
        .since_all(case.whereabouts())
        .since_all(case.debts())
        .remedy(case.or_now(
            "it must read the signalfd, and then call waitpid(-1, .., WNOHANG) until no dead child is left: one SIGCHLD can stand for several children",
        ));
    Some(case.blame(verdict))
}

/// `sig_ignored()` drops a signal that is ignored by default and not blocked in the thread it is sent to: the one that forked.
pub(super) fn sigwait_never_returns(case: &Case<'_>) -> Option<Verdict> {
    let process = case.process()?;
    if process.caught?.has(SIGCHLD) || process.ignored?.has(SIGCHLD) || process.signalfd == Some(true) {
        return None;
    }
    let forker = case.parent_thread?;
    let waits = |thread: &&ThreadFacts| match thread.call {
        Some(Call::SignalWait(signals)) => signals.is_none_or(|signals| signals.has(SIGCHLD)),
        _ => false,
    };
    let waiter = process.live().find(waits).filter(|waiter| waiter.tid != forker)?;
    if process.live().find(|thread| thread.tid == forker)?.blocked?.has(SIGCHLD) {
        return None;
    }
    let (who, tid) = (case.who(), waiter.tid);
    let is_known = matches!(waiter.call, Some(Call::SignalWait(Some(_))));
    let certainty = if is_known { Certainty::Certain } else { Certainty::Likely };
    let verdict = Verdict::new(
        Code::SigwaitNeverReturns,
        certainty,
        format!("{who} waits for SIGCHLD in sigwait(3), but the kernel drops the signal before sigwait(3) sees it"),
    )
    .since(format!(
        "thread {tid} is in rt_sigtimedwait(2); thread {forker}, which forked the child, does not block SIGCHLD"
    ))
    .since(
        "a signal that is ignored by default and not blocked is dropped (sig_ignored() in kernel/signal.c)",
    )
    .since_all(case.debts())
    .remedy(case.or_now(
        "it must block SIGCHLD in every thread: with pthread_sigmask(3) in main(), before it creates threads",
    ));
    Some(case.blame(verdict))
}

pub(super) fn ignored_too_late(case: &Case<'_>) -> Option<Verdict> {
    if !case.process()?.ignored?.has(SIGCHLD) {
        return None;
    }
    let who = case.who();
    if case.is_traced_by_its_parent() {
        let summary =
            format!("{who} ignores SIGCHLD, but traces this child: a dead tracee needs a wait of its tracer");
        let verdict = Verdict::certain(Code::HeldByTracer, summary)
            .since_all(case.disposition())
            .since(format!("TracerPid of the zombie is its parent's, {}", case.pid()))
            .since("do_notify_parent() in kernel/signal.c never releases a tracee without a wait")
            .since_all(case.debts())
            .remedy(case.or_now(
                "it must wait for its tracee (waitpid with __WALL), or detach before the tracee ends",
            ));
        return Some(case.blame(verdict));
    }
    let verdict = Verdict::certain(
        Code::IgnoredTooLate,
        format!(
            "{who} ignores SIGCHLD, but did not ignore it when this child died: the kernel releases later children without a wait, but not this one"
        ),
    );
    let verdict = verdict.since_all(case.disposition()).since_all(case.debts()).remedy(
        case.or_now("it must wait once more after it began to ignore SIGCHLD, to reap the earlier children"),
    );
    Some(case.blame(verdict))
}

/// `SA_NOCLDWAIT` is not shown in /proc: that the kernel releases other children shows it.
pub(super) fn nocldwait_too_late(case: &Case<'_>) -> Option<Verdict> {
    let released = case.autoreaped();
    if released == 0 || case.process()?.ignored?.has(SIGCHLD) {
        return None;
    }
    let who = case.who();
    let summary = format!(
        "{who} has set SA_NOCLDWAIT, but had not when this child died: the kernel releases later children without a wait, but not this one"
    );
    let verdict = Verdict::likely(Code::IgnoredTooLate, summary)
        .since(format!("the kernel has released {released} of its children without a wait"))
        .since_all(case.disposition())
        .since_all(case.debts())
        .remedy("it must wait once more after it has set SA_NOCLDWAIT, to reap the earlier children".into());
    Some(case.blame(verdict))
}

pub(super) fn sigchld_coalesced(case: &Case<'_>) -> Option<Verdict> {
    if !case.has_waited()? || !case.handles_sigchld() || case.is_pending()? {
        return None;
    }
    let who = case.who();
    let verdict = Verdict::likely(
        Code::SigchldCoalesced,
        format!(
            "{who} reaps one child per SIGCHLD, and this one died while a SIGCHLD was already pending: the kernel merges the two signals"
        ),
    );
    let verdict = verdict
        .since_all(case.disposition())
        .since(case.waited_for_others())
        .since("no SIGCHLD is pending for it now")
        .since_all(case.whereabouts())
        .since_all(case.debts())
        .remedy(format!(
            "its handler must loop: while (waitpid(-1, .., WNOHANG) > 0). Now: kill -CHLD {} makes it take one more child",
            case.pid()
        ));
    Some(case.blame(verdict))
}
