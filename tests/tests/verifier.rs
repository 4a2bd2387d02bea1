//! Every program stays far below the verifier's limit, on every kernel: growth there would one day refuse it.

use std::process::Command;

use taskscope_tests::{setting, verifier::loads};

/// A tenth of what the kernel allows.
const SHARE: u64 = 10;

#[test]
fn no_program_takes_the_verifier_a_tenth_of_what_it_allows() {
    let mut command = Command::new(setting::taskscope());
    command.args(["doctor", "--format", "json", "--attach", &setting::attach()]);
    command.stdout(std::process::Stdio::null());
    let loaded = loads(command);
    for program in &loaded {
        setting::report(&format!("verified_{}", program.name), program.processed);
    }
    assert!(loaded.iter().any(|program| program.name.starts_with("sched_switch")), "{loaded:?}");
    let most = loaded.iter().max_by_key(|program| program.processed).unwrap();
    assert!(most.processed * SHARE < most.limit, "{most:?}");
}
