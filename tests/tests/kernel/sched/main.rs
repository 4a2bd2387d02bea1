//! `run --sched`: its histograms, compared with the scheduler's own figures of the same tasks; `runqlat`: with those of libbpf-tools;
//! `steps`: `events --sched`, compared with the kernel's counts of switches.

#[path = "../../common/mod.rs"]
mod common;
mod runqlat;
mod steps;

use std::{collections::BTreeMap, fmt::Write as _, fs, process::Command};

use common::scenario;
use taskscope_tests::{cgroup::Cgroup, observer::Observer, service::Service, setting};

const RUN_QUEUE: &str = "taskscope_sched_run_queue_latency_seconds";
const OFF_CPU: &str = "taskscope_sched_off_cpu_seconds";

type Samples = BTreeMap<String, f64>;

/// Returns the sum of a histogram's samples with these labels; `part` is `_count`, `_sum` or `_bucket`.
fn value(samples: &Samples, name: &str, part: &str, labels: &[String]) -> f64 {
    let begin = format!("{name}{part}{{");
    let has = |key: &str| key.starts_with(&begin) && labels.iter().all(|label| key.contains(label));
    samples.iter().filter(|(key, _)| has(key)).map(|(_, value)| value).sum()
}

fn unit(name: &str) -> String {
    format!("unit=\"{name}\"")
}

/// Creates four cgroups, one for each part of the scenario; `None` if that fails, or if the kernel has no /proc/PID/schedstat to
/// compare with.
fn cgroups(prefix: &str) -> Option<(Vec<Cgroup>, [String; 4], [String; 4])> {
    if fs::metadata("/proc/self/schedstat").is_err() {
        setting::skip(format_args!("the kernel does not count waits (no /proc/PID/schedstat)"));
        return None;
    }
    let names = ["naps", "rivals", "vfork", "stop"]
        .map(|role| format!("{prefix}{}-{role}.service", std::process::id()));
    let made: Vec<Cgroup> = names.iter().filter_map(|name| Cgroup::make(&[name])).collect();
    let paths: Vec<String> = made.iter().map(|cgroup| cgroup.path().display().to_string()).collect();
    Some((made, names, paths.try_into().ok()?))
}

/// How often the sums are compared: one comparison must agree. If the host takes a CPU away between the two places where the clocks
/// are read, the sums differ by any amount.
const COMPARISONS: u32 = 5;

#[test]
fn histograms_agree_with_the_schedulers_own_account() {
    let Some((_made, names, paths)) = cgroups("ts") else { return };
    for left in (0..COMPARISONS).rev() {
        let differing = compare_with_schedstat(&names, &paths);
        if differing.is_empty() {
            return;
        }
        println!("{}; {left} more comparisons", differing.join(", "));
        assert!(left > 0, "{}", differing.join(", "));
    }
}

