//! Every program stays far below the verifier's limit on every kernel, so that growth does not make a kernel refuse it.

use std::process::Command;

use taskscope_tests::{setting, verifier::loads};

/// A program may need a fifth of the verifier's limit. The largest program, which walks a path up to its root, needs a tenth before
/// Linux 6.12.
const SHARE: u64 = 5;

#[test]
fn no_program_takes_the_verifier_a_fifth_of_what_it_allows() {
    let mut command = Command::new(setting::taskscope());
    command.args(["doctor", "--format", "json", "--attach", &setting::attach()]);
    command.stdout(std::process::Stdio::null());
    let mut loaded = loads(command);
    // The programs for `--pid` are loaded only with that option.
    let mut trace = Command::new(setting::taskscope());
    trace.args(["events", "--sched", "--pid", &std::process::id().to_string(), "--limit", "1"]);
    trace.stdout(std::process::Stdio::null());
    loaded.extend(loads(trace));
    for program in &loaded {
        setting::report(&format!("verified_{}", program.name), program.processed);
    }
    for name in ["sched_switch", "sched_histogram", "sched_trace_wak"] {
        assert!(loaded.iter().any(|program| program.name.starts_with(name)), "{name}: {loaded:?}");
    }
    let most = loaded.iter().max_by_key(|program| program.processed).unwrap();
    assert!(most.processed * SHARE < most.limit, "{most:?}");
}
