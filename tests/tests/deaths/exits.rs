//! Ends that wait(2) distinguishes must be reported as different.

#[path = "../common/mod.rs"]
mod common;

use common::scenario;
use taskscope_tests::{life::forked_by, matcher::event, observer::shared, skipped::attempts};

/// Runs a scenario whose child ends, and compares every event that knows the status with wait(2).
fn ends_as_wait_says(name: &str, args: &[&str], is_it: impl Fn(i32) -> bool) {
    let observer = shared();
    let mut scenario = scenario(name, args);
    let facts = scenario.finish();
    let (child, waited) = (facts.role("child"), facts.waited("child"));
    assert!(is_it(waited.status), "the scenario did not do what this test is about: {waited:?}");
    let view = observer.view(&scenario);
    for action in ["exited", "group_exited", "zombie_began", "reaped", "released"] {
        view.expect(event(action).of(&child).exit_as(&waited)).soon();
    }
    view.expect(event("exited").of(&child).field("task.exit_code", waited.status)).soon();
    view.is_normal(&facts, &[("child", forked_by("scenario").waited_for_by("scenario"))]);
    let flags = view.expect(event("exited").of(&child)).soon().get("task.flags").map(ToString::to_string);
    let flags = flags.unwrap_or_default();
    assert_eq!(flags.contains("PF_SIGNALED"), libc::WIFSIGNALED(waited.status), "{flags}");
    assert_eq!(flags.contains("PF_DUMPCORE"), libc::WCOREDUMP(waited.status), "{flags}");
}

#[test]
fn exit_code_0_is_a_code() {
    attempts(|| {
        ends_as_wait_says("fork-exit-wait", &["0"], |status| status == 0);
    });
}

#[test]
fn exit_code_255_is_a_code_and_no_signal() {
    attempts(|| {
        ends_as_wait_says("fork-exit-wait", &["255"], |status| status == 255 << 8);
    });
}

#[test]
fn exit_code_9_is_no_signal_9() {
    attempts(|| {
        ends_as_wait_says("fork-exit-wait", &["9"], |status| status == 9 << 8);
    });
}

#[test]
fn sigkill_as_the_oom_killer_sends_it_is_a_signal() {
    attempts(|| {
        ends_as_wait_says("sigkill", &["9"], |status| status == libc::SIGKILL);
    });
}

#[test]
fn sigterm_is_a_signal() {
    attempts(|| {
        ends_as_wait_says("sigkill", &["15"], |status| status == libc::SIGTERM);
    });
}

#[test]
fn a_core_dump_is_reported_exactly_when_wait_reports_it() {
    attempts(|| {
        // core_pattern and the limits decide whether the kernel writes a core; the status of wait(2) has the result.
        ends_as_wait_says("core-dump", &["3"], |status| status & 0x7f == libc::SIGQUIT);
        ends_as_wait_says("core-dump", &["11"], |status| status & 0x7f == libc::SIGSEGV);
    });
}
