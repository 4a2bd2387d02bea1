//! Argument vectors can hold secrets: they are reported only with `--args`.

#[path = "../common/mod.rs"]
mod common;

use common::scenario;
use taskscope_tests::{matcher::event, observer::Observer, skipped::attempts};

/// The arguments that the scenario passes to execve(2).
const ARGS: [&str; 4] = ["scenario", "report", "child", "5"];

#[test]
fn argument_vectors_are_not_reported_by_default() {
    attempts(|| {
        let observer = Observer::start(&[]);
        let mut scenario = scenario("exec", &[]);
        let facts = scenario.finish();
        let view = observer.view(&scenario);
        view.expect(event("execed").of(&facts.role("child")).absent("process.command_args")).soon();
        view.fence();
        for event in view.events() {
            assert_eq!(event.get("process.command_args"), None, "{event}");
        }
        observer.stop();
    });
}

#[test]
fn argument_vectors_are_reported_whole_with_args() {
    attempts(|| {
        let observer = Observer::start(&["--args"]);
        let mut scenario = scenario("exec", &[]);
        let facts = scenario.finish();
        let view = observer.view(&scenario);
        view.expect(
            event("execed")
                .of(&facts.role("child"))
                .field("process.command_args", ARGS.to_vec())
                .absent("process.command_args_truncated"),
        )
        .soon();
        observer.stop();
    });
}
