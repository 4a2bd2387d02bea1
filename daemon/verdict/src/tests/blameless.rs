//! Situations that look like a parent's fault and are not, and those in which an init, a subreaper or a tracer is not the cause
//! with certainty.

use super::*;
use crate::facts::{PipeRead, Sleep};
use lineage::flags::PF_FORKNOEXEC;
use lineage::id::{TaskKey, TaskRef};

fn reaps(life: &mut Life) {
    life.debt = Some(Debt { forked: 9, reaped: 3, zombies: 1, ..Debt::default() });
}

#[test]
fn who_reads_a_pipe_first_is_not_certain_to_never_wait() {
    let writer = Named { key: key(90), name: Some("helper".into()) };
    let facts =
        with(|_, process| process.pipe_read = Some(PipeRead { tid: Tid(50), fd: 3, writer: writer.clone() }));
    let verdict = expect(&facts, Code::ReadsOutputFirst, Certainty::Likely, 90);
    assert!(verdict.summary.contains("helper (pid 90)"), "{verdict:#?}");
    assert!(!verdict.remedy.unwrap().contains("kill"));
}

#[test]
fn an_init_that_reaps_others_may_only_be_late() {
    let facts = with(|life, _| {
        reaps(life);
        life.namespace = Some(Namespaced { vtid: 1, vtgid: Some(1), inode: 7, level: 1 });
    });
    let verdict = expect(&facts, Code::ContainerInit, Certainty::Likely, 50);
    assert!(verdict.summary.contains("reaps late"), "{verdict:#?}");
}

#[test]
fn an_init_that_nobody_watched_may_reap_between_two_polls() {
    let mut facts = with(|_, process| process.namespace_pids = vec![50, 1]);
    facts.observed_since = None;
    expect(&facts, Code::ContainerInit, Certainty::Likely, 50);
}

#[test]
fn a_subreaper_that_reaps_others_may_only_be_late() {
    let mut facts = with(|life, _| reaps(life));
    let orphan = &mut facts.subject.known.life;
    (orphan.reparented, orphan.reparented_at, orphan.reparent_kind) =
        (1, Some(Ktime(950 * SECOND)), Some(ReparentKind::Subreaper));
    let verdict = expect(&facts, Code::Subreaper, Certainty::Likely, 50);
    assert!(verdict.summary.contains("reaps late"), "{verdict:#?}");
    assert!(!verdict.remedy.unwrap().contains("kill"));
}

#[test]
fn a_subshell_at_an_init_is_not_taken_for_a_child_of_before_an_exec() {
    let mut facts = with(|_, process| process.namespace_pids = vec![50, 1]);
    facts.observed_since = None;
    facts.subject.known.life.flags = Some(PF_FORKNOEXEC);
    facts.subject.known.life.name = life(1, b"sh", LifeState::Zombie).name;
    let verdict = expect(&facts, Code::ContainerInit, Certainty::Likely, 50);
    assert!(verdict.evidence[0].contains("an orphan of a shell"), "{verdict:#?}");
}

#[test]
fn a_tracee_of_a_parent_that_ignores_sigchld_was_not_ignored_too_late() {
    let mut facts = with(|_, process| process.ignored = Some(SIGCHLD_SET));
    facts.subject.tracer = Some(Named { key: key(50), name: None });
    expect(&facts, Code::HeldByTracer, Certainty::Certain, 50);
}

#[test]
fn who_made_a_child_by_clone_parent_is_named() {
    let mut facts = base_facts();
    let key = TaskKey { tid: Tid(55), start: Ktime(55 * SECOND) };
    facts.subject.known.life.creator = Some(TaskRef { key, tgid: Tgid(55) });
    let verdict = judge(&facts);
    assert!(verdict.evidence.iter().any(|line| line.contains("pid 55 created it")), "{verdict:#?}");
}

#[test]
fn without_watching_a_wait_may_be_of_before_an_exec() {
    let mut facts = with(|_, process| process.has_waited = Some(true));
    facts.observed_since = None;
    let verdict = expect(&facts, Code::NotWaitedFor, Certainty::Likely, 50);
    assert!(verdict.evidence[0].contains("a program that it ran before an exec"), "{verdict:#?}");
}

#[test]
fn a_parent_in_d_state_whose_call_is_not_known_may_be_in_a_vfork() {
    let facts = with(|_, process| (process.threads[0].state, process.threads[0].call) = (Some(b'D'), None));
    let verdict = expect(&facts, Code::ParentInDState, Certainty::Likely, 50);
    assert!(verdict.missing.iter().any(|missing| missing.needs.contains("CAP_SYS_PTRACE")), "{verdict:#?}");
}

/// A live process in state D, with what its kernel stack shows.
fn asleep(sleep: Option<Sleep>) -> Verdict {
    let mut facts = base_facts();
    let process = facts.parent.as_mut().unwrap().process.as_mut().unwrap();
    (process.threads[0].state, process.threads[0].sleep) = (Some(b'D'), sleep);
    facts.subject.known = facts.parent.take().unwrap();
    facts.subject.known.life.debt = None;
    expect(&facts, Code::InDState, Certainty::Likely, 50)
}

#[test]
fn a_sleep_says_for_whom_and_whether_a_kill_ends_it() {
    let fuse = Sleep {
        at_least_ns: Some(7 * SECOND),
        is_killable: true,
        waits_for: Some("a FUSE daemon".into()),
        remedy: Some("look at the daemon".into()),
    };
    let verdict = asleep(Some(fuse.clone()));
    assert!(verdict.summary.ends_with("it waits for a FUSE daemon"), "{verdict:#?}");
    assert_eq!(verdict.remedy.as_deref(), Some("look at the daemon; kill -9 50 ends it"));
    let disk = asleep(Some(Sleep { is_killable: false, ..fuse }));
    assert!(disk.remedy.unwrap().contains("no signal ends it"));
    assert!(asleep(None).remedy.unwrap().contains("/proc/50/stack"));
}

#[test]
fn a_tracer_that_is_stopped_itself_is_said_to_be() {
    let mut facts = base_facts();
    let process = facts.parent.as_mut().unwrap().process.as_mut().unwrap();
    (process.threads[0].state, process.threads[0].tracer) = (Some(b't'), Some(77));
    facts.subject.known = facts.parent.take().unwrap();
    facts.subject.tracer_state = Some(b't');
    let verdict = expect(&facts, Code::StoppedByTracer, Certainty::Certain, 77);
    assert!(verdict.remedy.unwrap().contains("kill -9 77"));
    facts.subject.tracer_state = Some(b'S');
    assert!(judge(&facts).remedy.unwrap().contains("the tracer must continue"));
}

#[test]
fn a_lost_wait_status_is_evidence_for_the_parent() {
    let mut facts = base_facts();
    facts.subject.known = facts.parent.take().unwrap();
    facts.subject.known.life.debt = Some(Debt { forked: 1, autoreaped: 1, ..Debt::default() });
    let verdict = judge(&facts);
    assert_eq!(verdict.code, Code::Alive);
    assert!(verdict.evidence.iter().any(|line| line.contains("ECHILD")), "{verdict:#?}");
}
