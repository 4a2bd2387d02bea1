//! Units that begin and end. The oracles are the scenario, which makes them, and the kernel's `cgroup.events`.

#[path = "../common/mod.rs"]
mod common;

use std::process::Command;

use common::scenario;
use serde_json::Value;
use taskscope_tests::{
    facts::Facts,
    scenario::Scenario,
    service::{Lines, Service},
    setting, wait,
};

/// Starts a unit and waits for its first process; `None` if this machine does not allow it.
#[track_caller]
fn begun(hierarchy: &str) -> Option<(Scenario, String)> {
    let mut acted = scenario("unit-lives", &[hierarchy]);
    let first = acted.until(&["pause", "skip"]);
    if first["fact"] == "skip" {
        setting::skip(format!("unit-lives {hierarchy}: {first}"));
        return None;
    }
    let name = acted.facts().all("unit").next().and_then(|fact| fact["name"].as_str()).map(str::to_owned);
    let name = name.unwrap_or_else(|| panic!("the scenario prints no unit"));
    Some((acted, name))
}

/// Waits until the lives of the unit meet a condition, and returns them, the last first.
#[track_caller]
fn until(service: &Service, unit: &str, come: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    wait::until_ok(|| {
        let answer = service.json(&format!("/v1/scopes?unit={unit}"));
        assert_eq!(answer["watched"], true, "{answer:#}");
        let scopes = answer["scopes"].as_array().cloned().unwrap_or_default();
        if come(&scopes) { Ok(scopes) } else { Err(format!("{answer:#}")) }
    })
}

/// Returns the next event of the unit.
#[track_caller]
fn event(events: &mut Lines, unit: &str) -> Value {
    loop {
        let event = events.next_json();
        if event["task"]["scope"]["name"] == unit {
            return event;
        }
    }
}

/// Whether a time lies between the two times of a fact of the scenario.
#[track_caller]
fn is_within(at: &Value, span: &Value) -> bool {
    let within = |at| span["before_ns"].as_u64() <= Some(at) && Some(at) <= span["after_ns"].as_u64();
    at.as_u64().is_some_and(within)
}

#[track_caller]
fn nth<'a>(facts: &'a Facts, kind: &str, index: usize) -> &'a Value {
    facts.all(kind).nth(index).unwrap_or_else(|| panic!("no fact `{kind}` {index}:\n{facts}"))
}

