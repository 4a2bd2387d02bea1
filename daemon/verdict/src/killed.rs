//! SIGKILL was sent, and the process is still there: which thread cannot end, and why.

use super::facts::{Facts, Named, ProcessFacts, ThreadFacts};
use super::{Certainty, Code, Verdict, duration, tracer_named};

pub(super) fn judge(facts: &Facts) -> Option<Verdict> {
    let process = facts.subject.known.process()?;
    if process.is_dumping_core {
        return Some(dumping_core(facts, process));
    }
    let thread = process.killed_thread()?;
    let (tid, place) = (thread.tid, sleeps_in(thread));
    let (certainty, why, remedy, responsible) = match (&process.frozen, thread.state) {
        (Some(frozen), _) if !frozen.is_killable => (
            Certainty::Certain,
            format!(
                "it is frozen with its cgroup {}, and a task frozen by the v1 freezer takes no signal",
                frozen.cgroup
            ),
            format!("thaw it, and it ends: {}", frozen.thaw),
            None,
        ),
        (_, Some(b'D')) => (
            Certainty::Certain,
            format!("thread {tid} sleeps uninterruptibly{place}"),
            format!(
                "find out what the kernel waits for: cat /proc/{}/task/{tid}/stack as root; often storage or a network file system that does not answer. The process ends by itself once that sleep ends, and no further signal helps before",
                facts.subject.known.life.key.tgid
            ),
            None,
        ),
        (_, Some(b't')) => {
            let tracer = tracer_named(facts, thread.tracer());
            let by = tracer.as_ref().map_or_else(|| "its tracer".into(), ToString::to_string);
            (
                Certainty::Certain,
                format!("thread {tid} is stopped on its way out by {by} (PTRACE_EVENT_EXIT)"),
                format!("let {by} continue or detach; ending the tracer lets the process end"),
                tracer,
            )
        }
        _ => (
            Certainty::Likely,
            format!("thread {tid} has not ended yet{place}"),
            "look again in a moment: a kill takes effect when the thread runs next".into(),
            None,
        ),
    };
    let verdict = Verdict::new(
        Code::KilledButBlocked,
        certainty,
        format!("it was killed by a signal and is not gone: {why}"),
    );
    let verdict = verdict
        .since_all(leader_died(facts))
        .since(format!("{}; its state is {}", how_known(thread), state_of(thread)))
        .remedy(remedy);
    Some(verdict.by(responsible.unwrap_or_else(|| facts.subject.known.named())))
}

fn dumping_core(facts: &Facts, process: &ProcessFacts) -> Verdict {
    let verdict = Verdict::certain(
        Code::KilledButBlocked,
        "it got a fatal signal and is writing a core dump; it ends when that is written".into(),
    );
    let writer = process.live().find(|thread| thread.state == Some(b'D')).or_else(|| process.live().next());
    verdict
        .since("CoreDumping in /proc/PID/status is 1")
        .since_all(writer.map(|thread| format!("thread {} is in state {}{}", thread.tid, state_of(thread), sleeps_in(thread))))
        .remedy("leave it alone, or stop the dump: kill -9 ends it; a dump to a pipe (core_pattern) waits for the program that reads it".into())
        .by(facts.subject.known.named())
}

/// Where threads are dead already.
fn leader_died(facts: &Facts) -> Option<String> {
    let life = &facts.subject.known.life;
    let died_at = life.leader_died_at?;
    // What a snapshot found began at a time that nobody saw.
    let is_seen = facts.observed_since.is_some_and(|began| began < died_at);
    let when = if is_seen { format!(" {} ago", duration(facts.now.since(died_at))) } else { String::new() };
    Some(format!("its main thread died{when}; ps and top show that thread's state, Z, for the whole process"))
}

fn how_known(thread: &ThreadFacts) -> String {
    if thread.has_sigkill() {
        format!("SigPnd of thread {} has SIGKILL", thread.tid)
    } else {
        format!("thread {} has taken a fatal signal (PF_SIGNALED)", thread.tid)
    }
}

fn state_of(thread: &ThreadFacts) -> char {
    thread.state.map_or('?', char::from)
}

fn sleeps_in(thread: &ThreadFacts) -> String {
    thread.wchan.as_ref().map_or(String::new(), |place| format!(" in {place}()"))
}

/// All its threads are dead, and somebody has not let them go: a debugger that has not waited for them.
pub(super) fn all_dead(facts: &Facts) -> Option<Verdict> {
    let process = facts.subject.known.process().filter(|process| process.is_all_dead())?;
    let held = process.threads.iter().find(|thread| thread.tracer().is_some());
    let Some(thread) = held else {
        return Some(
            Verdict::likely(
                Code::JustDied,
                "all its threads have ended, and the last ones are being released".into(),
            )
            .since("every thread in /proc/PID/task is in state Z or X")
            .remedy("look again in a moment".into())
            .by(facts.subject.known.named()),
        );
    };
    let tracer = tracer_named(facts, thread.tracer())
        .unwrap_or(Named { key: facts.subject.known.life.key, name: None });
    let verdict = Verdict::certain(
        Code::HeldByTracer,
        format!(
            "all its threads have ended, and its tracer {tracer} has not waited for them: no parent can reap it before"
        ),
    );
    let pid = tracer.key.tgid;
    Some(
        verdict
            .since(format!("thread {} is dead and its TracerPid is {pid}", thread.tid))
            .since("a tracer is offered a dead tracee first; the parent is told only after that (ptrace(2))")
            .remedy(format!(
                "let {tracer} wait for it or detach; ending it gives the dead to their parent: kill {pid}"
            ))
            .by(tracer),
    )
}
