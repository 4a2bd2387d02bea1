//! Zombies: which process keeps them from being reaped.

use super::*;

#[test]
fn a_parent_that_has_never_waited_is_named() {
    let verdict = expect(&base_facts(), Code::NeverWaits, Certainty::Certain, 50);
    assert_eq!(verdict.summary, "parent (pid 50) has never waited for any child");
    assert!(verdict.evidence.iter().any(|line| line == "2 zombies wait for it"), "{verdict:#?}");
    assert!(verdict.remedy.unwrap().contains("kill 50"));
}

#[test]
fn without_its_system_calls_that_is_only_likely() {
    let facts = with(|_, process| process.threads[0].call = None);
    let verdict = expect(&facts, Code::NeverWaits, Certainty::Likely, 50);
    assert!(verdict.missing.iter().any(|missing| missing.needs.contains("CAP_SYS_PTRACE")), "{verdict:#?}");
}

#[test]
fn a_handler_that_does_not_wait_is_never_waiting_too() {
    let verdict = judge(&with(|_, process| process.caught = Some(SIGCHLD_SET)));
    assert_eq!(verdict.code, Code::NeverWaits);
    assert!(verdict.evidence.contains(&"it has a handler for SIGCHLD".to_owned()), "{verdict:#?}");
}

#[test]
fn the_remedy_for_a_stopped_parent_is_to_continue_it() {
    let verdict = expect(
        &with(|_, process| process.threads[0].state = Some(b'T')),
        Code::ParentStopped,
        Certainty::Certain,
        50,
    );
    assert!(verdict.remedy.unwrap().contains("kill -CONT 50"));
}

#[test]
fn continuing_is_not_the_only_remedy_for_a_parent_in_the_background_of_its_terminal() {
    let stopped = |access| {
        with(|_, process| {
            process.threads[0].state = Some(b'T');
            process.background = Some(background(access));
        })
    };
    for access in [TerminalAccess::Read, TerminalAccess::Set] {
        let verdict = expect(&stopped(Some(access)), Code::ParentStopped, Certainty::Certain, 50);
        let remedy = verdict.remedy.unwrap();
        assert!(remedy.contains("`fg` in bash (pid 40)") && !remedy.contains("kill -CONT"), "{remedy}");
        assert!(verdict.evidence[1].contains("also after kill -CONT"), "{:?}", verdict.evidence);
    }
    let verdict = expect(&stopped(None), Code::ParentStopped, Certainty::Certain, 50);
    assert!(verdict.missing[0].needs.contains("CAP_SYS_PTRACE"), "{verdict:#?}");
    let verdict = judge(&stopped(Some(TerminalAccess::Other)));
    assert!(verdict.missing.is_empty() && verdict.remedy.unwrap().starts_with("continue it: kill -CONT 50"));
}

#[test]
fn a_parent_with_a_thread_that_runs_is_not_stopped() {
    let facts = with(|_, process| {
        process.threads[0].state = Some(b'T');
        process.threads.push(thread(51));
    });
    assert_ne!(judge(&facts).code, Code::ParentStopped);
}

#[test]
fn a_parent_under_a_debugger_names_the_debugger() {
    let facts = with(|_, process| {
        process.threads[0].state = Some(b't');
        process.threads[0].tracer = Some(77);
    });
    let verdict = expect(&facts, Code::ParentTraced, Certainty::Certain, 50);
    assert!(verdict.summary.contains("pid 77"), "{verdict:#?}");
}

#[test]
fn a_parent_in_d_state_cannot_wait() {
    let facts = with(|_, process| process.threads[0].state = Some(b'D'));
    let verdict = expect(&facts, Code::ParentInDState, Certainty::Certain, 50);
    assert!(verdict.remedy.unwrap().contains("/proc/50/stack"));
    let facts = with(|_, process| {
        process.threads[0].state = Some(b'D');
        process.threads.push(thread(51));
    });
    expect(&facts, Code::ParentInDState, Certainty::Likely, 50);
}

#[test]
fn a_parent_in_d_state_by_a_vfork_names_the_child_that_holds_it() {
    let mut facts = with(|_, process| process.threads[0].state = Some(b'D'));
    facts.parents_vfork_child = Some(vfork_child(70));
    let verdict = expect(&facts, Code::ParentHeldByVfork, Certainty::Certain, 70);
    assert!(verdict.remedy.unwrap().contains("kill 70"));
}

#[test]
fn a_parent_in_its_exit_hands_the_zombie_on_by_itself() {
    expect(&with(|life, _| life.state = LifeState::Exiting), Code::ParentExiting, Certainty::Certain, 50);
}

