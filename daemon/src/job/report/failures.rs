//! Processes of a job that failed.

use crate::job::{
    members::{Member, Members},
    report::{Failure, Failures},
};
use crate::lineage::{flags::signal_name, status::WaitStatus};

/// The most failures that are described.
const MOST: usize = 50;

/// Returns exit code, signal, and cause of death if it is not simply that the process exited.
pub(in crate::job) fn outcome(member: &Member) -> (Option<i32>, Option<String>, Option<String>) {
    let Some(ended) = &member.ended else { return (None, None, None) };
    let status = ended.status.map(WaitStatus);
    let signal = status.and_then(WaitStatus::signal);
    let signal = signal.map(|signal| signal_name(signal).map_or_else(|| signal.to_string(), str::to_owned));
    let cause = ended.cause.clone().filter(|cause| cause != "exited");
    (status.and_then(WaitStatus::code), signal, cause)
}

/// Returns those that exited with a code other than 0, or were killed, in order of time.
pub(in crate::job) fn failures(members: &Members, start_ns: u64) -> Failures {
    let mut failed: Vec<_> = members.all.iter().filter(|member| has_failed(member)).collect();
    failed.sort_by_key(|member| member.ended_ns());
    let oom =
        |member: &&&Member| member.ended.as_ref().is_some_and(|ended| ended.cause.as_deref() == Some("oom"));
    Failures {
        count: failed.len() as u64,
        oom: failed.iter().filter(oom).count() as u64,
        first: failed.iter().take(MOST).map(|member| failure(members, member, start_ns)).collect(),
    }
}

fn has_failed(member: &Member) -> bool {
    member.ended.as_ref().and_then(|ended| ended.status).is_some_and(|status| status != 0)
}

fn failure(members: &Members, member: &Member, start_ns: u64) -> Failure {
    let (code, signal, cause) = outcome(member);
    Failure {
        pid: member.pid,
        name: member.name().into(),
        at_ns: member.ended_ns().unwrap_or(start_ns).saturating_sub(start_ns),
        code,
        signal,
        cause,
        parent: forker_of(members, member),
        command: member.stage().and_then(|stage| stage.command.as_deref().map(Into::into)),
    }
}

/// Returns the name and the pid of the process that forked it.
pub(in crate::job) fn forker_of(members: &Members, member: &Member) -> Option<String> {
    let forker = members.all.get(member.forked_by?)?;
    Some(format!("{} ({})", forker.name(), forker.pid))
}
