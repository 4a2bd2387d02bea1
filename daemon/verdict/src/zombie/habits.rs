//! How the parent waits for its children in general.

use super::Case;
use crate::{Certainty, Code, Verdict, duration};

/// A parent may take this long until it waits, ns.
const WAITS_WITHIN_NS: u64 = 1_000_000_000;

pub(super) fn just_died(case: &Case<'_>) -> Option<Verdict> {
    let age = case.age_at_most();
    let is_idle =
        case.has_waited() == Some(false) && case.process().is_some_and(|it| it.waits().next().is_none());
    if age >= WAITS_WITHIN_NS || (is_idle && age >= WAITS_WITHIN_NS / 2) {
        return None;
    }
    let verdict = Verdict::likely(
        Code::JustDied,
        format!("it died at most {} ago: {} may be about to wait for it", duration(age), case.who()),
    );
    Some(verdict.remedy("ask again in a moment".into()))
}

pub(super) fn never_waits(case: &Case<'_>) -> Option<Verdict> {
    if case.has_waited()? {
        return None;
    }
    let who = case.who();
    let summary = if case.exec_at().is_some() {
        format!("{who} has not waited for any child since its last exec")
    } else {
        format!("{who} has never waited for any child")
    };
    // It may be in its first wait(2), which skips this child.
    let knows_calls =
        case.process().is_some_and(|process| process.live().any(|thread| thread.call.is_some()));
    let is_watched = case.is_watched_from_its_beginning();
    let certainty = if knows_calls { case.certainty_of_never() } else { Certainty::Likely };
    let verdict = Verdict::new(Code::NeverWaits, certainty, summary);
    let source = if is_watched {
        format!("taskscope has observed it since {}: it has reaped no child", case.since_when())
    } else {
        "the kernel's counters of its waited-for children (cutime, cminflt) are zero".into()
    };
    let woken = case.has_handled_without_wait().then(|| {
        format!(
            "first: kill -CHLD {}, which does no harm: a handler that only sets a flag for a loop loses a signal that comes right before the loop goes to sleep",
            case.pid()
        )
    });
    let remedy = "at each SIGCHLD it must call waitpid(-1, .., WNOHANG) until no dead child is left, or ignore SIGCHLD if it needs no status";
    let verdict = verdict
        .since(source)
        .since_all(case.disposition())
        .since_all(case.whereabouts())
        .since_all(case.sits_in())
        .since_all(
            woken
                .is_some()
                .then(|| "that handler has run, as no SIGCHLD is pending, and has not waited".to_owned()),
        )
        .since_all(case.debts());
    let remedy = woken.map_or_else(|| remedy.to_owned(), |woken| format!("{woken}; {remedy}"));
    let verdict = verdict.remedy(case.or_now(&remedy));
    Some(case.blame(verdict))
}

/// The last resort: the parent could wait and does not.
pub(super) fn not_waited_for(case: &Case<'_>) -> Verdict {
    let who = case.who();
    if case.parent.is_none() {
        return Verdict::likely(
            Code::Unknown,
            "the reason is not known, because its parent is not known".into(),
        );
    }
    if case.has_waited() != Some(true) {
        let verdict = Verdict::likely(
            Code::Unknown,
            format!("{who} does not wait for it; the facts that could be read do not show why"),
        );
        return case
            .blame(verdict.since_all(case.disposition()).since_all(case.debts()).remedy_of(case.way_out()));
    }
    let verdict = Verdict::likely(
        Code::NotWaitedFor,
        format!("{who} waits for some of its children, but has not waited for this one"),
    );
    let verdict = verdict
        .since(case.waited_for_others())
        .since_all(case.disposition())
        .since_all(case.whereabouts())
        .since_all(case.sits_in())
        .since_all(case.debts())
        .remedy(
            "it must wait for each of its children (in Python: poll() or wait() of each Popen), or for any child (waitpid(-1))".into(),
        );
    case.blame(verdict)
}