/// Compares three lives of one unit with what the scenario did.
#[track_caller]
fn lives(service: &Service, hierarchy: &str) {
    let mut events = service.events("?action=scope_began&action=scope_ended", "");
    let Some((mut acted, unit)) = begun(hierarchy) else { return };
    let pid = |acted: &Scenario, role: &str| Value::from(acted.facts().role(role).pid);

    let alive = until(service, &unit, |all| all.len() == 1);
    assert_eq!((&alive[0]["first"]["pid"], &alive[0]["ended"]), (&pid(&acted, "main"), &Value::Null));
    let began = event(&mut events, &unit);
    assert_eq!(
        (&began["event"]["action"], &began["process"]["pid"]),
        (&"scope_began".into(), &pid(&acted, "main"))
    );
    let scope = &began["task"]["scope"];
    assert!(
        is_within(&scope["made_boottime_ns"], nth(acted.facts(), "made", 0)),
        "{began:#}\n{}",
        acted.facts()
    );
    assert!(
        is_within(&scope["began_boottime_ns"], nth(acted.facts(), "began", 0)),
        "{began:#}\n{}",
        acted.facts()
    );
    assert_eq!(
        (&scope["made_by"]["pid"], &scope["starts"]),
        (&pid(&acted, "scenario"), &1.into()),
        "{began:#}"
    );

    acted.go();
    acted.pause("empty");
    let ended = event(&mut events, &unit);
    assert_eq!(
        (&ended["event"]["action"], &ended["process"]["pid"]),
        (&"scope_ended".into(), &pid(&acted, "main"))
    );
    let scope = &ended["task"]["scope"];
    assert_eq!((&scope["end"], &scope["last"]["pid"]), (&"exited".into(), &pid(&acted, "main")), "{ended:#}");
    let death = &scope["first_death"];
    assert_eq!((&death["pid"], &death["cause"]), (&pid(&acted, "worker"), &"killed".into()), "{ended:#}");
    // The unit ends with a process that waited for its worker; the kernel shows the end of the cgroup after that.
    let ended_ns = scope["ended_boottime_ns"].as_u64();
    let waited = acted.facts().find("waited", "by", "main")["after_ns"].as_u64();
    let empty = nth(acted.facts(), "empty", 0)["boottime_ns"].as_u64();
    assert!(waited <= ended_ns && ended_ns <= empty, "{ended:#}\n{}", acted.facts());
    let listed = until(service, &unit, |all| all.len() == 1 && all[0]["end"].is_string());
    assert_eq!(listed[0]["ended_boottime_ns"].as_u64(), ended_ns, "{listed:#?}");
    assert_eq!(listed[0]["first_death"]["process"]["pid"], pid(&acted, "worker"), "{listed:#?}");

    acted.go();
    acted.pause("empty");
    let (again, end) = (event(&mut events, &unit), event(&mut events, &unit));
    let scope = &again["task"]["scope"];
    assert_eq!((&again["process"]["pid"], &scope["starts"]), (&pid(&acted, "again"), &2.into()), "{again:#}");
    assert_eq!(
        scope["empty_ns"].as_u64(),
        scope["began_boottime_ns"].as_u64().zip(ended_ns).map(|(began, ended)| began - ended),
        "{again:#}"
    );
    let scope = &end["task"]["scope"];
    assert_eq!(
        (&scope["last"]["pid"], &scope["first_death"]),
        (&pid(&acted, "again"), &Value::Null),
        "{end:#}"
    );

    acted.go();
    acted.pause("empty");
    let (third, end) = (event(&mut events, &unit), event(&mut events, &unit));
    assert_eq!(
        (&third["process"]["pid"], &third["task"]["scope"]["starts"]),
        (&pid(&acted, "guest"), &3.into())
    );
    let scope = &end["task"]["scope"];
    assert_eq!((&scope["end"], &scope["last"]["pid"]), (&"moved".into(), &pid(&acted, "guest")), "{end:#}");

    acted.go();
    acted.finish();
    let all = until(service, &unit, |all| {
        all.len() == 3 && all.iter().all(|it| it["removed"] == true || it["starts"] != 3)
    });
    let starts: Vec<_> = all.iter().map(|it| it["starts"].as_u64()).collect();
    assert_eq!(starts, [Some(3), Some(2), Some(1)], "{all:#?}");
    // This id belongs to the hierarchy of the scope; it is not the pair of ids that a task has.
    assert_eq!(all[0]["cgroup"]["path"], format!("/{unit}"), "{all:#?}");
}

#[test]
fn a_unit_begins_and_ends_with_the_moments_and_processes_that_the_kernel_shows() {
    let service = Service::start(&[]);
    lives(&service, "cgroup2");
    service.stop_clean();
}

#[test]
fn a_cgroup_of_the_v1_controller_that_shows_containers_begins_and_ends_likewise() {
    let service = Service::start(&[]);
    lives(&service, "pids");
    service.stop_clean();
}

#[test]
fn explain_shows_the_lives_of_a_unit_in_80_columns_also_after_its_end() {
    let service = Service::start(&[]);
    let Some((mut acted, unit)) = begun("cgroup2") else { return };
    for _ in 0..3 {
        acted.go();
        acted.pause("empty");
    }
    acted.go();
    acted.finish();
    until(&service, &unit, |all| all.len() == 3);
    // Even if its processes are not released yet, `explain` finds the unit by its name.
    let output = Command::new(setting::taskscope())
        .args(["explain", &unit, "--socket"])
        .arg(service.socket())
        .env("COLUMNS", "80")
        .output()
        .unwrap_or_else(|error| panic!("explain: {error}"));
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["for the 3rd time", "was moved to another cgroup", "the first death"] {
        assert!(words.contains(part), "{part}: {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    service.stop_clean();
}
