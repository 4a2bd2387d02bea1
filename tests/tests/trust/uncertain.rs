//! Answers right after a loss are true although the tree is not compared yet: zombies whose release may be lost are not reported.

use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::Value;
use taskscope_tests::{
    facts::numbers, observer::Observer, scenario::Scenario, service::Service, setting, tree, wait,
};

use crate::{
    common::scenario,
    help::{alone, assert_sums, lose_while_stopped, stop, sum},
};

/// Numbers of zombies of a parent that reaps them while records are lost, and of a parent that never does.
const REAPED: &str = "300";
const KEPT: &str = "20";

/// Starts a parent with this many zombies.
fn zombies(count: &str) -> Scenario {
    let mut holder = scenario("zombies", &[count]);
    holder.pause("zombies");
    holder
}

/// This many zombies become old and are then reaped together.
const MANY: &str = "3000";

/// After this time none of them may be reported.
const GONE_AFTER: Duration = Duration::from_secs(3);

/// Returns the pids of a holder's zombies, including those reaped since.
fn children(holder: &Scenario) -> BTreeSet<i64> {
    numbers(&holder.facts().find("crowd", "role", "child")["pids"]).into_iter().collect()
}

fn pid(holder: &Scenario) -> i64 {
    holder.facts().role("scenario").pid
}

/// Returns the number of zombies of a parent in an answer of `/v1/zombies`.
fn charged(answer: &Value, parent: i64) -> u64 {
    let parents = answer["parents"].as_array().into_iter().flatten();
    let ours = parents.filter(|found| found["process"]["pid"].as_i64() == Some(parent));
    ours.filter_map(|found| found["children"]["zombies"].as_u64()).sum()
}

/// Returns the number of zombies of all parents but one in an answer of `/v1/zombies`.
fn charged_to_others(answer: &Value, parent: i64) -> f64 {
    let parents = answer["parents"].as_array().into_iter().flatten();
    let others = parents.filter(|found| found["process"]["pid"].as_i64() != Some(parent));
    others.filter_map(|found| found["children"]["zombies"].as_f64()).sum()
}

/// Returns the number of zombies of this test's parents in /metrics.
fn scraped(service: &Service) -> f64 {
    let is_ours = |name: &str| {
        name.starts_with("taskscope_parent_zombies{") && name.contains("parent=\"zombie-holder\"")
    };
    service.metrics().iter().filter(|(name, _)| is_ours(name)).map(|(_, count)| count).sum()
}

/// Returns what answers and metrics report about zombies of `holder`, which were all reaped before; empty if nothing.
fn reported_of(service: &Service, holder: i64, gone: &BTreeSet<i64>) -> String {
    let scraped = scraped(service);
    let charged = charged(&service.json("/v1/zombies"), holder);
    let tree = service.json("/v1/tree")["processes"].clone();
    let nodes = tree.as_array().into_iter().flatten().filter(|node| node["state"] == "zombie");
    let shown = nodes.filter_map(|node| node["pid"].as_i64()).filter(|pid| gone.contains(pid)).count();
    if scraped <= 20.0 && charged == 0 && shown == 0 {
        return String::new();
    }
    format!("{scraped} zombies of both in a scrape, {charged} charged, {shown} in the tree")
}

/// Waits until a whole comparison has followed the loss; zombies that still exist are reported again then.
#[track_caller]
fn until_compared(service: &Service, kept: &Scenario) {
    wait::until("a complete comparison has followed the loss", || {
        service.json("/v1/status")["records_uncompared"] == 0
            && service.get("/readyz").body == "ready\n"
            && charged(&service.json("/v1/zombies"), pid(kept)) == 20
    });
}

#[test]
fn zombies_reaped_while_records_are_lost_are_never_reported() {
    let _alone = alone();
    let service = Service::start(&["--ring-kib", "4", "--zombie-after", "2s"]);
    let (mut reaped, mut kept) = (zombies(REAPED), zombies(KEPT));
    wait::until("the zombies are reported", || {
        charged(&service.json("/v1/zombies"), pid(&reaped)) == 300
            && charged(&service.json("/v1/zombies"), pid(&kept)) == 20
    });
    service.process().signal(libc::SIGSTOP);
    scenario("burst", &["500"]).finish();
    reaped.go();
    reaped.pause("reaped");
    service.process().signal(libc::SIGCONT);
    let gone = children(&reaped);
    let ready = service.get("/readyz");
    assert_eq!(ready.status, 200, "losing records does not take it out of service: {ready:?}");
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        assert_eq!(reported_of(&service, pid(&reaped), &gone), "");
    }
    until_compared(&service, &kept);
    let status = service.json("/v1/status");
    assert!(
        status["records_dropped"].as_u64() > Some(0),
        "nothing was lost, so nothing was tested: {status}"
    );
    reaped.go();
    reaped.finish();
    kept.go();
    kept.pause("reaped");
    kept.go();
    kept.finish();
    drop(service.stop());
}

