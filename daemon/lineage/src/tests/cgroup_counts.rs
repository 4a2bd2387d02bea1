//! The tasks of a cgroup now. After each record, [`Lineage::check`](crate::Lineage::check) compares them with a walk over all groups.

use std::collections::BTreeMap;

use crate::CgroupCounts;
use crate::model::flags::{EXIT_DEAD, EXIT_ZOMBIE};
use crate::model::id::TaskRef;
use crate::model::record::{CgroupAttached, Fact, TaskPlace};
use crate::tests::fixture::Fixture;

fn born_in(fixture: &mut Fixture, tid: u32, cgroup_id: u64) -> TaskRef {
    let mut new = fixture.new_of(fixture.init(), tid, "app");
    new.place = TaskPlace { cgroup_id: Some(cgroup_id), ..TaskPlace::default() };
    fixture.record(Fact::New(new));
    new.task
}

/// Processes, threads and zombies of a cgroup.
fn counts(fixture: &Fixture, cgroup_id: Option<u64>) -> (u32, u32, u32) {
    let mut sums: BTreeMap<Option<u64>, CgroupCounts> = BTreeMap::new();
    for (id, counts) in fixture.lineage.cgroup_counts() {
        sums.entry(id).or_default().add(&counts);
    }
    let CgroupCounts { processes, threads, zombies } = sums.get(&cgroup_id).copied().unwrap_or_default();
    (processes, threads, zombies)
}

#[test]
fn processes_and_threads_count_from_their_fork_to_their_exit() {
    let mut fixture = Fixture::new();
    assert_eq!(counts(&fixture, None), (1, 1, 0), "pid 1, and not the idle task");
    let app = born_in(&mut fixture, 100, 7);
    let thread = fixture.thread(app, 101);
    born_in(&mut fixture, 200, 7);
    assert_eq!(counts(&fixture, Some(7)), (2, 3, 0));
    // The leader dies first.
    fixture.exited(app, EXIT_ZOMBIE, 0, false);
    assert_eq!(counts(&fixture, Some(7)), (2, 2, 0), "a dead leader is no zombie");
    fixture.exited(thread, EXIT_DEAD, 0, false);
    fixture.released(thread, thread);
    fixture.wait(20_000_000);
    assert_eq!(counts(&fixture, Some(7)), (1, 1, 1));
    fixture.released(app, fixture.init());
    assert_eq!(counts(&fixture, Some(7)), (1, 1, 0));
    assert_eq!(counts(&fixture, None), (1, 1, 0));
}

#[test]
fn a_process_that_is_moved_takes_its_threads_along() {
    let mut fixture = Fixture::new();
    let app = born_in(&mut fixture, 100, 7);
    fixture.thread(app, 101);
    fixture.record(Fact::CgroupAttached(CgroupAttached { task: app, cgroup_id: Some(8) }));
    assert_eq!((counts(&fixture, Some(7)), counts(&fixture, Some(8))), ((0, 0, 0), (1, 2, 0)));
}

#[test]
fn a_zombie_does_not_count_while_it_is_unconfirmed() {
    let mut fixture = Fixture::new();
    let app = born_in(&mut fixture, 100, 7);
    fixture.exited(app, EXIT_ZOMBIE, 0, true);
    assert_eq!(counts(&fixture, Some(7)), (0, 0, 1));
    let now = fixture.now;
    fixture.lineage.doubt_zombies(now);
    assert_eq!(counts(&fixture, Some(7)), (0, 0, 0));
    fixture.lineage.check().unwrap();
    let init = fixture.init();
    fixture.snapshot(&[init, app]);
    assert_eq!(counts(&fixture, Some(7)), (0, 0, 1));
}

#[test]
fn a_thread_that_execs_stays_in_its_cgroup() {
    let mut fixture = Fixture::new();
    let app = born_in(&mut fixture, 100, 7);
    let thread = fixture.thread(app, 101);
    fixture.exec_from(app, thread.key.tid.0, "/bin/true");
    assert_eq!(counts(&fixture, Some(7)), (1, 1, 0));
}
