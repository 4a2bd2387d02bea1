//! Processes that live, dead leaders, and processes that have ended.

use std::sync::Arc;

use lineage::death::{JobStop, Sender, Sent};
use lineage::id::{TaskKey, TaskRef};
use lineage::record::SignalInfo;

use super::*;

/// A living process.
fn alive() -> Facts {
    let mut facts = base_facts();
    facts.subject = Child {
        known: Known { life: life(50, b"parent", LifeState::Running), process: Ok(process(50)) },
        parent_thread: None,
        tracer: None,
        tracer_state: None,
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
    held.vfork_child = Some(vfork_child(70));
    expect(&held, Code::HeldByVfork, Certainty::Certain, 70);
}

/// SIGSTOP from a process to the subject.
fn stop_from(pid: u32) -> JobStop {
    let task = |pid| TaskRef { key: TaskKey { tid: Tid(pid), start: Ktime(1) }, tgid: Tgid(pid) };
    let sender = Sender {
        task: Some(task(pid)),
        name: None,
        uid: Some(0),
        login_uid: None,
        terminal: None,
        flags: 0,
        cgroup_id: None,
        ancestors: Box::default(),
        is_namespace_init: false,
    };
    let sent = Sent {
        at: Ktime(990 * SECOND),
        signal: 19,
        code: Some(0),
        info: SignalInfo::Real,
        to_group: true,
        target: task(50),
        result: 0,
        address: 0,
        syscall: 0,
        tracer: None,
        cpu_limits: None,
        in_execve: None,
        is_before_creation: false,
        received: None,
        disposition: None,
        sender,
        times: 1,
        last: Ktime(990 * SECOND),
    };
    JobStop { sent, leads_session: None, continued: None }
}

#[test]
fn a_tracee_that_was_sent_sigstop_stays_stopped_when_its_tracer_ends() {
    let mut facts = alive_in(b't');
    facts.subject.known.process.as_mut().unwrap().threads[0].tracer = Some(77);
    let judged = |stop| {
        let mut facts = facts.clone();
        facts.subject.known.life.job_stop = Some(Arc::new(stop));
        expect(&facts, Code::StoppedByTracer, Certainty::Certain, 77)
    };
    let stopped = judged(stop_from(80));
    assert!(stopped.summary.contains("SIGSTOP from pid 80, and its tracer pid 77 holds it"), "{stopped:#?}");
    assert!(stopped.remedy.as_ref().unwrap().starts_with("continue it: kill -CONT 50"), "{stopped:#?}");
    // PTRACE_ATTACH sends SIGSTOP, and a tracee can ask its tracer to take over by it.
    for sender in [77, 50] {
        let attached = judged(stop_from(sender));
        assert!(!attached.remedy.as_ref().unwrap().contains("-CONT"), "{attached:#?}");
    }
    let continued = judged(JobStop { continued: Some(Ktime(995 * SECOND)), ..stop_from(80) });
    assert!(!continued.summary.contains("SIGSTOP"), "{continued:#?}");
}

#[test]
fn the_verdict_on_a_parent_has_its_zombies_and_the_reason() {
    let mut facts = alive();
    facts.subject.known.life.debt = Some(Debt { forked: 3, zombies: 2, ..Debt::default() });
    facts.owed = Some(base_facts().subject);
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