#[test]
fn blocked_sigchld_needs_a_handler_that_waits_for_it() {
    let blocks = |process: &mut ProcessFacts| process.threads[0].blocked = Some(SIGCHLD_SET);
    let facts = with(|_, process| {
        blocks(process);
        process.caught = Some(SIGCHLD_SET);
    });
    let verdict = expect(&facts, Code::SigchldBlocked, Certainty::Likely, 50);
    assert!(verdict.remedy.unwrap().contains("unblock SIGCHLD"));
    assert_eq!(
        judge(&with(|_, process| blocks(process))).code,
        Code::NeverWaits,
        "nothing waits for the signal"
    );
}

#[test]
fn one_thread_that_takes_sigchld_is_enough() {
    let facts = with(|_, process| {
        process.threads[0].blocked = Some(SIGCHLD_SET);
        process.threads.push(thread(51));
        process.caught = Some(SIGCHLD_SET);
        process.has_waited = Some(true);
    });
    assert_eq!(judge(&facts).code, Code::SigchldCoalesced);
}

#[test]
fn a_signalfd_with_a_pending_sigchld_is_not_read() {
    let facts = with(|_, process| {
        process.threads[0].blocked = Some(SIGCHLD_SET);
        process.signalfd = Some(true);
        process.pending = Some(SIGCHLD_SET);
    });
    let verdict = expect(&facts, Code::SignalfdNotRead, Certainty::Certain, 50);
    assert!(verdict.summary.contains("signalfd"));
    let verdict = expect(&young(facts), Code::SignalfdNotRead, Certainty::Likely, 50);
    assert!(verdict.missing.iter().any(|missing| missing.needs.contains("a minute")), "{verdict:#?}");
}

#[test]
fn a_handler_that_takes_one_child_a_signal_misses_some() {
    let facts = with(|life, process| {
        life.debt = Some(Debt { forked: 9, reaped: 7, zombies: 2, ..Debt::default() });
        process.caught = Some(SIGCHLD_SET);
    });
    let verdict = expect(&facts, Code::SigchldCoalesced, Certainty::Likely, 50);
    assert!(verdict.remedy.unwrap().contains("must loop"));
    let pending = with(|_, process| {
        process.caught = Some(SIGCHLD_SET);
        process.has_waited = Some(true);
        process.pending = Some(SIGCHLD_SET);
    });
    assert_ne!(judge(&pending).code, Code::SigchldCoalesced, "the signal is still to be taken");
}

#[test]
fn a_parent_that_waits_for_others_only_now_and_then_is_said_to() {
    expect(&with(|_, process| process.has_waited = Some(true)), Code::NotWaitedFor, Certainty::Likely, 50);
}

#[test]
fn sigchld_ignored_after_the_death_does_not_help_it() {
    expect(
        &with(|_, process| process.ignored = Some(SIGCHLD_SET)),
        Code::IgnoredTooLate,
        Certainty::Certain,
        50,
    );
}

#[test]
fn another_exit_signal_needs_another_wait() {
    for (signal, name) in [(10, "SIGUSR1"), (0, "none"), (40, "signal 40")] {
        let mut facts = base_facts();
        facts.subject.known.life.exit_signal = Some(signal);
        let verdict = expect(&facts, Code::ExitSignal, Certainty::Certain, 50);
        assert!(verdict.summary.contains(name), "{verdict:#?}");
        assert!(verdict.remedy.unwrap().contains("__WALL"));
    }
}

#[test]
fn a_foreign_tracer_holds_it_and_a_tracing_parent_does_not() {
    let mut facts = base_facts();
    facts.subject.tracer = Some(Named { key: key(80), name: Some("strace".into()) });
    let verdict = expect(&facts, Code::HeldByTracer, Certainty::Certain, 80);
    assert!(verdict.summary.contains("strace (pid 80)"));
    facts.subject.tracer = Some(Named { key: key(50), name: None });
    assert_eq!(judge(&facts).code, Code::NeverWaits);
}

#[test]
fn the_init_of_a_container_is_distinguished_from_the_init_of_the_host() {
    let facts = with(|life, _| {
        life.namespace = Some(Namespaced { vtid: 1, vtgid: Some(1), inode: 7, level: 1 });
    });
    let verdict = expect(&facts, Code::ContainerInit, Certainty::Certain, 50);
    assert!(verdict.remedy.unwrap().contains("--init"));
    let by_proc = with(|_, process| process.namespace_pids = vec![50, 1]);
    expect(&by_proc, Code::ContainerInit, Certainty::Certain, 50);
    let host = with(|life, _| life.key.tgid = Tgid(1));
    expect(&host, Code::Init, Certainty::Likely, 1);
}

