//! Why a zombie is one: each reason a function of the facts, asked in the order in which they exclude each other.

mod adopters;
mod case;
mod habits;
mod held;
mod signals;
mod waits;

pub(super) use self::case::Case;
use super::{Certainty, Verdict};

/// The reasons, the first that holds is the one.
const REASONS: [fn(&Case<'_>) -> Option<Verdict>; 15] = [
    held::held_by_tracer,
    held::parent_exiting,
    held::parent_stopped,
    held::parent_in_d_state,
    waits::exit_signal,
    waits::about_to_be_reaped,
    waits::wait_nothread,
    habits::just_died,
    adopters::init,
    adopters::subreaper,
    signals::sigchld_blocked,
    signals::ignored_too_late,
    waits::waits_for_another,
    habits::never_waits,
    signals::sigchld_coalesced,
];

pub(super) fn judge(case: &Case<'_>) -> Verdict {
    let mut verdict =
        REASONS.iter().find_map(|reason| reason(case)).unwrap_or_else(|| habits::not_waited_for(case));
    if verdict.certainty == Certainty::Likely {
        verdict.missing = case.missing();
    }
    verdict.evidence.extend(case.forked_by_thread());
    verdict
}
