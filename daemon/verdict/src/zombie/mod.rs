//! Reasons why a zombie is not reaped. Each reason is a function of the facts; the first in [`REASONS`] that applies is the
//! verdict.
//!
//! | file | reasons |
//! |---|---|
//! | `case` | the zombie, its parent and other processes that can act: the input of the reasons |
//! | `held` | a tracer, a stop or an uninterruptible sleep holds the parent |
//! | `output` | the parent reads output before it waits, or is blocked in a write or by a lock |
//! | `waits` | the parent waits, but for other children |
//! | `signals` | the parent does not get SIGCHLD, or does not handle it |
//! | `habits` | the parent has never waited, or waits for some children |
//! | `exec` | the parent forked the child before its last exec |
//! | `adopters` | the parent is an init or a subreaper |

mod adopters;
mod case;
mod exec;
mod habits;
mod held;
mod output;
mod signals;
mod waits;

pub(super) use self::case::Case;
use super::{Certainty, Verdict};

/// The reasons in order: the first that applies is the verdict.
const REASONS: [fn(&Case<'_>) -> Option<Verdict>; 24] = [
    held::held_by_tracer,
    held::parent_exiting,
    held::parent_frozen,
    held::parent_stopped,
    held::parent_in_d_state,
    held::parent_throttled,
    waits::exit_signal,
    waits::about_to_be_reaped,
    waits::wait_nothread,
    habits::just_died,
    exec::forked_before_exec,
    adopters::init,
    adopters::subreaper,
    signals::signalfd_not_read,
    signals::sigwait_never_returns,
    signals::sigchld_blocked,
    signals::ignored_too_late,
    signals::nocldwait_too_late,
    waits::wait_without_wexited,
    waits::waits_for_another,
    output::reads_output_first,
    output::blocked_elsewhere,
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
    verdict.evidence.extend(case.made_by_another());
    verdict
}
