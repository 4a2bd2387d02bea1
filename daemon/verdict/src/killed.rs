//! SIGKILL was sent and the process still exists: which thread cannot end, and why.

use super::facts::{Facts, Named, ProcessFacts, ThreadFacts};
use super::{Certainty, Code, Verdict, duration, kill_tracer, tracer_named};

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
                "its cgroup {} is frozen, and a task in a frozen v1 cgroup cannot handle a signal",
                frozen.cgroup
            ),
            format!("thaw the cgroup, then the process ends: {}", frozen.thaw),
            None,
        ),
        (_, Some(b'D')) => (
            Certainty::Certain,
            format!("thread {tid} sleeps uninterruptibly{place}{}", waits_for(thread)),
            format!(
                "{}. The process ends by itself once that sleep ends, and no further signal helps before",
                thread.sleep.as_ref().and_then(|sleep| sleep.remedy.clone()).unwrap_or_else(|| format!(
                    "find out what the kernel waits for: cat /proc/{}/task/{tid}/stack as root; often storage or a network file system that does not answer",
                    facts.subject.known.life.key.tgid
                ))
            ),
            None,
        ),
        (_, Some(b't')) => {
            let tracer = tracer_named(facts, thread.tracer());
            let by = tracer.as_ref().map_or_else(|| "its tracer".into(), ToString::to_string);
            (
                Certainty::Certain,
                format!("{by} has stopped thread {tid} in its exit (PTRACE_EVENT_EXIT)"),
                format!(
                    "{by} must continue the process or detach from it; if the tracer ends, the process ends too"
                ),
                tracer,
            )
        }
        _ => (
            Certainty::Likely,
            format!("thread {tid} has not ended yet{place}"),
            "ask again in a moment: SIGKILL takes effect when the thread runs next".into(),
            None,
        ),
    };
    let verdict = Verdict::new(
        Code::KilledButBlocked,
        certainty,
        format!("a signal has killed it, but it has not ended: {why}"),
    );
    let verdict = verdict
        .since_all(leader_died(facts))
        .since(format!("{}; its state is {}", how_known(thread), state_of(thread)))
        .since_all(thread.asleep_for())
        .remedy(remedy);
    Some(verdict.by(responsible.unwrap_or_else(|| facts.subject.known.named())))
}

fn dumping_core(facts: &Facts, process: &ProcessFacts) -> Verdict {
    let verdict = Verdict::certain(
        Code::KilledButBlocked,
        "it received a fatal signal and is writing a core dump; it ends when the dump is complete".into(),
    );
    let writer = process.live().find(|thread| thread.state == Some(b'D')).or_else(|| process.live().next());
    verdict
        .since("CoreDumping in /proc/PID/status is 1")
        .since_all(writer.map(|thread| format!("thread {} is in state {}{}", thread.tid, state_of(thread), sleeps_in(thread))))
        .remedy("wait for the dump, or stop it: kill -9 ends the process; a dump to a pipe (core_pattern) waits for the program that reads it".into())
        .by(facts.subject.known.named())
}

/// The death of the main thread, as evidence.
fn leader_died(facts: &Facts) -> Option<String> {
    let life = &facts.subject.known.life;
    let died_at = life.leader_died_at?;
    // If a snapshot found this state, the time at which it began is not known.
    let is_seen = facts.observed_since.is_some_and(|began| began < died_at);
    let when = if is_seen { format!(" {} ago", duration(facts.now.since(died_at))) } else { String::new() };
    Some(format!(
        "its main thread has ended{when}; ps and top show that thread's state, Z, for the whole process"
    ))
}

fn how_known(thread: &ThreadFacts) -> String {
    if thread.has_sigkill() {
        format!("SIGKILL is pending for thread {} (SigPnd in /proc)", thread.tid)
    } else {
        format!("thread {} has received a fatal signal (PF_SIGNALED)", thread.tid)
    }
}

fn state_of(thread: &ThreadFacts) -> char {
    thread.state.map_or('?', char::from)
}

fn waits_for(thread: &ThreadFacts) -> String {
    let awaited = thread.sleep.as_ref().and_then(|sleep| sleep.waits_for.as_ref());
    awaited.map_or(String::new(), |awaited| format!(": it waits for {awaited}"))
}

fn sleeps_in(thread: &ThreadFacts) -> String {
    thread.wchan.as_ref().map_or(String::new(), |place| format!(" in {place}()"))
}

/// All its threads are dead, but a tracer has not waited for them.
pub(super) fn all_dead(facts: &Facts) -> Option<Verdict> {
    let process = facts.subject.known.process().filter(|process| process.is_all_dead())?;
    let held = process.threads.iter().find(|thread| thread.tracer().is_some());
    let Some(thread) = held else {
        return Some(
            Verdict::likely(
                Code::JustDied,
                "all its threads have ended, and the kernel is releasing the last ones".into(),
            )
            .since("every thread in /proc/PID/task is in state Z or X")
            .remedy("ask again in a moment".into())
            .by(facts.subject.known.named()),
        );
    };
    let tracer = tracer_named(facts, thread.tracer())
        .unwrap_or(Named { key: facts.subject.known.life.key, name: None });
    let verdict = Verdict::certain(
        Code::HeldByTracer,
        format!(
            "all its threads have ended, but its tracer {tracer} has not waited for them: its parent cannot reap it before that"
        ),
    );
    let (pid, kill) = (tracer.key.tgid, kill_tracer(facts.subject.tracer_state));
    Some(
        verdict
            .since(format!("thread {} is dead and its TracerPid is {pid}", thread.tid))
            .since("the tracer of a process can wait for it first; its parent is notified only after that (ptrace(2))")
            .remedy(format!(
                "{tracer} must wait for it or detach; if the tracer ends, the parent can reap: {kill} {pid}"
            ))
            .by(tracer),
    )
}