#[test]
fn in_a_storm_that_loses_records_the_answers_stay_true_and_then_the_tree_is_procs() {
    let _alone = alone();
    let service = Service::start(&["--ring-kib", "4"]);
    let (mut reaped, mut kept) = (zombies(REAPED), zombies(KEPT));
    let mut loops = scenario("fork-loops", &["4"]);
    loops.pause("looping");
    wait::until("records are lost", || service.json("/v1/status")["records_dropped"].as_u64() > Some(100));
    reaped.go();
    reaped.pause("reaped");
    let gone = children(&reaped);
    // The tracepoint rung reports a release an RCU grace period later.
    wait::until("no zombie that is gone is reported", || {
        reported_of(&service, pid(&reaped), &gone).is_empty()
    });
    let end = Instant::now() + Duration::from_secs(5);
    let mut was_degraded = false;
    while Instant::now() < end {
        assert_eq!(reported_of(&service, pid(&reaped), &gone), "");
        let body = service.get("/readyz").body;
        was_degraded |= body.starts_with("degraded: ") && body.contains("records lost");
    }
    assert!(was_degraded, "the status never reported that records were lost");
    loops.go();
    loops.finish();
    until_compared(&service, &kept);
    let me = i64::from(std::process::id());
    wait::until_ok(|| {
        let proc = tree::from_proc(Path::new("/proc")).unwrap_or_else(|error| panic!("{error:#}"));
        let nodes = service.json("/v1/tree?threads=true")["processes"].clone();
        let (proc, ours) = (tree::below(&proc, me), tree::below(&reported_tree(&nodes), me));
        let differences = tree::differences(&proc, &ours);
        if differences.is_empty() {
            return Ok(());
        }
        Err(format!("the tree is not /proc's:\n{}", differences.join("\n")))
    });
    reaped.go();
    reaped.finish();
    kept.go();
    kept.pause("reaped");
    kept.go();
    kept.finish();
    let (end, _) = service.stop();
    assert_eq!(end.code(), Some(0), "{}", end.text());
}

/// Returns the age of the oldest zombie of a parent, ns.
fn oldest(service: &Service, parent: i64) -> u64 {
    let answer = service.json("/v1/zombies");
    let parents = answer["parents"].as_array().into_iter().flatten();
    let ours = parents.filter(|found| found["process"]["pid"].as_i64() == Some(parent));
    ours.filter_map(|found| found["zombie_at_least_ns"].as_u64()).max().unwrap_or(0)
}

/// The tracepoint rung reports releases late, and if the kernel hides tasks, some releases are never reported.
#[test]
fn zombies_that_are_all_reaped_at_once_are_not_reported_three_seconds_later() {
    let _alone = alone();
    let service = Service::start(&["--zombie-after", "1s"]);
    let mut holder = zombies(MANY);
    let parent = pid(&holder);
    wait::until("the zombies are reported as old", || {
        charged(&service.json("/v1/zombies"), parent) == 3000 && oldest(&service, parent) > 2_500_000_000
    });
    wait::until("all of them are flagged", || service.metrics()["taskscope_zombies_old"] >= 3000.0);
    let gone = children(&holder);
    holder.go();
    holder.pause("reaped");
    let deadline = Instant::now() + GONE_AFTER;
    loop {
        let reported = reported_of(&service, parent, &gone);
        let others = charged_to_others(&service.json("/v1/zombies"), parent);
        let old = service.metrics()["taskscope_zombies_old"];
        // Other processes of this machine may have old zombies too.
        if reported.is_empty() && old <= others {
            break;
        }
        assert!(Instant::now() < deadline, "{reported}, {old} old zombies");
    }
    // Processes whose release is still to come are counted separately, for a limited time.
    wait::until("hardly any process is in the state releasing", || {
        service.metrics()["taskscope_processes_releasing"] < 100.0
    });
    holder.go();
    holder.finish();
    drop(service.stop());
}

/// Parses the tree of `/v1/tree?threads=true`.
fn reported_tree(nodes: &Value) -> tree::Tree {
    let nodes = nodes.as_array().into_iter().flatten();
    nodes
        .filter_map(|node| {
            let pid = node["pid"].as_i64()?;
            let threads = node["tasks"].as_array().into_iter().flatten();
            let state = match node["state"].as_str()? {
                "zombie" => tree::State::Zombie,
                "dead_leader" => tree::State::DeadLeader,
                _ => tree::State::Alive,
            };
            let threads =
                std::iter::once(pid).chain(threads.filter_map(|thread| thread["tid"].as_i64())).collect();
            Some((pid, tree::Group { parent: node["parent_pid"].as_i64().unwrap_or(0), state, threads }))
        })
        .collect()
}

#[test]
fn no_event_flags_a_zombie_whose_release_was_lost() {
    let _alone = alone();
    let observer =
        Observer::start(&["--ring-kib", "4", "--zombie-after", "1s", "--action", "zombie_flagged"]);
    let (mut reaped, kept) = (zombies(REAPED), zombies(KEPT));
    // On a slow machine, making the zombies takes so long that the first ones are flagged meanwhile, which is correct.
    let before_ns = setting::now_ns();
    observer.signal(libc::SIGSTOP);
    scenario("burst", &["200"]).finish();
    reaped.go();
    reaped.pause("reaped");
    // A daemon that missed their releases would have flagged them by now.
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        scenario("burst", &["50"]).finish();
    }
    observer.signal(libc::SIGCONT);
    let flagged = || -> BTreeSet<i64> {
        let events = observer.stream().since(0);
        events.iter().filter(|seen| seen.action == "zombie_flagged").map(|seen| seen.pid).collect()
    };
    lose_while_stopped(&observer, "200");
    let kept_pids = children(&kept);
    wait::until("the zombies that still exist are flagged", || kept_pids.is_subset(&flagged()));
    let events = observer.stream().since(0);
    let late = events.iter().filter(|seen| seen.action == "zombie_flagged" && seen.at_ns > before_ns);
    let late: BTreeSet<i64> = late.map(|seen| seen.pid).collect();
    let reported_in_vain: Vec<i64> = late.intersection(&children(&reaped)).copied().collect();
    assert_eq!(reported_in_vain, Vec::<i64>::new(), "zombies that were reaped long ago are flagged");
    let end = stop(observer);
    assert_sums(&end);
    assert!(sum(&end, "dropped") > 0, "{}", end.text());
}
