//! One test a verdict: the facts that lead to it, and what must not be mistaken for it.

use super::facts::{
    Call, Child, Known, Named, Obstacle, ProcessFacts, Signals, ThreadFacts, WALL, WNOTHREAD, WaitCall, Whom,
};
use super::{Certainty, Code, Facts, Verdict, duration, judge};
use crate::lineage::debt::Debt;
use crate::lineage::effect::{Bound, Provenance, Reaper, ReaperKind, ReparentKind, Span};
use crate::lineage::flags::SIGCHLD;
use crate::lineage::id::{GroupKey, Ktime, Tgid, Tid};
use crate::lineage::life::{End, Life, LifeState};
use crate::lineage::record::{Comm, Namespaced};
use crate::lineage::task::TaskKind;

const SECOND: u64 = 1_000_000_000;
const NOW: Ktime = Ktime(1_000 * SECOND);
const SIGCHLD_SET: Signals = Signals(1 << (SIGCHLD - 1));
const NO_SIGNALS: Signals = Signals(0);

fn key(pid: u32) -> GroupKey {
    GroupKey { tgid: Tgid(pid), start: Some(Ktime(u64::from(pid) * SECOND)) }
}

fn life(pid: u32, name: &[u8], state: LifeState) -> Life {
    let mut comm = Comm::default();
    comm.0[..name.len()].copy_from_slice(name);
    Life {
        key: key(pid),
        state,
        provenance: Provenance::Observed,
        kind: TaskKind::Process,
        name: Some(comm),
        executable: None,
        parent: None,
        parent_name: None,
        first_parent: None,
        creator: None,
        clone_flags: None,
        creation: None,
        flags: None,
        exit_signal: Some(SIGCHLD),
        credentials: None,
        cgroup_id: None,
        namespace: None,
        holds_parent: false,
        execs: 0,
        exec_at: None,
        renames: 0,
        threads: 1,
        threads_created: 0,
        threads_peak: 0,
        tracer: None,
        since: Ktime(900 * SECOND),
        leader_died_at: None,
        reparented: 0,
        reparented_at: None,
        reparent_kind: None,
        status: None,
        zombie: None,
        end: None,
        reaper: None,
        released_at: None,
        debt: None,
        usage: None,
        children_usage: None,
    }
}

fn thread(tid: u32) -> ThreadFacts {
    ThreadFacts {
        tid: Tid(tid),
        state: Some(b'S'),
        blocked: Some(NO_SIGNALS),
        tracer: Some(0),
        call: Some(Call::Other),
        wchan: Some("hrtimer_nanosleep".into()),
    }
}

fn process(pid: u32) -> ProcessFacts {
    ProcessFacts {
        ignored: Some(NO_SIGNALS),
        caught: Some(NO_SIGNALS),
        pending: Some(NO_SIGNALS),
        namespace_pids: vec![pid],
        has_waited: Some(false),
        signalfd: Some(false),
        executable: None,
        threads: vec![thread(pid)],
        threads_omitted: 0,
    }
}

/// A zombie, 100 s old, of a parent that sleeps; watched from before the parent's birth.
fn scene() -> Facts {
    let zombie = Life {
        parent: Some(key(50)),
        zombie: Some(Span { ns: 100 * SECOND, bound: Bound::Exact }),
        ..life(60, b"child", LifeState::Zombie)
    };
    let debt = Debt { forked: 3, zombies: 2, ..Debt::default() };
    let parent = Life { debt: Some(debt), ..life(50, b"parent", LifeState::Running) };
    Facts {
        now: NOW,
        observed_since: Some(Ktime(SECOND)),
        subject: Child {
            known: Known { life: zombie, process: Ok(process(60)) },
            parent_thread: Some(Tid(50)),
            tracer: None,
        },
        parent: Some(Known { life: parent, process: Ok(process(50)) }),
        owed: None,
        vfork_child: None,
        parents_vfork_child: None,
        obstacles: Vec::new(),
        heir: None,
    }
}

/// The scene with its parent changed.
fn with(change: impl FnOnce(&mut Life, &mut ProcessFacts)) -> Facts {
    let mut facts = scene();
    let parent = facts.parent.as_mut().unwrap();
    change(&mut parent.life, parent.process.as_mut().unwrap());
    facts
}

#[track_caller]
fn expect(facts: &Facts, code: Code, certainty: Certainty, culprit: u32) -> Verdict {
    let verdict = judge(facts);
    assert_eq!((verdict.code, verdict.certainty), (code, certainty), "{verdict:#?}");
    let blamed = verdict.culprit.as_ref().map(|culprit| culprit.key.tgid.0);
    assert_eq!(blamed, Some(culprit), "{verdict:#?}");
    assert!(verdict.remedy.as_ref().is_some_and(|remedy| !remedy.is_empty()), "{verdict:#?}");
    assert!(!verdict.evidence.is_empty(), "{verdict:#?}");
    verdict
}

