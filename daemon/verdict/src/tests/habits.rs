//! How a parent handles SIGCHLD and waits: certain only if no other cause looks the same.

use super::*;

#[test]
fn not_watched_from_its_beginning_never_waits_is_only_likely() {
    let mut facts = base_facts();
    facts.observed_since = Some(Ktime(55 * SECOND));
    let verdict = expect(&facts, Code::NeverWaits, Certainty::Likely, 50);
    assert!(
        verdict.missing.iter().any(|missing| missing.fact.contains("before taskscope started")),
        "{verdict:#?}"
    );
}

#[test]
fn a_parent_that_reaps_is_not_to_be_killed() {
    let reaps =
        |life: &mut Life| life.debt = Some(Debt { forked: 9, reaped: 3, zombies: 1, ..Debt::default() });
    for change in [
        |_: &mut ProcessFacts| {},
        |process: &mut ProcessFacts| process.caught = Some(SIGCHLD_SET),
        |process: &mut ProcessFacts| process.ignored = Some(SIGCHLD_SET),
        |process: &mut ProcessFacts| {
            process.caught = Some(SIGCHLD_SET);
            process.threads[0].blocked = Some(SIGCHLD_SET);
        },
        |process: &mut ProcessFacts| {
            process.threads[0].call =
                Some(Call::Wait(WaitCall { target: WaitTarget::Pid(9), options: 0, exited: true }));
        },
    ] {
        let verdict = judge(&with(|life, process| {
            reaps(life);
            change(process);
        }));
        assert!(!verdict.remedy.as_ref().unwrap().contains("kill 50"), "{verdict:#?}");
    }
}

#[test]
fn a_signal_blocked_by_a_call_with_a_mask_of_its_own_is_blocked_for_now() {
    let facts = with(|_, process| {
        process.caught = Some(SIGCHLD_SET);
        process.threads[0].blocked = Some(SIGCHLD_SET);
        process.threads[0].call = Some(Call::TemporaryMask);
    });
    let verdict = expect(&facts, Code::SigchldBlockedForNow, Certainty::Likely, 50);
    assert!(!verdict.remedy.unwrap().contains("kill"));
}

#[test]
fn a_signal_is_blocked_for_good_if_the_thread_ran_meanwhile() {
    let facts = with(|_, process| {
        process.caught = Some(SIGCHLD_SET);
        process.threads[0].blocked = Some(SIGCHLD_SET);
        process.threads[0].has_run = Some(true);
    });
    expect(&facts, Code::SigchldBlocked, Certainty::Certain, 50);
    // A loop can block it at all times except during one call in each turn.
    expect(&young(facts), Code::SigchldBlocked, Certainty::Likely, 50);
}

#[test]
fn a_wait_without_wexited_takes_no_dead_child() {
    let wait = Call::Wait(WaitCall { target: WaitTarget::Any, options: 2, exited: false });
    let facts = with(|_, process| process.threads[0].call = Some(wait));
    let verdict = expect(&facts, Code::WaitWithoutWexited, Certainty::Certain, 50);
    assert!(verdict.remedy.unwrap().contains("add WEXITED"));
}

#[test]
fn sigwait_sees_nothing_that_the_forking_thread_does_not_block() {
    let waiter = |set| ThreadFacts { call: Some(Call::SignalWait(set)), ..thread(51) };
    for (set, certainty) in [(Some(SIGCHLD_SET), Certainty::Certain), (None, Certainty::Likely)] {
        let facts = with(|_, process| process.threads.push(waiter(set)));
        expect(&facts, Code::SigwaitNeverReturns, certainty, 50);
    }
    let other = with(|_, process| process.threads.push(waiter(Some(NO_SIGNALS))));
    assert_ne!(judge(&other).code, Code::SigwaitNeverReturns, "it waits for other signals");
    let blocked = with(|_, process| {
        process.threads[0].blocked = Some(SIGCHLD_SET);
        process.threads.push(waiter(Some(SIGCHLD_SET)));
    });
    assert_ne!(judge(&blocked).code, Code::SigwaitNeverReturns, "it gets the signal");
}

#[test]
fn a_parent_that_blocks_sigterm_is_killed_for_good() {
    let facts = with(|_, process| process.threads[0].blocked = Some(Signals(1 << 14)));
    assert!(judge(&facts).remedy.unwrap().contains("kill -9 50"));
}

#[test]
fn a_frozen_parent_is_thawed() {
    let facts = with(|_, process| {
        process.frozen = Some(frozen());
        process.threads[0].state = Some(b'D');
    });
    let verdict = expect(&facts, Code::ParentFrozen, Certainty::Certain, 50);
    let remedy = verdict.remedy.unwrap();
    assert!(remedy.contains("cgroup.freeze") && !remedy.contains("storage"), "{remedy}");
}

