//! Situations from public threads: parents that wait for something else, get no CPU, or are stopped in turn.

use super::*;

fn handles(process: &mut ProcessFacts) {
    process.caught = Some(SIGCHLD_SET);
}

#[test]
fn a_server_that_reaps_after_its_next_connection_is_not_certain_to_never_wait() {
    for call in [Call::Read(3), Call::Write(3), Call::Open, Call::Ring] {
        let verdict = expect(
            &with(|_, process| process.threads[0].call = Some(call)),
            Code::NeverWaits,
            Certainty::Likely,
            50,
        );
        assert!(
            verdict.evidence.iter().any(|line| line.contains("may wait for its children after that")),
            "{verdict:#?}"
        );
        assert!(!verdict.remedy.unwrap().contains("kill 50"));
    }
}

#[test]
fn a_handler_that_ran_and_did_not_wait_may_have_set_a_flag() {
    let facts = with(|_, process| {
        handles(process);
        process.threads[0].awaits_events = true;
    });
    let verdict = expect(&facts, Code::NeverWaits, Certainty::Likely, 50);
    assert!(verdict.remedy.unwrap().starts_with("first: kill -CHLD 50"));
    // Without a handler, a parent that waits for events without a timeout never reaps.
    let facts = with(|_, process| process.threads[0].awaits_events = true);
    expect(&facts, Code::NeverWaits, Certainty::Certain, 50);
}

#[test]
fn a_shell_whose_handler_sets_a_flag_is_held_by_the_call_it_sits_in() {
    for (on, words) in [(HeldOn::Fifo, "FIFO"), (HeldOn::Socket(3), "socket")] {
        let facts = with(|_, process| {
            handles(process);
            process.threads[0].call = Some(if on == HeldOn::Fifo { Call::Open } else { Call::Write(3) });
            process.held_call = Some(HeldCall { tid: Tid(50), on, by: None });
        });
        let verdict = expect(&facts, Code::BlockedElsewhere, Certainty::Likely, 50);
        assert!(verdict.summary.contains(words), "{verdict:#?}");
        assert!(!verdict.remedy.unwrap().contains("kill 50"));
    }
}

#[test]
fn a_blocked_signal_during_a_receive_may_be_unblocked_after_it() {
    let facts = with(|_, process| {
        handles(process);
        process.pending = Some(SIGCHLD_SET);
        process.threads[0].blocked = Some(SIGCHLD_SET);
        process.threads[0].call = Some(Call::Read(3));
    });
    let verdict = expect(&facts, Code::SigchldBlocked, Certainty::Likely, 50);
    assert!(verdict.evidence.iter().any(|line| line.contains("is in read(2)")), "{verdict:#?}");
}

#[test]
fn a_parent_that_gets_no_cpu_time_is_not_accused() {
    let throttled = Throttled {
        cgroup: "/sys/fs/cgroup/web".into(),
        quota_us: 1000,
        period_us: 100_000,
        throttled: 8,
        periods: 9,
        lift: "echo max > /sys/fs/cgroup/web/cpu.max".into(),
    };
    let mut facts = with(|_, process| {
        process.threads[0].state = Some(b'R');
        process.throttled = Some(throttled);
    });
    let verdict = expect(&facts, Code::ParentThrottled, Certainty::Likely, 50);
    assert!(verdict.remedy.unwrap().contains("echo max > /sys/fs/cgroup/web/cpu.max"));
    facts.parent.as_mut().unwrap().process.as_mut().unwrap().threads[0].state = Some(b'S');
    assert_ne!(judge(&facts).code, Code::ParentThrottled, "it sleeps");
}

#[test]
fn a_parent_that_is_stopped_and_continued_in_turn_is_not_just_to_be_continued() {
    let facts = with(|_, process| {
        process.threads[0].state = Some(b'T');
        process.threads[0].has_run = Some(true);
    });
    let verdict = expect(&facts, Code::ParentStopped, Certainty::Likely, 50);
    assert!(verdict.remedy.unwrap().contains("cpulimit"));
}

#[test]
fn a_parents_tracer_that_is_stopped_itself_must_be_continued_first() {
    let mut facts = with(|_, process| {
        process.threads[0].state = Some(b't');
        process.threads[0].tracer = Some(77);
    });
    let strace = Named { key: key(77), name: Some("strace".into()) };
    facts.parents_tracer = Some((strace.clone(), Some(b'S')));
    let verdict = expect(&facts, Code::ParentTraced, Certainty::Certain, 50);
    assert!(verdict.summary.contains("strace (pid 77)") && !verdict.remedy.unwrap().contains("kill"));
    facts.parents_tracer = Some((strace, Some(b'T')));
    let verdict = expect(&facts, Code::ParentTraced, Certainty::Certain, 50);
    assert!(verdict.remedy.unwrap().contains("kill -9 77"));
}

#[test]
fn children_that_the_kernel_releases_show_sa_nocldwait() {
    let released = |forked, reaped, autoreaped| {
        with(|life, process| {
            handles(process);
            life.debt = Some(Debt { forked, reaped, autoreaped, zombies: 1, ..Debt::default() });
        })
    };
    let verdict = expect(&released(4, 0, 3), Code::IgnoredTooLate, Certainty::Likely, 50);
    assert!(verdict.summary.contains("SA_NOCLDWAIT"), "{verdict:#?}");
    assert_ne!(judge(&released(3, 0, 3)).code, Code::IgnoredTooLate, "one of them was of before");
    assert_ne!(judge(&released(1, 0, 0)).code, Code::IgnoredTooLate);
}

#[test]
fn a_parent_that_takes_one_child_now_and_then_may_only_be_late() {
    let facts =
        with(|life, _| life.debt = Some(Debt { forked: 80, reaped: 19, zombies: 61, ..Debt::default() }));
    let verdict = judge(&facts);
    assert_eq!(verdict.code, Code::NotWaitedFor);
    assert!(verdict.missing.iter().any(|missing| missing.needs.contains("how many zombies")), "{verdict:#?}");
}
