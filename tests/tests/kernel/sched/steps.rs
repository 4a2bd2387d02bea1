//! The steps of a task, compared with the switches that the kernel counted.

use std::{fs, process::Command};

use serde_json::Value;
use taskscope_tests::{observer::Observer, scenario::Scenario, service, setting};

use super::common::scenario;

/// Returns how many switches this kernel may hide from programs; 0 in a guest.
fn hidden() -> i64 {
    if setting::in_vm() { 0 } else { 8 }
}

#[test]
fn the_steps_of_a_ping_pong_are_the_switches_that_the_kernel_counted() {
    let mut scenario = scenario("ping-pong", &[]);
    scenario.pause("before");
    let pids: Vec<String> = counted(&scenario, "before").iter().map(|fact| fact["pid"].to_string()).collect();
    let directory = service::directory();
    let path = directory.join("steps");
    let file = fs::File::create(&path).unwrap();
    let mut command = Command::new(setting::taskscope());
    command.args(["events", "--sched", "--pid", &pids.join(",")]);
    let observer = Observer::start_silent(command, file.into());
    observer.keep_programs();
    scenario.go();
    scenario.pause("after");
    let (before, after) = (counted(&scenario, "before"), counted(&scenario, "after"));
    scenario.go();
    scenario.finish();
    // Both processes have ended, so the observer ends too.
    let end = observer.wait(setting::deadline());
    end.assert_clean();
    let text = fs::read_to_string(&path).unwrap();
    let all: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (before, after) in before.iter().zip(&after) {
        let within = before["boottime_ns"].as_u64()..after["boottime_ns"].as_u64();
        let of_it = |step: &&Value| {
            step["thread"]["id"] == before["pid"] && within.contains(&step["boottime_ns"].as_u64())
        };
        check_steps(&all.iter().filter(of_it).collect::<Vec<_>>(), before, after);
    }
    fs::remove_dir_all(directory).unwrap();
}

fn counted(scenario: &Scenario, when: &str) -> Vec<Value> {
    scenario.facts().all("switches").filter(|fact| fact["when"] == when).cloned().collect()
}

/// Checks the steps of one task between two readings of the kernel's counters.
fn check_steps(steps: &[&Value], before: &Value, after: &Value) {
    let number = |fact: &Value, key: &str| fact[key].as_i64().unwrap_or_else(|| panic!("no {key}: {fact}"));
    let grown = |key: &str| number(after, key) - number(before, key);
    let count = |action: &str, is_wanted: &dyn Fn(&Value) -> bool| {
        let steps = steps.iter().filter(|step| step["event"]["action"] == action);
        steps.filter(|step| is_wanted(&step["sched"])).map(|_| 1_i64).sum::<i64>()
    };
    // On a real-time kernel, a task sleeps while it waits for a lock for which it spins on other kernels.
    let sleeps = count("switched_out", &|sched| sched["state"] != "runnable");
    let preemptions = count("switched_out", &|sched| sched["state"] == "runnable");
    let runs = count("switched_in", &|sched| sched["waited_ns"].is_u64());
    let wakeups = count("woken", &|_| true);
    let (voluntary, involuntary) = (grown("voluntary"), grown("involuntary"));
    println!(
        "{sleeps} sleeps, {preemptions} preemptions, {runs} runs, {wakeups} wakeups; {voluntary} and {involuntary} by /proc"
    );
    setting::report("sched_steps", format!("{sleeps}+{preemptions}/{voluntary}+{involuntary}"));
    assert!(voluntary + involuntary >= 500, "{before} {after}");
    let near = |found: i64, wanted: i64| {
        assert!((wanted - hidden()..=wanted).contains(&found), "{found}, not {wanted}");
    };
    near(sleeps, voluntary);
    near(preemptions, involuntary);
    near(runs, voluntary + involuntary);
    near(wakeups, voluntary);
    // While off the CPU, a task sleeps and then waits for a CPU: the two durations add up to the third.
    let mut slept = None;
    for step in steps {
        let sched = &step["sched"];
        match step["event"]["action"].as_str() {
            Some("woken") => slept = sched["slept_ns"].as_u64(),
            Some("switched_in") => {
                let (waited, off) = (sched["waited_ns"].as_u64(), sched["off_cpu_ns"].as_u64());
                if let (Some(slept), Some(waited), Some(off)) = (slept.take(), waited, off) {
                    assert_eq!(slept + waited, off, "{step}");
                }
            }
            _ => slept = None,
        }
    }
    // The two processes wake each other, and no other task wakes them.
    let wakers = count("woken", &|sched| {
        sched["waker"]["name"].as_str().is_some_and(|name| name.starts_with("scenario"))
    });
    assert!(wakers >= wakeups - 10, "{wakers} of {wakeups} wakeups by the other");
}
