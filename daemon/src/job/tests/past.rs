//! Jobs of the past that are made up.

use serde_json::{Value, json};

use crate::answer::life::LifeRecord;
use crate::job::{
    Living, Members, PastReport, Report, Scope, Setting, Window, leftovers, members_of_lives, report,
    tests::used,
};

const MS: u64 = 1_000_000;
const ALL: Window = Window { from_ns: 1, to_ns: 10_000 * MS };

/// A life of `pid` from `start_ms` to `end_ms`, forked and reaped by `parent`, that used 1 ms; `more` replaces fields.
fn life(pid: u32, parent: u32, (start_ms, end_ms): (u64, u64), more: &Value) -> LifeRecord {
    let id = |pid: u32, start_ms: u64| format!("b-{pid}-{}", start_ms * MS);
    let mut line = json!({
        "@timestamp": "2026-11-29T00:00:00.000Z",
        "life_version": 1,
        "process": {"pid": pid, "entity_id": id(pid, start_ms), "parent_pid": parent, "name": format!("p{pid}"),
                    "exit": {"status": 0, "code": 0}},
        "start_boottime_ns": start_ms * MS,
        "ended_boottime_ns": end_ms * MS,
        "boottime_ns": end_ms * MS + 1,
        "execs": 0,
        "death": {"cause": "exited", "certainty": "certain"},
        "end": "reaped",
        "zombie_duration_ns": 1,
        "reaper": {"pid": parent, "kind": "parent"},
        "usage": {"exec_runtime_ns": MS, "run_delay_ns": 0, "run_count": 1, "user_ns": MS, "system_ns": 0,
                  "voluntary_switches": 1, "involuntary_switches": 0, "minor_faults": 0, "major_faults": 0, "tasks": 1},
        "provenance": "observed",
    });
    if let (Some(line), Some(more)) = (line.as_object_mut(), more.as_object()) {
        line.extend(more.clone());
    }
    serde_json::from_value(line).unwrap()
}

fn reported(lives: &[LifeRecord], living: &[Living], scope: &Scope, window: Window) -> (Members, Report) {
    let (members, notes) = members_of_lives(lives, living, scope, window).unwrap();
    let running = members.roots().filter(|root| root.ended.is_none()).count() as u64;
    let roots = members.roots().count() as u64;
    let past = Some(PastReport { roots, running, ..PastReport::default() });
    let left = leftovers(&members, window.to_ns);
    let setting = Setting { now_ns: window.to_ns, leftovers: left, notes, past, ..Setting::default() };
    let report = report(&members, setting);
    (members, report)
}

#[test]
fn descendants_are_found_also_after_they_were_reparented_and_a_pid_was_used_again() {
    let orphan = json!({"first_parent": {"pid": 2, "entity_id": format!("b-2-{}", 20 * MS)}, "reparented": 1,
                        "reparented_boottime_ns": 30 * MS, "reparent_kind": "init", "reaper": {"pid": 1000, "kind": "parent"}});
    let lives = [
        life(1, 99, (1, 9), &json!({})),
        life(2, 1, (2, 8), &json!({})),
        life(1, 99, (10, 90), &json!({})),
        life(2, 1, (20, 30), &json!({})),
        life(3, 1000, (25, 60), &orphan),
        life(4, 50, (40, 41), &json!({})),
    ];
    let (members, report) = reported(&lives, &[], &Scope::Pid(1), ALL);
    let pids: Vec<_> = members.all().iter().map(|member| (member.pid, member.start_ns / MS)).collect();
    assert_eq!(pids, [(1, 10), (2, 20), (3, 25)]);
    assert_eq!((report.usage.waited_for.processes, report.usage.orphaned.processes), (2, 1));
    assert_eq!((report.wall_ns, report.exit.code, report.at_least), (80 * MS, Some(0), false));
    assert!(report.leftovers.is_empty());
}

