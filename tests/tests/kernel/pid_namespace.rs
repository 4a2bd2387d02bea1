//! In a pid namespace that is not the initial one the pids in /proc differ from those in the kernel's records: taskscope refuses,
//! and says what to do.

use std::{
    os::unix::process::CommandExt as _,
    process::{Command, Output, Stdio},
};

use taskscope_tests::{proc, setting};

/// The exit code for this refusal in the help.
const KERNEL: i32 = 4;

/// Commands that would read this /proc.
const COMMANDS: [&[&str]; 7] = [
    &["doctor"],
    &["run", "--listen", "127.0.0.1:0", "--socket", ""],
    &["zombies", "--alone"],
    &["tree", "--alone"],
    &["explain", "--alone", "1"],
    &["limits", "--alone"],
    &["events", "--alone"],
];

/// Runs taskscope inside of a scenario and returns its output; `None` if this machine does not allow the scenario.
fn taskscope(scenario: &str, args: &[&str]) -> Option<Output> {
    let mut command = Command::new(setting::scenario(env!("CARGO_BIN_EXE_scenario")));
    command.arg(scenario).arg(setting::taskscope()).args(args).stdin(Stdio::null()).process_group(0);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap_or_else(|error| panic!("the scenario {scenario}: {error}"));
    let group = child.id().cast_signed();
    // The pipes are read to the end after the group was killed, because the init of a namespace has them open too.
    let output = std::thread::scope(|scope| {
        let reading = scope.spawn(|| child.wait_with_output());
        let end = std::time::Instant::now() + setting::deadline();
        while std::time::Instant::now() < end && !reading.is_finished() && proc::state(group) != Some('Z') {
            std::thread::yield_now();
        }
        // SAFETY: kill takes two integers; the group was made for this command.
        unsafe { libc::kill(-group, libc::SIGKILL) };
        reading.join().unwrap_or_else(|_| panic!("reading what {scenario} says"))
    });
    let output = output.unwrap_or_else(|error| panic!("the scenario {scenario}: {error}"));
    let skipped = String::from_utf8_lossy(&output.stdout).contains("\"fact\":\"skip\"");
    if skipped {
        println!("skipped: {}", String::from_utf8_lossy(&output.stdout));
        return None;
    }
    Some(output)
}

fn refuses(scenario: &str, words: &str) {
    for args in COMMANDS {
        let Some(output) = taskscope(scenario, args) else { return };
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(KERNEL), "{args:?}: {stderr}");
        let errors: Vec<&str> = stderr.lines().filter(|line| line.contains("error:")).collect();
        assert_eq!(errors.len(), 1, "{args:?}: {stderr}");
        for word in [words, "--pid=host", "hostPID: true"] {
            assert!(errors[0].contains(word), "{args:?} does not say {word}: {stderr}");
        }
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(!stdout.contains("no zombies") && !stdout.contains("\"event\""), "{args:?}: {stdout}");
    }
}

#[test]
fn in_a_pid_namespace_of_its_own_every_command_refuses() {
    refuses("own-pid-namespace", "pid namespace that is not the initial one");
}

#[test]
fn below_a_proc_of_another_pid_namespace_every_command_refuses() {
    refuses("foreign-proc", "/proc is of a pid namespace that taskscope is not in");
}
