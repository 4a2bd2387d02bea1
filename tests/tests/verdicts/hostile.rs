//! The situations of verdicts, each also with a name chosen to confuse, without the right to look into processes, and with a parent
//! that ends in the middle of the answer.

#[path = "../common/mod.rs"]
mod common;

use std::{
    fmt::Write as _,
    os::unix::process::CommandExt as _,
    process::{Command, Output, Stdio},
    thread::sleep,
    time::Duration,
};

use common::scenario;
use serde_json::Value;
use taskscope_tests::{scenario::Scenario, setting, wait};

/// A scenario, the pause, and the role that `explain` is asked about.
type Situation = (&'static str, &'static str, &'static str);

const SITUATIONS: [Situation; 24] = [
    ("writes-to-full-pipe", "owed", "child"),
    ("waits-for-lock", "owed", "child"),
    ("never-waits", "owed", "child"),
    ("never-waits", "owed", "parent"),
    ("parent-stopped", "owed", "child"),
    ("parent-traced", "owed", "child"),
    ("parent-vfork-held", "owed", "child"),
    ("sigchld-blocked", "owed", "child"),
    ("sigchld-coalesced", "owed", "child"),
    ("ignored-too-late", "owed", "child"),
    ("subreaper-no-reap", "owed", "child"),
    ("container-init", "owed", "child"),
    ("wait-nothread", "owed", "child"),
    ("waits-for-another", "owed", "child"),
    ("not-waited-for", "owed", "child"),
    ("exec-over", "owed", "child"),
    ("mask-of-ppoll", "owed", "child"),
    ("sigwait-elsewhere", "owed", "child"),
    ("signalfd-unread", "owed", "child"),
    ("waits-for-stops", "owed", "child"),
    ("reads-output", "owed", "child"),
    ("clone-parent-zombie", "owed", "child"),
    ("ignores-and-traces", "owed", "child"),
    ("init-gets-subshell", "owed", "child"),
];

/// Situations from public threads, in a list of their own so that no test takes too long in a guest.
const OF_STRANGERS: [Situation; 17] = [
    ("polls-output", "owed", "child"),
    ("waits-then-execs", "owed", "child"),
    ("reads-input", "owed", "child"),
    ("handler-deadlock", "owed", "child"),
    ("waits-late", "owed", "child"),
    ("waits-per-thread", "owed", "child"),
    ("failed-spawns", "owed", "child"),
    ("accepts-first", "owed", "child"),
    ("sends-first", "owed", "child"),
    ("opens-fifo", "owed", "child"),
    ("flag-handler", "owed", "child"),
    ("masked-receive", "owed", "child"),
    ("nocldwait-later", "owed", "child"),
    ("tracer-stopped", "owed", "child"),
    ("background-reads", "stopped", "child"),
    ("background-sets", "stopped", "parent"),
    ("background-writes", "stopped", "child"),
];

/// Verdicts that need `CAP_SYS_PTRACE`: they are derived from the system calls, signalfds and memory of the parent.
const BY_PTRACE: [&str; 8] = [
    "wait_nothread",
    "waits_for_another",
    "wait_without_wexited",
    "sigwait_never_returns",
    "signalfd_not_read",
    "sigchld_blocked_for_now",
    "reads_output_first",
    "blocked_elsewhere",
];

fn explain(pid: i64, format: &str) -> Command {
    let mut command = Command::new(setting::taskscope());
    command.args(["explain", "--alone", "--format", format, &pid.to_string()]);
    command
}

/// Removes `CAP_SYS_PTRACE` from a command.
fn without_ptrace(mut command: Command) -> Command {
    const CAP_SYS_PTRACE: libc::c_ulong = 19;
    // SAFETY: one system call with integers, which is async-signal-safe.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_CAPBSET_DROP, CAP_SYS_PTRACE, 0, 0, 0) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    command
}

fn run(mut command: Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("panicked"), "{command:?}: {stderr}");
    output
}

/// Repeats a command until its verdict is no longer `just_died`, and returns the verdict.
#[track_caller]
fn verdict(mut command: impl FnMut() -> Command) -> Value {
    let ask = || -> Value {
        let output = run(command());
        let explained: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        explained["verdict"].clone()
    };
    wait::until_answer(ask, |verdict| verdict["code"] != "just_died")
}

#[track_caller]
fn paused(name: &str, at: &str, comm: &[u8]) -> Option<Scenario> {
    let hex = comm.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let mut scenario = if comm.is_empty() { scenario(name, &[]) } else { scenario("named", &[&hex, name]) };
    scenario.pause_or_skip(at).then_some(scenario)
}

#[test]
fn a_name_chosen_to_confuse_changes_no_verdict_and_moves_no_cursor() {
    confuse(&SITUATIONS);
}

#[test]
fn a_name_chosen_to_confuse_changes_no_verdict_on_situations_of_strangers() {
    confuse(&OF_STRANGERS);
}