#[test]
fn what_is_not_known_is_absent_and_not_nothing() {
    let lives = [life(1, 99, (10, 90), &json!({"execs": 3, "exec_boottime_ns": 20 * MS}))];
    let (_, report) = reported(&lives, &[], &Scope::Pid(1), ALL);
    let text = serde_json::to_value(&report).unwrap();
    for pointer in
        ["/cpus", "/critical_path/time/uninterruptible_ns", "/parallelism/unused_cpu_ns", "/usage/wait4"]
    {
        assert_eq!(text.pointer(pointer), None, "{pointer}");
    }
    assert_eq!(report.critical_path.time.asleep_ns, 79 * MS);
    assert_eq!(report.critical_path.steps[0].name, "?", "an earlier program is not known");
    assert_eq!(report.processes.execs, 3);
    assert!(
        report.notes.iter().any(|note| note.contains("EXECS of programs are lower bounds")),
        "{:?}",
        report.notes
    );
    // The same report can be read again, for --baseline.
    assert_eq!(serde_json::from_value::<Report>(text).unwrap(), report);
}

#[test]
fn what_cannot_be_divided_at_the_borders_of_the_time_is_in_no_sum() {
    let lives = [
        life(1, 99, (10, 900), &json!({})),
        life(2, 1, (20, 200), &json!({})),
        life(3, 1, (150, 250), &json!({})),
        life(4, 1, (400, 800), &json!({})),
        life(5, 1, (600, 610), &json!({})),
    ];
    let window = Window { from_ns: 100 * MS, to_ns: 500 * MS };
    let (members, report) = reported(&lives, &[], &Scope::Pid(1), window);
    assert_eq!(members.all().len(), 4, "5 began later");
    assert_eq!(report.processes.made, 2, "3 and 4 began in this time");
    assert_eq!((report.usage.all.cost.cpu_ns, report.usage.all.cost.at_least), (MS, true), "that of 3");
    assert_eq!((report.wall_ns, report.at_least), (400 * MS, true));
    assert!(report.critical_path.steps.is_empty());
    assert_eq!(report.exit_in_words(), "still running");
    let notes = report.notes.join("\n");
    assert!(
        notes.contains("2 processes began before this time") && notes.contains("2 processes ended after"),
        "{notes}"
    );
}

#[test]
fn an_orphan_that_lives_is_left_and_has_the_usage_so_far() {
    let lives = [life(1, 99, (10, 90), &json!({}))];
    let left = Living {
        pid: 7,
        start_ns: 50 * MS,
        parent_pid: Some(1000),
        first_parent: Some((1, Some(10 * MS))),
        name: Some("left".into()),
        usage: Some(used(3 * MS, 0)),
        ..Living::default()
    };
    let other = Living { pid: 8, start_ns: 60 * MS, parent_pid: Some(1000), ..Living::default() };
    let (_, report) = reported(&lives, &[left, other], &Scope::Pid(1), ALL);
    assert_eq!(report.leftovers.len(), 1);
    assert_eq!((report.leftovers[0].pid, report.leftovers[0].cpu_ns), (7, 3 * MS));
    assert_eq!(report.usage.left.cost.cpu_ns, 3 * MS);
}

#[test]
fn a_unit_can_have_several_roots_and_then_no_exit_status() {
    let lives = [
        life(1, 99, (10, 90), &json!({})),
        life(2, 1, (20, 30), &json!({})),
        life(3, 99, (95, 99), &json!({})),
    ];
    let (_, report) = reported(&lives, &[], &Scope::All, ALL);
    assert_eq!((report.usage.waited_for.processes, report.wall_ns), (3, 89 * MS));
    assert_eq!((report.exit.code, report.critical_path.steps.len()), (None, 0));
    assert_eq!(report.exit_in_words(), "2 processes were started, and ended");
    let none = members_of_lives(&[], &[], &Scope::All, ALL).unwrap_err().to_string();
    assert_eq!(none, "no process of this time is known in this unit");
    let none = members_of_lives(&lives, &[], &Scope::Pid(5), ALL).unwrap_err().to_string();
    assert_eq!(none, "no process of this time is known with the pid 5");
}

#[test]
fn a_usage_that_lacks_a_last_switch_is_a_lower_bound() {
    let mut lives = [life(1, 99, (10, 90), &json!({}))];
    lives[0].usage.as_mut().unwrap().tasks_pending = 1;
    let (_, report) = reported(&lives, &[], &Scope::Pid(1), ALL);
    assert!(report.at_least && report.usage.all.cost.at_least);
    assert!(report.notes.iter().any(|note| note.contains("last switch")), "{:?}", report.notes);
}
