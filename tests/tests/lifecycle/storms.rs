//! Storms: all lives are seen, and the tree that the events describe equals /proc.

#[path = "../common/mod.rs"]
mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::scenario;
use taskscope_tests::{
    facts::{numbers, pairs},
    observer::{Observer, shared},
    replay,
    scenario::Scenario,
    setting::report,
    skipped::attempts,
};

#[test]
fn two_hundred_threads_are_all_seen_to_begin_and_to_end() {
    attempts(|| {
        let observer = shared();
        let skipped = || observer.skips().map_or(0, |skips| skips.kernel);
        let skipped_before = skipped();
        let mut scenario = scenario("many-threads", &["200"]);
        scenario.pause("all-alive");
        let view = observer.view(&scenario);
        replay::assert_equals_proc(&view, scenario.facts().role("scenario").pid);
        scenario.go();
        let facts = scenario.finish();
        let group = facts.role("group").pid;
        let tids: BTreeSet<i64> =
            numbers(&facts.find("crowd", "role", "thread")["tids"]).into_iter().collect();
        assert_eq!(tids.len(), 200, "the scenario did not do what this test is about");
        let mut missing: BTreeSet<(String, i64)> = ["forked", "exiting", "exited", "autoreaped", "released"]
            .into_iter()
            .flat_map(|action| tids.iter().map(move |&tid| (action.to_owned(), tid)))
            .collect();
        let whole = view.until(|event| {
            if event.pid == group {
                missing.remove(&(event.action.clone(), event.tid));
            }
            missing.is_empty()
        });
        // A kernel that skips programs while it has preempted them may skip some of these 200 ends: each skip is reported as a gap.
        let skipped = if whole { 0 } else { skipped().saturating_sub(skipped_before) };
        assert!(
            missing.len() as u64 <= skipped,
            "{} not seen, {skipped} programs skipped: {:?}",
            missing.len(),
            missing.iter().take(20).collect::<Vec<_>>()
        );
    });
}

#[test]
fn five_thousand_children_of_a_parent_that_dies_are_all_reparented() {
    attempts(|| {
        let observer = Observer::start(&[]);
        let mut scenario = scenario("many-orphans", &["5000"]);
        scenario.pause("all-alive");
        scenario.go();
        scenario.pause("reparented");
        scenario.go();
        let facts = scenario.finish();
        let (new_parent, parent) = (facts.role("scenario").pid, facts.role("parent").pid);
        let orphans = pairs(&facts.all("reparented").next().unwrap()["parents"]);
        assert_eq!(orphans.len(), 5000, "the scenario did not do what this test is about");
        assert!(orphans.iter().all(|(_, ppid)| *ppid == new_parent), "the kernel chose another parent");
        let orphans: BTreeSet<i64> = orphans.into_iter().map(|(pid, _)| pid).collect();
        let mut seen: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
        let view = observer.view(&scenario);
        let whole = view.until(|event| {
            let action = match event.action.as_str() {
                "reparented" => {
                    if event.number("task.old_parent_pid") != Some(parent)
                        || event.number("task.new_parent_pid") != Some(new_parent)
                    {
                        return false;
                    }
                    "reparented"
                }
                "released" => "released",
                _ => return false,
            };
            if orphans.contains(&event.pid) && event.tid == event.pid {
                assert!(seen.entry(action).or_default().insert(event.pid), "twice: {event}");
            }
            seen.values().map(BTreeSet::len).sum::<usize>() == 2 * orphans.len()
        });
        for action in ["reparented", "released"] {
            let seen = seen.remove(action).unwrap_or_default();
            let missing: Vec<&i64> = orphans.difference(&seen).collect();
            report(&format!("orphans_not_seen_{action}"), missing.len());
            if let Some(first) = missing.first() {
                let events = view.events();
                let about: Vec<String> =
                    events.iter().filter(|e| e.pid == **first).map(ToString::to_string).collect();
                panic!(
                    "{} of {} not seen {action}; all about {first}:\n{}",
                    missing.len(),
                    orphans.len(),
                    about.join("\n")
                );
            }
        }
        assert!(whole);
        observer.stop();
    });
}

#[test]
fn the_tree_of_the_events_equals_proc_while_all_kinds_of_lives_are_paused() {
    attempts(|| {
        const STANDING: [(&str, &[&str], &str); 10] = [
            ("zombie", &[], "zombie"),
            ("parent-killed", &["subreaper"], "zombie"),
            ("leader-exits-first", &[], "dead-leader"),
            ("leader-exits-first", &["group"], "dead-leader"),
            ("orphan", &[], "orphaned"),
            ("nested-subreapers", &[], "with-inner"),
            ("sibling-thread", &[], "reparented"),
            ("pid-namespace", &[], "inside"),
            ("foreign-tracer", &[], "held"),
            ("exit-signal", &["10"], "zombie"),
        ];
        let observer = Observer::start(&[]);
        let view = observer.from_now();
        // The scenarios run one after the other beside a storm: on two CPUs a kretprobe has ten instances, and another test covers
        // more clones at once than that.
        let mut storm = scenario("burst", &["500"]);
        let mut running: Vec<Scenario> = Vec::new();
        for (name, args, at) in STANDING {
            let mut scenario = scenario(name, args);
            scenario.pause(at);
            running.push(scenario);
        }
        storm.finish();
        for scenario in &running {
            replay::assert_equals_proc(&view, scenario.facts().role("scenario").pid);
        }
        for scenario in &mut running {
            scenario.go();
            // One of these scenarios pauses twice.
            while scenario.until(&["pause", "done"])["fact"] == "pause" {
                scenario.go();
            }
        }
        drop(running);
        observer.stop();
    });
}
