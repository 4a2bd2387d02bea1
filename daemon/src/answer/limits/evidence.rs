//! Adds a full limit to the verdict on a process whose forks it limits.

use super::Limits;
use crate::{
    answer::{process::ProcessRef, verdict::AnswerVerdict},
    verdict::{Certainty, Code},
};

/// The most consumers that a verdict names.
const NAMED: usize = 3;

/// Adds full limits to the verdict. They become the verdict if nothing else is wrong with the process.
pub(in crate::answer) fn add_evidence(limits: &Limits, subject: &ProcessRef, verdict: &mut AnswerVerdict) {
    let Some(fullest) = limits.limits.iter().find(|limit| limit.full) else {
        return add_failures(limits, subject, verdict);
    };
    let namespace = fullest.kind == "pid_namespace";
    let reason = if namespace {
        format!("its next child would start in {}", fullest.what())
    } else {
        format!("{} is full: {} of {} used", fullest.what(), fullest.used, fullest.limit)
    };
    let mut evidence = vec![format!("its fork(2) and clone(2) fail with {}: {reason}", fullest.errno)];
    evidence.extend(fullest.consumers.iter().take(NAMED).map(super::Consumer::words));
    evidence.extend(fullest.refused.filter(|&count| count > 0).map(|count| {
        format!(
            "pids.events there has counted {count} {}",
            if count == 1 { "refused fork" } else { "refused forks" }
        )
    }));
    for other in limits.limits.iter().filter(|limit| limit.full && limit.what() != fullest.what()) {
        evidence.push(format!("{} is full too: {} of {} used", other.what(), other.used, other.limit));
    }
    let remedy = remedy(limits, subject, fullest);
    if verdict.code == Code::Alive.name() {
        verdict.code = Code::CannotFork.name().into();
        verdict.words = Code::CannotFork.words().into();
        verdict.certainty = Certainty::Certain.name().into();
        verdict.summary = format!("it cannot fork: {reason}");
        verdict.culprit = fullest
            .consumers
            .first()
            .and_then(|worst| if worst.processes > 1 { worst.parent.clone() } else { None })
            .or_else(|| Some(subject.clone()));
        evidence.append(&mut verdict.evidence);
        verdict.evidence = evidence;
        verdict.remedy = Some(remedy);
    } else {
        verdict.summary = format!("{}; and it cannot fork: {reason}", verdict.summary);
        verdict.evidence.append(&mut evidence);
        verdict.remedy = Some(match verdict.remedy.take() {
            Some(first) => format!("{first}; or {remedy}"),
            None => remedy,
        });
    }
}

/// Adds failed forks if no limit is full: the limit has room again, or is not visible from outside.
fn add_failures(limits: &Limits, subject: &ProcessRef, verdict: &mut AnswerVerdict) {
    let Some(failed) = limits.failed_forks().filter(|_| verdict.code == Code::Alive.name()) else { return };
    if !limits.pid_max_is_left() {
        verdict.evidence.push(format!("{failed}; no limit on pids is full now"));
        return;
    }
    let pid = subject.pid;
    verdict.code = Code::CannotFork.name().into();
    verdict.words = Code::CannotFork.words().into();
    verdict.certainty = Certainty::Likely.name().into();
    verdict.summary =
        "its forks fail, and no limit that is visible from outside is full, so it can only be kernel.pid_max of its pid namespace".into();
    verdict.culprit = Some(subject.clone());
    let mut evidence = vec![failed];
    evidence.extend(limits.tasks_of_namespace());
    evidence.append(&mut verdict.evidence);
    verdict.evidence = evidence;
    verdict.remedy = Some(format!(
        "end processes of that namespace (taskscope tree {pid}), or raise its limit from inside without a fork: in a shell there, `echo N >/proc/sys/kernel/pid_max`"
    ));
}

fn remedy(limits: &Limits, subject: &ProcessRef, fullest: &super::Limit) -> String {
    // Each process has its own limit: a new limit for a shell or a unit does not help a process that runs already.
    let raise = match fullest.kind.as_str() {
        "rlimit_nproc" => format!(
            "for this process: prlimit --pid {} --nproc=N; for those that start later, {}",
            subject.pid,
            fullest.raise()
        ),
        _ => fullest.raise(),
    };
    let zombies = fullest
        .consumers
        .iter()
        .find(|consumer| consumer.zombies > 0 && 2 * consumer.zombies >= fullest.used);
    match zombies.and_then(|zombies| zombies.parent.as_ref()) {
        Some(parent) if limits.process.as_ref().is_none_or(|process| process.pid != parent.pid) => {
            format!("{parent} must wait for its zombies (taskscope explain {}), or {}", parent.pid, raise)
        }
        _ => raise,
    }
}
