//! Processes that were killed and have not ended.

use super::*;

const SIGKILL_SET: Signals = Signals(1 << 8);

/// A process of two threads, the subject, whose main thread is dead.
fn killed(state: u8) -> Facts {
    let mut facts = base_facts();
    facts.subject.known.life = Life {
        leader_died_at: Some(Ktime(990 * SECOND)),
        threads: 2,
        ..life(60, b"victim", LifeState::DeadLeader)
    };
    let process = facts.subject.known.process.as_mut().unwrap();
    process.threads[0].state = Some(b'Z');
    let second = ThreadFacts { state: Some(state), pending: Some(SIGKILL_SET), ..thread(61) };
    process.threads.push(ThreadFacts { wchan: Some("percpu_rwsem_wait".into()), ..second });
    facts
}

#[test]
fn a_thread_in_d_state_keeps_a_killed_process() {
    let verdict = expect(&killed(b'D'), Code::KilledButBlocked, Certainty::Certain, 60);
    assert!(
        verdict.summary.contains("thread 61 sleeps uninterruptibly in percpu_rwsem_wait()"),
        "{verdict:#?}"
    );
    assert!(
        verdict.evidence.iter().any(|line| line.contains("its main thread has ended 10 s ago")),
        "{verdict:#?}"
    );
    assert!(!verdict.remedy.unwrap().contains("leave it alone"));
}

#[test]
fn a_tracer_keeps_a_killed_process() {
    let mut facts = killed(b't');
    facts.subject.known.process.as_mut().unwrap().threads[1].tracer = Some(90);
    let verdict = expect(&facts, Code::KilledButBlocked, Certainty::Certain, 90);
    assert!(verdict.summary.contains("pid 90"), "{verdict:#?}");
}

#[test]
fn a_thread_that_runs_ends_in_a_moment() {
    expect(&killed(b'R'), Code::KilledButBlocked, Certainty::Likely, 60);
}

#[test]
fn the_v1_freezer_keeps_a_killed_process() {
    let mut facts = killed(b'D');
    let process = facts.subject.known.process.as_mut().unwrap();
    process.frozen = Some(Frozen { is_killable: false, ..frozen() });
    let verdict = expect(&facts, Code::KilledButBlocked, Certainty::Certain, 60);
    assert!(verdict.remedy.unwrap().starts_with("thaw the cgroup"));
}

#[test]
fn a_core_dump_is_reported() {
    let mut facts = killed(b'D');
    facts.subject.known.process.as_mut().unwrap().is_dumping_core = true;
    let verdict = expect(&facts, Code::KilledButBlocked, Certainty::Certain, 60);
    assert!(verdict.summary.contains("core dump"));
}

#[test]
fn threads_that_are_all_dead_are_their_tracers() {
    let mut facts = killed(b'Z');
    let process = facts.subject.known.process.as_mut().unwrap();
    process.threads[1].pending = Some(NO_SIGNALS);
    process.threads[1].tracer = Some(90);
    let verdict = expect(&facts, Code::HeldByTracer, Certainty::Certain, 90);
    assert!(verdict.remedy.unwrap().contains("detach"));
    facts.subject.known.process.as_mut().unwrap().threads[1].tracer = Some(0);
    let verdict = judge(&facts);
    assert!(!verdict.summary.contains("live"), "{verdict:#?}");
}

#[test]
fn a_frozen_process_is_thawed() {
    let mut facts = base_facts();
    facts.subject.known.life = life(60, b"db", LifeState::Running);
    facts.subject.known.process.as_mut().unwrap().frozen = Some(frozen());
    let verdict = expect(&facts, Code::Frozen, Certainty::Certain, 60);
    assert!(verdict.remedy.unwrap().starts_with("thaw it: "));
}

#[test]
fn a_signal_that_was_taken_already_is_known_by_the_flags_of_the_task() {
    let mut facts = killed(b't');
    let thread = &mut facts.subject.known.process.as_mut().unwrap().threads[1];
    (thread.pending, thread.flags, thread.tracer) = (Some(NO_SIGNALS), Some(0x400), Some(90));
    let verdict = expect(&facts, Code::KilledButBlocked, Certainty::Certain, 90);
    assert!(verdict.evidence.iter().any(|line| line.contains("PF_SIGNALED")), "{verdict:#?}");
}