#[test]
fn an_orphan_names_the_subreaper_it_came_to() {
    let mut facts = base_facts();
    let orphan = &mut facts.subject.known.life;
    (orphan.reparented, orphan.reparented_at, orphan.reparent_kind) =
        (1, Some(Ktime(950 * SECOND)), Some(ReparentKind::Subreaper));
    let verdict = expect(&facts, Code::Subreaper, Certainty::Certain, 50);
    assert!(verdict.evidence.iter().any(|line| line.contains("50 s ago")), "{verdict:#?}");
}

fn waiting(target: WaitTarget, options: u32) -> Call {
    Call::Wait(WaitCall { target, options, exited: true })
}

#[test]
fn a_wait_with_wnothread_in_another_thread_passes_over_it() {
    let facts = with(|_, process| {
        let mut waiter = thread(51);
        waiter.call = Some(waiting(WaitTarget::Any, WNOTHREAD));
        process.threads.push(waiter);
        process.has_waited = Some(true);
    });
    let verdict = expect(&facts, Code::WaitNoThread, Certainty::Certain, 50);
    assert!(
        verdict.evidence[0].contains("thread 51") && verdict.evidence[0].contains("thread 50"),
        "{verdict:#?}"
    );
    let own = with(|_, process| process.threads[0].call = Some(waiting(WaitTarget::Any, WNOTHREAD)));
    assert_eq!(judge(&own).code, Code::JustDied, "its own child is taken");
}

#[test]
fn a_wait_for_another_pid_is_distinguished_from_a_wait_for_this_one() {
    let facts = with(|_, process| process.threads[0].call = Some(waiting(WaitTarget::Pid(61), 0)));
    let verdict = expect(&facts, Code::WaitsForAnother, Certainty::Certain, 50);
    assert!(verdict.summary.ends_with("only for pid 61"), "{verdict:#?}");
    let this = with(|_, process| process.threads[0].call = Some(waiting(WaitTarget::Pid(60), 0)));
    assert_eq!(judge(&this).code, Code::JustDied);
    let clones = with(|_, process| process.threads[0].call = Some(waiting(WaitTarget::Any, WCLONE)));
    assert_eq!(judge(&clones).code, Code::WaitsForAnother);
    let all = with(|_, process| process.threads[0].call = Some(waiting(WaitTarget::Any, WCLONE | WALL)));
    assert_eq!(judge(&all).code, Code::JustDied);
}

#[test]
fn a_pid_in_the_parents_namespace_is_compared_there() {
    let mut facts = with(|_, process| {
        process.namespace_pids = vec![50, 5];
        process.threads[0].call = Some(waiting(WaitTarget::Pid(6), 0));
    });
    facts.subject.known.process.as_mut().unwrap().namespace_pids = vec![60, 6];
    assert_eq!(judge(&facts).code, Code::JustDied);
    facts.subject.known.process.as_mut().unwrap().namespace_pids = vec![60, 7];
    assert_eq!(judge(&facts).code, Code::WaitsForAnother);
}

#[test]
fn who_died_just_now_is_nobodys_fault_yet() {
    let mut facts = with(|_, process| process.has_waited = Some(true));
    facts.subject.known.life.zombie = Some(Span { ns: SECOND / 100, bound: Bound::Exact });
    assert_eq!(judge(&facts).code, Code::JustDied);
    // A zombie that a snapshot found may be older than its time shows.
    facts.subject.known.life.zombie = Some(Span { ns: SECOND / 100, bound: Bound::AtLeast });
    assert_eq!(judge(&facts).code, Code::NotWaitedFor);
}

#[test]
fn what_could_not_be_read_is_named_with_what_it_takes() {
    let mut facts = base_facts();
    facts.observed_since = None;
    facts.parent.as_mut().unwrap().process = Err("root".into());
    facts.parent.as_mut().unwrap().life.debt = None;
    let verdict = judge(&facts);
    assert_eq!(verdict.code, Code::Unknown);
    let named: Vec<&str> = verdict.missing.iter().map(|missing| missing.fact.as_str()).collect();
    assert!(named.contains(&"the parent's signals and state"), "{named:?}");
    assert!(verdict.missing.iter().any(|missing| missing.needs.contains("--observe")), "{verdict:#?}");
    facts.parent = None;
    assert_eq!(judge(&facts).code, Code::Unknown);
}
