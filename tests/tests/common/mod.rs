//! Helpers that every test file uses.

use taskscope_tests::scenario::Scenario;

/// Starts a scenario with the program that cargo built beside this test.
pub(crate) fn scenario(name: &str, args: &[&str]) -> Scenario {
    Scenario::start(env!("CARGO_BIN_EXE_scenario"), name, args)
}
