//! A child of the program that ran before an exec is not the new program's fault.

use super::*;
use lineage::BeforeExec;
use lineage::flags::PF_FORKNOEXEC;

/// Returns a parent (start 50 s) that ran bash, forked the child (start 60 s), and executed sleep at 70 s.
fn exec_over() -> Facts {
    let mut facts = with(|life, _| {
        life.exec_at = Some(Ktime(70 * SECOND));
        life.execs = 2;
        let path = lineage::PathName::from(&b"/usr/bin/bash"[..]);
        life.before_exec = Some(Box::new(BeforeExec {
            executable: Some(std::sync::Arc::new(path)),
            since: Some(Ktime(50 * SECOND)),
            forked: 3,
            reaped: 0,
        }));
    });
    facts.subject.known.life.flags = Some(PF_FORKNOEXEC);
    facts
}

#[test]
fn a_child_of_before_the_exec_was_forked_by_another_program() {
    let verdict = expect(&exec_over(), Code::ForkedBeforeExec, Certainty::Certain, 50);
    assert!(verdict.summary.contains("while that ran bash, before it called exec of parent"), "{verdict:#?}");
    let remedy = verdict.remedy.unwrap();
    assert!(remedy.contains("( helper & )") && !remedy.contains("waitpid(-1"), "{remedy}");
}

#[test]
fn a_child_of_after_the_exec_is_the_programs_own() {
    let mut facts = exec_over();
    facts.subject.known.life.key.start = Some(Ktime(80 * SECOND));
    let verdict = expect(&facts, Code::NeverWaits, Certainty::Certain, 50);
    assert_eq!(verdict.summary, "parent (pid 50) has not waited for any child since its last exec");
}

#[test]
fn waits_of_before_the_exec_do_not_count_for_the_new_program() {
    let mut facts = exec_over();
    facts.subject.known.life.key.start = Some(Ktime(80 * SECOND));
    let parent = facts.parent.as_mut().unwrap();
    parent.life.debt = Some(Debt { forked: 9, reaped: 4, zombies: 1, ..Debt::default() });
    parent.life.before_exec.as_mut().unwrap().reaped = 4;
    // The kernel's sum of what children used continues over an exec.
    parent.process.as_mut().unwrap().has_waited = Some(true);
    let verdict = expect(&facts, Code::NeverWaits, Certainty::Certain, 50);
    assert!(
        verdict.evidence.iter().any(|line| line.contains("it forked 6 children and reaped 0")),
        "{verdict:#?}"
    );
}

#[test]
fn an_orphan_has_nothing_to_do_with_its_new_parents_exec() {
    let mut facts = exec_over();
    facts.subject.known.life.first_parent = Some(key(7));
    assert_ne!(judge(&facts).code, Code::ForkedBeforeExec);
}

#[test]
fn a_program_of_two_execs_ago_is_not_named_by_guess() {
    let mut facts = exec_over();
    facts.subject.known.life.flags = None;
    let parent = facts.parent.as_mut().unwrap();
    parent.life.before_exec.as_mut().unwrap().since = Some(Ktime(65 * SECOND));
    let verdict = expect(&facts, Code::ForkedBeforeExec, Certainty::Certain, 50);
    assert!(verdict.summary.contains("while that ran another program"), "{verdict:#?}");
}

#[test]
fn without_the_exec_only_a_shells_name_tells_and_only_likely() {
    let mut facts = exec_over();
    let parent = facts.parent.as_mut().unwrap();
    (parent.life.exec_at, parent.life.execs, parent.life.before_exec) = (None, 0, None);
    facts.observed_since = Some(Ktime(100 * SECOND));
    assert_ne!(judge(&facts).code, Code::ForkedBeforeExec, "child is no shell");
    facts.subject.known.life.name = life(1, b"bash", LifeState::Zombie).name;
    let verdict = expect(&facts, Code::ForkedBeforeExec, Certainty::Likely, 50);
    assert!(verdict.summary.contains("while that ran bash"), "{verdict:#?}");
    facts.subject.known.life.flags = Some(0);
    assert_ne!(judge(&facts).code, Code::ForkedBeforeExec, "it execed itself");
}

#[test]
fn for_the_init_of_a_container_an_init_in_front_is_no_remedy() {
    let mut facts = exec_over();
    let parent = facts.parent.as_mut().unwrap();
    parent.life.namespace = Some(Namespaced { inode: 9, level: 1, vtid: 1, vtgid: Some(1) });
    let verdict = expect(&facts, Code::ForkedBeforeExec, Certainty::Certain, 50);
    assert!(verdict.remedy.unwrap().contains("an init in front does not help"));
}