#[test]
fn a_parent_that_has_never_waited_is_named() {
    let verdict = expect(&scene(), Code::NeverWaits, Certainty::Certain, 50);
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
fn a_stopped_parent_is_told_to_go_on() {
    let verdict = expect(
        &with(|_, process| process.threads[0].state = Some(b'T')),
        Code::ParentStopped,
        Certainty::Certain,
        50,
    );
    assert!(verdict.remedy.unwrap().contains("kill -CONT 50"));
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
    facts.parents_vfork_child = Some(Named { key: key(70), name: Some("slow".into()) });
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
    expect(&facts, Code::SigchldBlocked, Certainty::Certain, 50);
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
fn a_signalfd_nobody_reads_is_a_blocked_sigchld() {
    let facts = with(|_, process| {
        process.threads[0].blocked = Some(SIGCHLD_SET);
        process.signalfd = Some(true);
        process.pending = Some(SIGCHLD_SET);
    });
    let verdict = expect(&facts, Code::SigchldBlocked, Certainty::Certain, 50);
    assert!(verdict.summary.contains("signalfd"));
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
        let mut facts = scene();
        facts.subject.known.life.exit_signal = Some(signal);
        let verdict = expect(&facts, Code::ExitSignal, Certainty::Certain, 50);
        assert!(verdict.summary.contains(name), "{verdict:#?}");
        assert!(verdict.remedy.unwrap().contains("__WALL"));
    }
}

#[test]
fn a_foreign_tracer_holds_it_and_a_tracing_parent_does_not() {
    let mut facts = scene();
    facts.subject.tracer = Some(Named { key: key(80), name: Some("strace".into()) });
    let verdict = expect(&facts, Code::HeldByTracer, Certainty::Certain, 80);
    assert!(verdict.summary.contains("strace (pid 80)"));
    facts.subject.tracer = Some(Named { key: key(50), name: None });
    assert_eq!(judge(&facts).code, Code::NeverWaits);
}

#[test]
fn the_init_of_a_container_is_told_apart_from_that_of_the_host() {
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
    let mut facts = scene();
    let orphan = &mut facts.subject.known.life;
    (orphan.reparented, orphan.reparented_at, orphan.reparent_kind) =
        (1, Some(Ktime(950 * SECOND)), Some(ReparentKind::Subreaper));
    let verdict = expect(&facts, Code::Subreaper, Certainty::Certain, 50);
    assert!(verdict.evidence.iter().any(|line| line.contains("50 s ago")), "{verdict:#?}");
}

fn waiting(whom: Whom, options: u32) -> Call {
    Call::Wait(WaitCall { whom, options })
}

#[test]
fn a_wait_with_wnothread_in_another_thread_passes_over_it() {
    let facts = with(|_, process| {
        let mut waiter = thread(51);
        waiter.call = Some(waiting(Whom::Any, WNOTHREAD));
        process.threads.push(waiter);
        process.has_waited = Some(true);
    });
    let verdict = expect(&facts, Code::WaitNoThread, Certainty::Certain, 50);
    assert!(
        verdict.evidence[0].contains("thread 51") && verdict.evidence[0].contains("thread 50"),
        "{verdict:#?}"
    );
    let own = with(|_, process| process.threads[0].call = Some(waiting(Whom::Any, WNOTHREAD)));
    assert_eq!(judge(&own).code, Code::JustDied, "its own child is taken");
}

#[test]
fn a_wait_for_another_pid_is_told_from_one_for_this() {
    let facts = with(|_, process| process.threads[0].call = Some(waiting(Whom::Pid(61), 0)));
    let verdict = expect(&facts, Code::WaitsForAnother, Certainty::Certain, 50);
    assert!(verdict.summary.ends_with("only for pid 61"), "{verdict:#?}");
    let this = with(|_, process| process.threads[0].call = Some(waiting(Whom::Pid(60), 0)));
    assert_eq!(judge(&this).code, Code::JustDied);
    let clones = with(|_, process| process.threads[0].call = Some(waiting(Whom::Any, super::facts::WCLONE)));
    assert_eq!(judge(&clones).code, Code::WaitsForAnother);
    let all =
        with(|_, process| process.threads[0].call = Some(waiting(Whom::Any, super::facts::WCLONE | WALL)));
    assert_eq!(judge(&all).code, Code::JustDied);
}

#[test]
fn a_pid_in_the_parents_namespace_is_compared_there() {
    let mut facts = with(|_, process| {
        process.namespace_pids = vec![50, 5];
        process.threads[0].call = Some(waiting(Whom::Pid(6), 0));
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
    // Found by a snapshot it may be older than it looks.
    facts.subject.known.life.zombie = Some(Span { ns: SECOND / 100, bound: Bound::AtLeast });
    assert_eq!(judge(&facts).code, Code::NotWaitedFor);
}

#[test]
fn what_could_not_be_read_is_named_with_what_it_takes() {
    let mut facts = scene();
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

/// A living process.
fn alive() -> Facts {
    let mut facts = scene();
    facts.subject = Child {
        known: Known { life: life(50, b"parent", LifeState::Running), process: Ok(process(50)) },
        parent_thread: None,
        tracer: None,
    };
    facts.parent = None;
    facts
}

fn alive_in(state: u8) -> Facts {
    let mut facts = alive();
    facts.subject.known.process.as_mut().unwrap().threads[0].state = Some(state);
    facts
}

#[test]
fn a_living_process_is_said_to_live() {
    assert_eq!(judge(&alive()).code, Code::Alive);
    assert_eq!(judge(&alive_in(b'R')).code, Code::Alive);
}

#[test]
fn a_living_process_that_is_stopped_or_held_is_said_to_be() {
    expect(&alive_in(b'T'), Code::Stopped, Certainty::Certain, 50);
    expect(&alive_in(b'D'), Code::InDState, Certainty::Likely, 50);
    let mut traced = alive_in(b't');
    traced.subject.known.process.as_mut().unwrap().threads[0].tracer = Some(77);
    expect(&traced, Code::StoppedByTracer, Certainty::Certain, 77);
    let mut held = alive_in(b'D');
    held.vfork_child = Some(Named { key: key(70), name: None });
    expect(&held, Code::HeldByVfork, Certainty::Certain, 70);
}

#[test]
fn a_parent_is_told_what_it_owes_and_why() {
    let mut facts = alive();
    facts.subject.known.life.debt = Some(Debt { forked: 3, zombies: 2, ..Debt::default() });
    facts.owed = Some(scene().subject);
    let verdict = expect(&facts, Code::OwesWaits, Certainty::Certain, 50);
    assert!(
        verdict.summary.contains("2 zombie children") && verdict.summary.contains("never waited"),
        "{verdict:#?}"
    );
}

#[test]
fn a_dead_leader_is_no_zombie() {
    let mut facts = alive();
    let life = &mut facts.subject.known.life;
    (life.state, life.threads, life.leader_died_at) = (LifeState::DeadLeader, 3, Some(Ktime(940 * SECOND)));
    let process = facts.subject.known.process.as_mut().unwrap();
    process.threads[0].state = Some(b'Z');
    process.threads.push(thread(51));
    process.threads.push(thread(52));
    let verdict = expect(&facts, Code::DeadLeader, Certainty::Certain, 50);
    assert!(
        verdict.summary.starts_with("not a zombie") && verdict.summary.contains("2 threads"),
        "{verdict:#?}"
    );
    assert!(verdict.evidence[1].contains("thread 51 S in hrtimer_nanosleep()"), "{verdict:#?}");
}

#[test]
fn an_init_whose_exit_hangs_names_the_parent_of_the_zombie_it_waits_for() {
    let mut facts = alive();
    facts.subject.known.life.state = LifeState::Exiting;
    let parent = Named { key: key(30), name: Some("outside".into()) };
    let process = Named { key: key(60), name: Some("guest".into()) };
    facts.obstacles = vec![Obstacle { process, is_zombie: true, parent: Some(parent) }];
    let verdict = expect(&facts, Code::ExitStuck, Certainty::Likely, 30);
    assert!(verdict.remedy.unwrap().contains("taskscope explain 30"));
    facts.obstacles.clear();
    let verdict = judge(&facts);
    assert!(verdict.remedy.unwrap().contains("/proc/50/stack"), "nobody to blame is known");
}

#[test]
fn a_life_that_is_over_says_who_ended_it() {
    let mut facts = alive();
    let life = &mut facts.subject.known.life;
    (life.state, life.end) = (LifeState::Released, Some(End::Autoreaped));
    assert_eq!(judge(&facts).code, Code::Autoreaped);
    let reaper = Reaper { task: None, process: key(30), name: None, kind: ReaperKind::Parent };
    let life = &mut facts.subject.known.life;
    (life.end, life.reaper) = (Some(End::Reaped), Some(reaper));
    let verdict = judge(&facts);
    assert!(
        verdict.summary.ends_with("reaped by pid 30") && verdict.evidence[0].contains("concluded"),
        "{verdict:#?}"
    );
    (facts.subject.known.life.end, facts.subject.known.life.reaper) = (None, None);
    assert_eq!(judge(&facts).code, Code::Gone);
}

#[test]
fn every_code_has_a_name_of_its_own_and_words() {
    let names: std::collections::HashSet<&str> = Code::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(names.len(), Code::ALL.len());
    assert!(Code::ALL.iter().all(|code| code.words().len() <= 40), "a column of a table");
}

#[test]
fn lengths_of_time_have_two_units_at_most() {
    for (ns, text) in [
        (0, "0 us"),
        (1_500_000, "1 ms"),
        (1_250 * 1_000_000, "1.2 s"),
        (59 * SECOND, "59 s"),
        (61 * SECOND, "1 min 1 s"),
        (3_600 * SECOND, "1 h"),
        (90_061 * SECOND, "1 d 1 h"),
    ] {
        assert_eq!(duration(ns), text);
    }
}
