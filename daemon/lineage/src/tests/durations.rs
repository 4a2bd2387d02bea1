//! How long after its birth a process execs, and how long a program runs.

use super::fixture::Fixture;
use crate::model::effect::Action;
use crate::model::flags::EXIT_ZOMBIE;
use crate::model::id::{Ktime, TaskKey, TaskRef, Tgid, Tid};

const MS: u64 = 1_000_000;

/// Times from fork to exec, and from exec to the end, in milliseconds, as the effects have them.
fn emitted(fixture: &Fixture) -> Vec<(&'static str, Option<u64>)> {
    let ms = |ns: Option<u64>| ns.map(|ns| ns / MS);
    let of = |action: &Action| match action {
        Action::Execed { since_fork_ns, .. } => Some(("exec", ms(*since_fork_ns))),
        Action::GroupExited { since_exec_ns, .. } => Some(("end", ms(*since_exec_ns))),
        _ => None,
    };
    fixture.effects.iter().filter_map(|effect| of(&effect.action)).collect()
}

#[test]
fn the_first_exec_says_how_long_it_took_and_the_end_how_long_the_last_program_ran() {
    let mut fixture = Fixture::new();
    let init = fixture.init();
    let child = fixture.fork(init, 100);
    fixture.wait(5 * MS);
    fixture.exec(child, "/bin/sh");
    fixture.wait(7 * MS);
    fixture.exec(child, "/bin/sleep");
    fixture.wait(9 * MS);
    fixture.exiting(child, 0);
    fixture.exited(child, EXIT_ZOMBIE, 0, true);
    assert_eq!(emitted(&fixture), [("exec", Some(5)), ("exec", None), ("end", Some(9))]);
}

#[test]
fn the_first_exec_of_a_process_with_an_unseen_fork_is_unknown() {
    let mut fixture = Fixture::new();
    let key = TaskKey { tid: Tid(100), start: Ktime(1) };
    fixture.exec(TaskRef { key, tgid: Tgid(100) }, "/bin/sh");
    assert_eq!(emitted(&fixture), [("exec", None)]);
}

#[test]
fn a_process_that_never_execs_ran_no_program() {
    let mut fixture = Fixture::new();
    let init = fixture.init();
    let child = fixture.fork(init, 100);
    fixture.exiting(child, 0);
    fixture.exited(child, EXIT_ZOMBIE, 0, true);
    assert_eq!(emitted(&fixture), [("end", None)]);
}
