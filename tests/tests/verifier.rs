//! Every program stays far below the verifier's limit, on every kernel: growth there would one day refuse it.

use std::process::Command;

use taskscope_tests::{setting, verifier::loads};

/// A fifth of what the kernel allows. The dearest, which walks a path up to its root, takes half of that before 6.12.
const SHARE: u64 = 5;

#[test]
fn no_program_takes_the_verifier_a_fifth_of_what_it_allows() {
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