/// Returns the sums of waits that differ.
#[expect(clippy::unwrap_used, reason = "one attempt of the test above")]
fn compare_with_schedstat(names: &[String; 4], paths: &[String; 4]) -> Vec<String> {
    let mut differing = Vec::new();
    let service = Service::start(&["--sched"]);
    let mut scenario = scenario("scheduled", &paths.each_ref().map(String::as_str));
    scenario.pause("before");
    let before = service.metrics();
    scenario.go();
    scenario.pause("after");
    let after = service.metrics();
    let facts = scenario.facts().clone();
    let grown = |name: &str, part: &str, labels: &[String]| {
        value(&after, name, part, labels) - value(&before, name, part, labels)
    };

    let account = |role: &str, key: &str| -> f64 {
        let at = |when: &str| -> f64 {
            let of = facts.all("schedstat").filter(|fact| fact["role"] == role && fact["when"] == when);
            of.map(|fact| fact[key].as_f64().unwrap()).sum()
        };
        at("after") - at("before")
    };
    let acted = facts.all("acted").next().unwrap();
    // Compares runs and the waits before them: the kernel counts both at the same places, by the run queue's clock.
    for (role, name) in ["naps", "rivals"].into_iter().zip(names) {
        let runs = account(role, "run_count");
        let delay = account(role, "run_delay_ns") / 1e9;
        let (count, sum) =
            (grown(RUN_QUEUE, "_count", &[unit(name)]), grown(RUN_QUEUE, "_sum", &[unit(name)]));
        println!("{role}: {count} waits of {sum} s by the histogram; {runs} of {delay} s by schedstat");
        setting::report(&format!("sched_{role}"), format!("{count}/{runs},{sum:.6}/{delay:.6}s"));
        let least = acted[if role == "naps" { "naps" } else { "turns" }].as_f64().unwrap();
        // A nap can end before its task has left the CPU: then the task is not switched in again.
        assert!(runs >= least / 2.0, "{role} ran {runs} times");
        let unseen = unseen(&after) - unseen(&before);
        assert!(
            count <= runs && count >= runs - unseen,
            "{role}: {count} waits, {runs} runs, {unseen} not seen"
        );
        // A sleep whose beginning was not recorded has an unknown duration.
        if count < runs {
            continue;
        }
        // The two clocks are read at two places of the scheduler's code, with interrupts and the host's preemption in between.
        // Under emulation the run queue's clock (`sched_clock`, unstable there) is off by up to a tick now and then.
        let slack = 0.02 * delay + runs * if setting::in_vm() { 1e-3 } else { 100e-6 };
        if (sum - delay).abs() > slack {
            differing.push(format!("{role}: {sum} s of waiting, {delay} s by schedstat"));
        }
    }

    let (naps, nap) = (acted["naps"].as_f64().unwrap(), acted["nap_ns"].as_f64().unwrap() / 1e9);
    let held = acted["held_ns"].as_f64().unwrap() / 1e9;
    // 4.096 ms is the largest bucket limit below the duration of a nap.
    let longer = |name: &str, state: &str| {
        let labels = [unit(name), format!("state=\"{state}\"")];
        let short = [labels[0].clone(), labels[1].clone(), "le=\"0.004096\"".to_owned()];
        (
            grown(OFF_CPU, "_count", &labels) - grown(OFF_CPU, "_bucket", &short),
            grown(OFF_CPU, "_sum", &labels),
        )
    };
    for (role, name, state, times, each) in [
        ("naps", &names[0], "interruptible", naps, nap),
        ("vfork", &names[2], "killable", 1.0, held),
        ("stop", &names[3], "stopped", 1.0, held),
    ] {
        let (count, sum) = longer(name, state);
        // The scenario's time begins before the task sleeps; the time that the task then still runs, or waits for a CPU, is no
        // sleep.
        let awake = (account(role, "run_ns") + account(role, "run_delay_ns")) / 1e9;
        let too_short = (awake / (each - 0.004_096)).floor();
        assert!(
            count >= times - too_short && sum >= times * each - awake,
            "{name}, {state}: {count} sleeps of {sum} s, awake for {awake} s"
        );
        let states = ["interruptible", "killable", "stopped", "uninterruptible", "idle", "other"];
        let text = states.iter().fold(String::new(), |mut text, state| {
            // Writing to a String does not fail.
            let _ = write!(text, " {state} {:?}", longer(name, state));
            text
        });
        println!("{name}:{text}");
    }
    scenario.go();
    scenario.finish();
    service.stop_clean();
    differing
}

/// Returns the number of ends of sleeps and waits that the programs missed. It is 0 unless the kernel hides some tasks from
/// programs.
fn unseen(samples: &Samples) -> f64 {
    let of = |cause: &str| value(samples, "taskscope_sched_lost_total", "", &[format!("\"{cause}\"")]);
    let count = of("no_wakeup") + of("no_switch");
    assert!(count == 0.0 || !setting::in_vm(), "{count} ends were not recorded");
    count
}

#[test]
fn without_the_flag_its_programs_are_not_loaded() {
    let service = Service::start(&[]);
    let samples = service.metrics();
    assert!(!samples.keys().any(|key| key.contains("sched_histograms") || key.contains("taskscope_sched_")));
    service.stop_clean();
}