#[track_caller]
fn confuse(situations: &[Situation]) {
    // The name has a newline, an escape sequence, a quote, half a character, and a metric's label value.
    let names: [&[u8]; 5] =
        [b"a\nZombie: 1", b"\x1b[2J\x1b[31m", b"\"},{\"pid\":1", b"half \xe2\x82", b"other"];
    for (n, &(name, at, role)) in situations.iter().enumerate() {
        let plain = {
            let Some(mut scenario) = paused(name, at, b"") else { continue };
            let verdict = verdict(|| explain(scenario.facts().role(role).pid, "json"));
            scenario.go();
            scenario.finish();
            verdict
        };
        let comm = names[n % names.len()];
        let Some(mut scenario) = paused(name, at, comm) else { continue };
        let pid = scenario.facts().role(role).pid;
        let verdict = verdict(|| explain(pid, "json"));
        // A child that never called execve(2) and does not have a shell's name gets the same verdict.
        assert_eq!(verdict["code"], plain["code"], "{name} called {comm:?}: {verdict:#}");
        assert_eq!(verdict["certainty"], plain["certainty"], "{name} called {comm:?}: {verdict:#}");
        let text = run(explain(pid, "text")).stdout;
        let is_harmless = |byte: &u8| *byte == b'\n' || *byte >= b' ' && *byte != 0x7f;
        assert!(text.iter().all(is_harmless), "{name}: {}", String::from_utf8_lossy(&text));
        assert!(!String::from_utf8_lossy(&text).contains("\nZombie: 1"), "{name}");
        scenario.go();
        scenario.finish();
    }
}

#[test]
fn without_cap_sys_ptrace_no_verdict_is_invented() {
    check_without_ptrace(&SITUATIONS);
}

#[test]
fn without_cap_sys_ptrace_no_verdict_on_situations_of_strangers_is_invented() {
    check_without_ptrace(&OF_STRANGERS);
}

#[track_caller]
fn check_without_ptrace(situations: &[Situation]) {
    for &(name, at, role) in situations {
        let Some(mut scenario) = paused(name, at, b"") else { continue };
        let pid = scenario.facts().role(role).pid;
        let full = verdict(|| explain(pid, "json"));
        let verdict = verdict(|| without_ptrace(explain(pid, "json")));
        let code = verdict["code"].as_str().unwrap_or_default().to_owned();
        assert!(
            !BY_PTRACE.contains(&code.as_str()),
            "{name}: this verdict needs CAP_SYS_PTRACE: {verdict:#}"
        );
        if verdict["certainty"] == "certain" {
            // A verdict that is certain without the capability must be the same with it.
            assert_eq!(verdict["code"], full["code"], "{name}: {verdict:#}, with the right {full:#}");
        } else {
            let missing = verdict["missing"].to_string();
            assert!(missing.contains("CAP_SYS_PTRACE"), "{name}: {verdict:#}");
        }
        scenario.go();
        scenario.finish();
    }
}

#[test]
fn a_parent_that_ends_in_the_middle_of_the_answer_is_no_reason_to_fail() {
    end_in_the_middle(&SITUATIONS);
}

#[test]
fn a_strangers_parent_that_ends_in_the_middle_of_the_answer_is_no_reason_to_fail() {
    end_in_the_middle(&OF_STRANGERS);
}

#[track_caller]
fn end_in_the_middle(situations: &[Situation]) {
    // This scenario waits until its parent continues.
    let may_end = situations.iter().copied().filter(|(name, ..)| *name != "parent-vfork-held");
    for (n, (name, at, role)) in may_end.enumerate() {
        let Some(mut scenario) = paused(name, at, b"") else { continue };
        let (pid, parent) = (scenario.facts().role(role).pid, scenario.facts().role("parent").pid);
        let mut command = explain(pid, "json");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let asking = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        // The command may be reading tasks or /proc at that time, or be between two polls of a thread.
        sleep(Duration::from_millis(n as u64 * 3));
        let parent = i32::try_from(parent).unwrap_or_else(|error| panic!("{error}"));
        // SAFETY: kill takes integers.
        unsafe { libc::kill(parent, libc::SIGKILL) };
        let output = asking.wait_with_output().unwrap_or_else(|error| panic!("{error}"));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!stderr.contains("panicked"), "{name}: {stderr}");
        match output.status.code() {
            Some(0) => {
                let explained: Value = serde_json::from_slice(&output.stdout)
                    .unwrap_or_else(|error| panic!("{name}: {error}: {output:?}"));
                let verdict = &explained["verdict"];
                assert!(verdict["code"].is_string() && verdict["summary"].is_string(), "{name}: {verdict:#}");
            }
            code => {
                assert_eq!(code, Some(1), "{name}: {stderr}");
                assert!(stderr.contains(&pid.to_string()), "{name}: {stderr}");
            }
        }
        scenario.go();
        scenario.finish();
    }
}