#[test]
fn a_vfork_child_in_the_hands_of_a_tracer_names_the_tracer() {
    let mut facts = with(|_, process| process.threads[0].state = Some(b'D'));
    let mut child = vfork_child(70);
    child.process.as_mut().unwrap().threads[0].state = Some(b't');
    child.tracer = Some(Named { key: key(90), name: Some("strace".into()) });
    facts.parents_vfork_child = Some(child);
    let verdict = expect(&facts, Code::ParentHeldByVfork, Certainty::Certain, 90);
    assert!(verdict.summary.contains("stopped by its tracer strace (pid 90)"), "{verdict:#?}");
    assert!(verdict.remedy.unwrap().contains("kill -9 70"));
}

#[test]
fn a_parent_that_looks_for_dead_children_now_and_then_never_waits_at_first() {
    let inits = |life: &mut Life, _: &mut ProcessFacts| {
        life.namespace = Some(Namespaced { vtid: 1, vtgid: Some(1), inode: 7, level: 1 });
    };
    for (code, change) in
        [(Code::NeverWaits, (|_, _| {}) as fn(&mut Life, &mut ProcessFacts)), (Code::ContainerInit, inits)]
    {
        let verdict = expect(&young(with(change)), code, Certainty::Likely, 50);
        assert!(!verdict.remedy.as_ref().unwrap().contains("now: kill"), "{verdict:#?}");
        assert!(verdict.missing.iter().any(|it| it.needs.contains("a minute")), "{verdict:#?}");
        expect(&with(change), code, Certainty::Certain, 50);
    }
}

#[test]
fn a_parent_that_another_holds_in_a_call_had_no_chance_to_wait() {
    for call in [Call::Read(0), Call::Write(1), Call::Lock(3), Call::Futex] {
        let facts = with(|_, process| process.threads[0].call = Some(call));
        let verdict = expect(&facts, Code::NeverWaits, Certainty::Likely, 50);
        assert!(!verdict.remedy.as_ref().unwrap().contains("kill"), "{verdict:#?}");
        assert!(verdict.evidence.iter().any(|line| line.contains("after that")), "{verdict:#?}");
    }
}

#[test]
fn who_holds_the_parent_in_a_call_has_to_act() {
    for (is_lock, word) in [(true, "lock"), (false, "pipe")] {
        let call = if is_lock { Call::Lock(3) } else { Call::Write(3) };
        let by = Some(Named { key: key(90), name: Some("other".into()) });
        let held = |process: &mut ProcessFacts| {
            process.threads[0].call = Some(call);
            let on = if is_lock { HeldOn::Lock(3) } else { HeldOn::Pipe(3) };
            process.held_call = Some(HeldCall { tid: Tid(50), on, by: by.clone() });
        };
        let verdict = expect(&with(|_, it| held(it)), Code::BlockedElsewhere, Certainty::Likely, 90);
        assert!(verdict.summary.contains(word), "{verdict:#?}");
        // Its handler is about to run, or has run and has not waited.
        for (pending, code) in [(SIGCHLD_SET, Code::NeverWaits), (NO_SIGNALS, Code::BlockedElsewhere)] {
            let facts = with(|_, process| {
                held(process);
                process.caught = Some(SIGCHLD_SET);
                process.pending = Some(pending);
            });
            assert_eq!(judge(&facts).code, code);
        }
    }
}

#[test]
fn a_lock_in_a_handler_may_be_a_deadlock() {
    for reaped in [0, 3] {
        let facts = with(|life, process| {
            life.debt = Some(Debt { forked: 9, reaped, zombies: 1, ..Debt::default() });
            process.caught = Some(SIGCHLD_SET);
            process.threads[0].blocked = Some(SIGCHLD_SET);
            process.threads[0].call = Some(Call::Futex);
        });
        let verdict = judge(&facts);
        assert_eq!(verdict.certainty, Certainty::Likely);
        assert!(verdict.evidence.iter().any(|line| line.contains("deadlock")), "{verdict:#?}");
        assert!(verdict.remedy.as_ref().unwrap().contains("gdb"), "{verdict:#?}");
    }
}

#[test]
fn another_thread_may_wait_for_what_one_passes_over() {
    for wait in [
        WaitCall { target: WaitTarget::Pid(9), options: 0, exited: true },
        WaitCall { target: WaitTarget::Any, options: 0, exited: false },
    ] {
        let facts = with(|_, process| process.threads[0].call = Some(Call::Wait(wait)));
        assert_eq!(judge(&facts).certainty, Certainty::Certain);
        let facts = with(|_, process| {
            process.threads[0].call = Some(Call::Wait(wait));
            process.threads.push(thread(51));
        });
        assert_eq!(judge(&facts).certainty, Certainty::Likely);
    }
}