#[test]
fn units_beyond_the_limit_are_counted_as_other() {
    let Some((_made, _, paths)) = cgroups("to") else { return };
    let service = Service::start(&["--sched", "--top", "0"]);
    let before = service.metrics();
    let mut scenario = scenario("scheduled", &paths.each_ref().map(String::as_str));
    scenario.pause("before");
    scenario.go();
    scenario.pause("after");
    let after = service.metrics();
    let counts: Vec<&String> =
        after.keys().filter(|key| key.starts_with(&format!("{RUN_QUEUE}_count"))).collect();
    assert_eq!(counts.len(), 1, "{counts:?}");
    let other = [unit("other")];
    assert!(value(&after, RUN_QUEUE, "_count", &other) >= value(&before, RUN_QUEUE, "_count", &other) + 50.0);
    scenario.go();
    scenario.finish();
    service.stop_clean();
}

/// Creates more cgroups, one after another, than there are histograms: histograms of removed cgroups are reused.
#[test]
fn histograms_of_removed_cgroups_are_reused() {
    const CGROUPS: usize = 300;
    let service = Service::start(&["--sched", "--top", "1000"]);
    let mut samples = Samples::new();
    for n in 0..CGROUPS {
        let name = format!("tr{}-{n}.service", std::process::id());
        let Some(cgroup) = Cgroup::make(&[&name]) else { return };
        let act = || {
            let mut command = Command::new(setting::scenario(env!("CARGO_BIN_EXE_scenario")));
            command.args(["burst", "1"]).stdout(std::process::Stdio::null());
            cgroup.begin(&mut command);
            assert!(command.status().unwrap().success());
        };
        act();
        if n == 0 {
            // Waits before the daemon knows the name of a cgroup are counted as `other`: act until the cgroup has a series of its
            // own.
            service.until("a name of its own", |now| {
                act();
                value(now, RUN_QUEUE, "_count", &[unit(&name)]) > 0.0
            });
        }
        drop(cgroup);
        if n % 16 == 15 {
            samples = service.metrics();
        }
    }
    let cgroups = samples["taskscope_sched_cgroups"];
    assert!(cgroups < samples["taskscope_sched_cgroups_max"], "{cgroups}");
    let lost = value(&samples, "taskscope_sched_lost_total", "", &["cgroups_full".to_owned()]);
    assert!(lost == 0.0, "{lost} waits had no histogram of their own");
    // The counters of removed cgroups keep their names, if the cgroups lived long enough to get one.
    let named = |n: usize| unit(&format!("tr{}-{n}.service", std::process::id()));
    let is_there = |n: &usize| value(&samples, RUN_QUEUE, "_count", &[named(*n)]) > 0.0;
    let early = (0..CGROUPS / 2).filter(is_there).count();
    assert!(early > 0, "{samples:#?}");
    service.stop_clean();
}

#[test]
fn the_errors_of_sched_name_the_remedy() {
    for (args, word) in [
        (&["--sched"][..], "--pid"),
        (&["--sched", "--pid", "1", "--action", "exited"], "switched_out"),
        (&["--sched", "--pid", "4194305"], "no such process"),
        (&["--sched", "--pid", "1", "--blocked-after", "1s"], "--blocked-after"),
        (&["--sched", "--pid", "1", "--zombie-after", "1s"], "--zombie-after"),
        (&["--sched", "--pid", "1", "--args"], "--args"),
        (&["--pid", "0"], "0 is the kernel's idle task"),
    ] {
        let mut command = Command::new(setting::taskscope());
        let output = command.arg("events").args(args).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains(word), "{args:?}: {text}");
    }
    // The tests run in threads, so this one's tid is no process's pid.
    // SAFETY: the call has no arguments.
    let tid = unsafe { libc::gettid() }.to_string();
    let output =
        Command::new(setting::taskscope()).args(["events", "--sched", "--pid", &tid]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains(&format!("give --pid {}", std::process::id())), "{text}");
}

#[test]
fn a_pid_without_a_process_is_reported_and_waited_for() {
    let end = Observer::start(&["--alone", "--pid", "4194305,1"]).stop();
    let warnings: Vec<_> = end.stderr.iter().filter(|line| line.contains("--pid")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("--pid 4194305: no such process"), "{}", end.text());
}
