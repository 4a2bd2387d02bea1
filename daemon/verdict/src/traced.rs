//! A process that its tracer has stopped: state t.

use lineage::death::StopReason;

use super::facts::{Facts, Named, ThreadFacts};
use super::{Code, Verdict, stopped, tracer_named};

pub(super) fn judge(facts: &Facts, leader: Option<&ThreadFacts>, owed: Option<String>) -> Verdict {
    let tracer = tracer_named(facts, leader.and_then(ThreadFacts::tracer));
    let by = tracer.as_ref().map_or_else(|| "its tracer".into(), |tracer| format!("its tracer {tracer}"));
    let stop = stop_under_tracer(facts, tracer.as_ref());
    let summary = match &stop {
        Some(stop) => format!("it is {}, and {by} holds it", stop.how),
        None => format!("it is stopped by {by}"),
    };
    let verdict = Verdict::certain(Code::StoppedByTracer, summary)
        .since("every live thread is in state t (tracing stop)")
        .since_all(tracer_stops(facts))
        .since_all(stop.as_ref().and_then(|stop| stop.evidence.clone()))
        .since_all(owed)
        .remedy(tracers_remedy(facts, tracer.as_ref(), stop.as_ref()));
    match tracer {
        Some(tracer) => verdict.by(tracer),
        None => verdict,
    }
}

/// The job control stop of a tracee in state t, which it keeps when its tracer detaches or ends. `PTRACE_ATTACH` sends SIGSTOP from the
/// tracer, and a tracee that asked to be traced sends it to itself: these only begin the tracing.
fn stop_under_tracer(facts: &Facts, tracer: Option<&Named>) -> Option<stopped::Stop> {
    let process = facts.subject.known.process()?;
    let life = &facts.subject.known.life;
    let by = life.job_stop.as_deref().filter(|by| by.continued.is_none())?;
    let sender = by.sent.sender.task?.tgid;
    let is_tracing = by.sent.is_from_itself() || tracer.is_some_and(|tracer| tracer.key.tgid == sender);
    let is_sent = matches!(by.reason(), StopReason::Sent) && !is_tracing;
    is_sent
        .then(|| stopped::Stopped { process, pid: life.key.tgid.0, by: Some(by), now: facts.now }.describe())
}

/// A stopped tracer, as evidence: it cannot continue its tracee.
fn tracer_stops(facts: &Facts) -> Option<String> {
    let state = facts.subject.tracer_state.filter(|state| matches!(state, b'T' | b't'))?;
    Some(format!("the tracer is stopped too, in state {}", char::from(state)))
}

fn tracers_remedy(facts: &Facts, tracer: Option<&Named>, stop: Option<&stopped::Stop>) -> String {
    const LET_GO: &str =
        "must continue the process or detach from it (in a debugger: continue, detach or quit)";
    match (tracer, tracer_stops(facts), stop) {
        (Some(Named { key, .. }), Some(_), _) => format!(
            "the tracer must be continued first: taskscope explain {0}. If two processes trace each other, kill -9 {0} ends this",
            key.tgid
        ),
        (_, _, Some(stop)) => format!(
            "{}; if it stays in state t then, the tracer keeps the signal back and {LET_GO}. If the tracer only ends, the process stays stopped",
            stop.remedy
        ),
        _ => format!(
            "the tracer {LET_GO}; if the tracer ends, this process continues, or the kernel kills it with the tracer if that asked for it (PTRACE_O_EXITKILL), as gdb does for a program that it started"
        ),
    }
}
