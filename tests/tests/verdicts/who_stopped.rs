//! Who stopped a process: the sender of the signal, the suspend key, its own use of the terminal.

#[path = "../common/mod.rs"]
mod common;

use common::scenario;
use serde_json::Value;
use taskscope_tests::{
    scenario::Scenario,
    service::Service,
    verdict::{explain, pid, says},
    wait,
};

/// Returns how a verdict names a role of the scenario.
fn named(scenario: &Scenario, role: &str) -> String {
    format!("(pid {})", pid(scenario, role))
}

/// Returns the process of an answer that a stop came from.
fn stopped_by(explained: &Value) -> &Value {
    &explained["related"][0]["stopped_by"]
}

#[test]
fn the_sender_of_a_sigstop_is_named_for_the_process_and_for_its_zombie() {
    let service = Service::start(&[]);
    let mut scenario = scenario("parent-stopped", &[]);
    scenario.pause("owed");
    let parent = pid(&scenario, "parent");
    for role in ["parent", "child"] {
        let verdict = explain(pid(&scenario, role), Some(&service));
        assert_eq!(verdict["certainty"], "certain", "{verdict:#}");
        let sender = named(&scenario, "scenario");
        assert!(
            says(&verdict, "summary", "SIGSTOP from ") && says(&verdict, "summary", &sender),
            "{verdict:#}"
        );
        assert!(says(&verdict, "evidence", "nothing has sent SIGCONT since"), "{verdict:#}");
        assert!(says(&verdict, "remedy", &format!("kill -CONT {parent}")), "{verdict:#}");
    }
    let explained = service.json(&format!("/v1/explain/{parent}"));
    let stop = stopped_by(&explained);
    assert_eq!(stop["signal_name"], "SIGSTOP", "{explained:#}");
    assert_eq!(stop["sender"]["process"]["pid"], pid(&scenario, "scenario"), "{explained:#}");
    assert!(stop.get("continued_boottime_ns").is_none(), "{explained:#}");
    scenario.go();
    scenario.finish();
    service.stop_clean();
}

#[test]
fn who_stops_and_continues_in_turn_is_named_with_what_ends_it() {
    let service = Service::start(&[]);
    let mut scenario = scenario("stopped-in-turn", &[]);
    scenario.pause("owed");
    let (child, parent) = (pid(&scenario, "child"), pid(&scenario, "parent"));
    let limiter = pid(&scenario, "limiter");
    // It may be running at the first poll, or just stopped for the first time.
    let verdict = wait::until_answer(
        || explain(child, Some(&service)),
        |verdict| verdict["code"] == "parent_stopped" && says(verdict, "summary", "again and again by"),
    );
    assert!(says(&verdict, "summary", &named(&scenario, "limiter")), "{verdict:#}");
    // The scenario applies this remedy when it continues.
    let remedy = format!("kill {limiter}; kill -CONT {parent}");
    assert!(says(&verdict, "remedy", &remedy), "{verdict:#}");
    scenario.go();
    scenario.finish();
    service.stop_clean();
}

#[test]
fn a_job_that_the_suspend_key_stopped_is_distinguished_from_one_that_was_sent_a_signal() {
    let service = Service::start(&[]);
    let mut scenario = scenario("suspended", &[]);
    if scenario.pause_or_skip("stopped") {
        for (role, code) in [("parent", "stopped"), ("child", "parent_stopped")] {
            let verdict = explain(pid(&scenario, role), Some(&service));
            assert_eq!((&verdict["code"], &verdict["certainty"]), (&code.into(), &"certain".into()));
            assert!(says(&verdict, "summary", "suspend key of its terminal (SIGTSTP)"), "{verdict:#}");
            assert!(
                says(&verdict, "remedy", &format!("`fg` in scenario {}", named(&scenario, "shell"))),
                "{verdict:#}"
            );
        }
        scenario.go();
        let facts = scenario.finish();
        let last =
            |fact: &str| facts.all(fact).next().unwrap_or_else(|| panic!("{facts}"))["stopped_by"].clone();
        // The parent continues its read, now in the background, so SIGTTIN stops it.
        assert_eq!((last("continued"), last("freed")), (libc::SIGTTIN.into(), 0.into()), "{facts}");
    }
    service.stop_clean();
}
