//! Lost records are counted, reported and repaired.

use std::time::{Duration, Instant};

use taskscope_tests::{facts::numbers, observer::Observer};

use crate::{
    common::scenario,
    help::{
        alone, assert_becomes_proc, assert_sums, lose_while_stopped, stop, sum, until_all_reported,
        until_reported,
    },
};

/// Longer than any scheduling delay, and longer than a debugger stops a process.
const STOPPED: Duration = Duration::from_secs(20);

#[test]
fn without_a_loss_all_sums_balance() {
    let _alone = alone();
    let observer = Observer::start(&[]);
    scenario("burst", &["1000"]).finish();
    observer.from_now().fence();
    let end = stop(observer);
    assert_sums(&end);
    assert_eq!(sum(&end, "dropped"), 0, "{}", end.text());
    assert!(sum(&end, "received") >= 3000, "a storm of 1000 was not seen: {}", end.text());
}

#[test]
fn losses_of_a_ring_of_one_page_are_reported_and_repaired() {
    let _alone = alone();
    let observer = Observer::start(&["--ring-kib", "4"]);
    let view = observer.from_now();
    // These processes are paused during the storm: their forks are reported or repaired.
    let mut crowd = scenario("many-threads", &["200"]);
    crowd.pause("all-alive");
    let mut zombie = scenario("zombie", &[]);
    zombie.pause("zombie");
    lose_while_stopped(&observer, "500");
    let roots = [crowd.facts().role("scenario").pid, zombie.facts().role("scenario").pid];
    for root in roots {
        until_reported(&view, "forked", root);
        assert_becomes_proc(&view, root);
    }
    // Lost deaths are repaired too.
    observer.signal(libc::SIGSTOP);
    crowd.go();
    crowd.finish();
    zombie.go();
    zombie.finish();
    observer.signal(libc::SIGCONT);
    for root in roots {
        until_reported(&view, "released", root);
    }
    assert!(
        observer
            .stream()
            .broken()
            .iter()
            .any(|line| line.contains(r#""action":"gap""#) && line.contains("ring")),
        "the stream has no gap record: {:?}",
        observer.stream().broken()
    );
    let end = stop(observer);
    assert_sums(&end);
    assert!(sum(&end, "dropped") > 0, "nothing was dropped, so nothing was tested: {}", end.text());
    let summary = end.summary().unwrap_or_default();
    assert!(!summary.contains("repaired 0,"), "nothing was repaired: {summary}");
}

#[test]
fn a_stopped_daemon_counts_what_it_missed_and_repairs_the_tree() {
    let _alone = alone();
    let observer = Observer::start(&["--ring-kib", "256"]);
    let view = observer.from_now();
    let mut standing = scenario("many-threads", &["50"]);
    observer.signal(libc::SIGSTOP);
    standing.pause("all-alive");
    let begun = Instant::now();
    scenario("burst", &["5000"]).finish();
    while begun.elapsed() < STOPPED {
        scenario("burst", &["200"]).finish();
    }
    observer.signal(libc::SIGCONT);
    let root = standing.facts().role("scenario").pid;
    until_reported(&view, "forked", root);
    assert_becomes_proc(&view, root);
    standing.go();
    standing.finish();
    let end = stop(observer);
    assert_sums(&end);
    assert!(sum(&end, "dropped") > 0, "{}", end.text());
}

/// The size of the ring, KiB, and a number of threads whose records exceed three quarters of it.
const SHEDDING: (&str, &str) = ("1024", "6000");

#[test]
fn a_slow_reader_sheds_creations_of_threads_and_loses_no_exit() {
    let _alone = alone();
    let observer = Observer::start(&["--ring-kib", SHEDDING.0]);
    let view = observer.from_now();
    let mut dying = scenario("crowd", &["100"]);
    dying.pause("all-alive");
    observer.signal(libc::SIGSTOP);
    let mut crowd = scenario("crowd", &[SHEDDING.1]);
    crowd.pause("all-alive");
    dying.go();
    let facts = dying.finish();
    observer.signal(libc::SIGCONT);
    // All exits had room in the ring and were reported as they happened.
    let group = facts.role("group").pid;
    let tids = numbers(&facts.find("crowd", "role", "thread")["tids"]);
    until_all_reported(&view, &["exiting", "exited", "released"], &tids);
    let repaired: Vec<String> = view
        .events()
        .iter()
        .filter(|seen| seen.pid == group && tids.contains(&seen.tid))
        .filter(|seen| ["exiting", "exited", "released"].contains(&seen.action.as_str()))
        .filter(|seen| seen.text("task.provenance") == Some("repaired"))
        .map(ToString::to_string)
        .collect();
    assert_eq!(repaired, Vec::<String>::new(), "exits had no room in the ring and were repaired");
    // The forks that were left out are repaired.
    let root = crowd.facts().role("scenario").pid;
    until_reported(&view, "forked", root);
    assert_becomes_proc(&view, root);
    let end = stop(observer);
    crowd.go();
    crowd.finish();
    assert_sums(&end);
    assert!(sum(&end, "shed") > 0, "nothing was shed, so nothing was tested: {}", end.text());
    assert_eq!(sum(&end, "dropped"), 0, "{}", end.text());
}
