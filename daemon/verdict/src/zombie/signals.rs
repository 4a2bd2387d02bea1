//! What the parent makes of SIGCHLD, and why that is not enough.

use super::Case;
use crate::{Code, Verdict};
use lineage::flags::SIGCHLD;

pub(super) fn sigchld_blocked(case: &Case<'_>) -> Option<Verdict> {
    let process = case.process()?;
    if process.blocks_sigchld()? && case.handles_sigchld() {
        let by_signalfd = process.signalfd == Some(true);
        if by_signalfd && case.is_pending() == Some(false) {
            return None;
        }
        let who = case.who();
        let summary = if by_signalfd {
            format!("{who} is to learn of its dead children by a signalfd, and does not read it")
        } else {
            format!("{who} blocks SIGCHLD: the handler that would reap its children never runs")
        };
        let verdict = Verdict::certain(Code::SigchldBlocked, summary)
            .since_all(case.disposition())
            .since_all(case.never())
            .since_all(case.whereabouts())
            .since_all(case.debts())
            .remedy(format!(
                "it must unblock SIGCHLD (a signal mask is inherited through fork and exec: look at who started it too) or wait without the signal; {}",
                case.way_out()
            ));
        return Some(case.blame(verdict));
    }
    None
}

pub(super) fn ignored_too_late(case: &Case<'_>) -> Option<Verdict> {
    if !case.process()?.ignored?.has(SIGCHLD) {
        return None;
    }
    let who = case.who();
    let verdict = Verdict::certain(
        Code::IgnoredTooLate,
        format!(
            "{who} ignores SIGCHLD, but did not yet when this child died: later children vanish by themselves, this one does not"
        ),
    );
    let verdict = verdict.since_all(case.disposition()).since_all(case.debts()).remedy(format!(
        "one wait of it after it began to ignore SIGCHLD takes those left; {}",
        case.way_out()
    ));
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
            "{who} reaps one child per SIGCHLD, and this one died while such a signal was pending already: the kernel merges them"
        ),
    );
    let verdict = verdict
        .since_all(case.disposition())
        .since("it has waited for other children, and no SIGCHLD is pending for it any more")
        .since_all(case.whereabouts())
        .since_all(case.debts())
        .remedy(format!(
            "its handler must loop: while (waitpid(-1, .., WNOHANG) > 0). Now: kill -CHLD {} makes it take one more child",
            case.pid()
        ));
    Some(case.blame(verdict))
}
