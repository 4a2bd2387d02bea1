//! What it does without being asked: audits and canaries.

use std::fs;

use taskscope_tests::{observer::Observer, setting};

use crate::{
    common::scenario,
    help::{SOON, assert_sums, stop, times_said, until},
};

#[test]
fn an_audit_of_a_quiet_tree_finds_no_drift() {
    let observer = Observer::start(&["--audit-every", "1s", "--verbose"]);
    let mut standing = scenario("many-threads", &["100"]);
    standing.pause("all-alive");
    scenario("burst", &["2000"]).finish();
    let audits = times_said(&observer, "tasks (Audit)");
    until("audits do not come", || times_said(&observer, "tasks (Audit)") >= audits + 2);
    let born_late: Vec<String> = observer
        .stream()
        .since(standing.started_ns())
        .iter()
        .filter(|seen| seen.action == "forked" && seen.text("task.provenance") == Some("repaired"))
        .map(ToString::to_string)
        .collect();
    assert_eq!(born_late, Vec::<String>::new(), "births that were only under way were taken for missed");
    standing.go();
    standing.finish();
    let end = observer.stop();
    assert_sums(&end);
}

#[test]
fn canaries_come_through_and_are_not_shown() {
    let observer = Observer::start(&["--canary-every", "500ms", "--verbose"]);
    let me = i64::from(observer.pid());
    until("canaries do not come through", || times_said(&observer, "canary: a whole life") >= 3);
    observer.from_now().fence();
    let shown = observer.stream().since(0);
    let canaries: Vec<String> = shown
        .iter()
        .filter(|seen| seen.number("process.parent_pid") == Some(me))
        .map(ToString::to_string)
        .collect();
    assert_eq!(canaries, Vec::<String>::new(), "canaries are shown");
    let end = observer.stop();
    let summary = end.summary().unwrap_or_default();
    let whole =
        summary.split("canaries ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
    assert!(whole >= Some(3), "{summary}");
}

#[test]
fn kprobes_disarmed_under_it_are_noticed() {
    const SWITCH: &str = "/sys/kernel/debug/kprobes/enabled";
    if !setting::in_vm() || setting::attach() != "kprobe" {
        eprintln!("skipped: needs a guest and kprobes");
        return;
    }
    // SAFETY: strings that end with NUL. Mounted already is as good.
    unsafe {
        libc::mount(
            c"debugfs".as_ptr(),
            c"/sys/kernel/debug".as_ptr(),
            c"debugfs".as_ptr(),
            0,
            std::ptr::null(),
        );
    }
    if !fs::exists(SWITCH).unwrap_or(false) {
        eprintln!("skipped: this kernel has no {SWITCH}");
        return;
    }
    let observer = Observer::start(&["--canary-every", "1s"]);
    fs::write(SWITCH, "0").unwrap_or_else(|error| panic!("writing {SWITCH}: {error}"));
    let complaint = observer.log().line("taskscope: warning: canary:", SOON);
    fs::write(SWITCH, "1").unwrap_or_else(|error| panic!("writing {SWITCH}: {error}"));
    assert!(complaint.is_some(), "nobody noticed:\n{}", observer.log());
    let well = observer.log().line("taskscope: warning: canary: whole lives", SOON);
    assert!(well.is_some(), "it did not come back:\n{}", observer.log());
    stop(observer);
}
