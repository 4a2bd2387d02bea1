//! Children that a process took before its last exec, and their late releases.

use super::scene::Fixture;
use crate::model::flags::EXIT_ZOMBIE;
use crate::model::record::{Fact, ReleaseSource};

/// What a parent's waits took: in all, and before its last exec.
fn taken(scene: &Fixture) -> (u64, u64) {
    let parent = scene.lineage.group(crate::model::id::Tgid(100)).unwrap();
    let life = parent.life(scene.now).unwrap();
    (life.debt.unwrap().reaped, life.before_exec.unwrap().reaped)
}

fn freed_after(exec_age_ns: u64) -> (u64, u64) {
    let mut scene = Fixture::new();
    let init = scene.init();
    let parent = scene.fork(init, 100);
    let child = scene.fork(parent, 101);
    scene.exiting(child, 0);
    scene.exited(child, EXIT_ZOMBIE, 0, true);
    scene.exec(parent, "/bin/sleep");
    scene.wait(exec_age_ns);
    let freed = Fixture::released_of(child, None, ReleaseSource::Free);
    scene.record(Fact::Released(Box::new(freed)));
    taken(&scene)
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
    let mut scene = Fixture::new();
    let init = scene.init();
    let parent = scene.fork(init, 100);
    let child = scene.fork(parent, 101);
    scene.exiting(child, 0);
    scene.exited(child, EXIT_ZOMBIE, 0, true);
    scene.exec(parent, "/bin/sleep");
    scene.released(child, parent);
    assert_eq!(taken(&scene), (1, 0));
}
