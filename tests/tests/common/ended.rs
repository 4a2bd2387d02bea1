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
    for left in (0..TRIES).rev() {
        let facts = scenario(name, &[]).finish_or_skip().map_err(|skip| format!("{skip:?}"))?;
        let death = service.death(facts.role("child").pid);
        if left == 0 || death["missing"] != "records_lost" {
            return Ok((death, facts));
        }
        eprintln!("{name}: a record may be lost, so it is run again");
    }
    Err("it was not run".into())
}
