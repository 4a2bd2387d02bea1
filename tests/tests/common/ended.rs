//! The end of a scenario's child, as taskscope reports it.

use serde_json::Value;
use taskscope_tests::{facts::Facts, service::Service};

use crate::common::scenario;

/// How often a scenario is run while calls of programs are skipped.
const TRIES: usize = 5;

/// Runs a scenario; returns how its child ended, with the facts of the scenario. The error is why this machine does not allow it.
///
/// From 7.0 on, the kernel skips calls of a preempted program, so a record of a signal can be missing. taskscope then says so, and the
/// scenario is run again.
pub(crate) fn ended(service: &Service, name: &str) -> Result<(Value, Facts), String> {
    let run = || {
        let facts = scenario(name, &[]).finish_or_skip().map_err(|skip| format!("{skip:?}"))?;
        Ok((service.death(facts.role("child").pid), facts))
    };
    let mut ended: Result<(Value, Facts), String> = run();
    for _ in 1..TRIES {
        if !ended.as_ref().is_ok_and(|(death, _)| death["missing"] == "records_lost") {
            break;
        }
        eprintln!("{name}: a record may be lost, so it is run again");
        ended = run();
    }
    ended
}
