//! Children that a process reaped before its last exec, and their late releases.

use super::fixture::Fixture;
use crate::model::flags::EXIT_ZOMBIE;
use crate::model::id::{TaskRef, Tgid};
use crate::model::record::{Fact, ReleaseSource};

/// How many children a parent reaped: in total, and before its last exec.
fn taken(fixture: &Fixture) -> (u64, u64) {
    let parent = fixture.lineage.group(Tgid(100)).unwrap();
    let life = parent.life(fixture.now).unwrap();
    (life.debt.unwrap().reaped, life.before_exec.unwrap().reaped)
}

/// A parent, pid 100, and its child, which was a zombie when the parent called execve(2).
fn zombie_over_an_exec() -> (Fixture, TaskRef, TaskRef) {
    let mut fixture = Fixture::new();
    let init = fixture.init();
    let parent = fixture.fork(init, 100);
    let child = fixture.fork(parent, 101);
    fixture.exiting(child, 0);
    fixture.exited(child, EXIT_ZOMBIE, 0, true);
    fixture.exec(parent, "/bin/sleep");
    (fixture, parent, child)
}

fn freed_after(exec_age_ns: u64) -> (u64, u64) {
    let (mut fixture, _, child) = zombie_over_an_exec();
    fixture.wait(exec_age_ns);
    let freed = Fixture::released_of(child, None, ReleaseSource::Free);
    fixture.record(Fact::Released(freed));
    taken(&fixture)
}

#[test]
fn a_release_that_rcu_delayed_over_an_exec_counts_before_it() {
    assert_eq!(freed_after(100_000_000), (1, 1));
}

#[test]
fn a_release_long_after_the_exec_is_the_new_programs_wait() {
    assert_eq!(freed_after(3_000_000_000), (1, 0));
}

#[test]
fn a_release_that_names_its_reaper_counts_when_it_was() {
    let (mut fixture, parent, child) = zombie_over_an_exec();
    fixture.released(child, parent);
    assert_eq!(taken(&fixture), (1, 0));
}
