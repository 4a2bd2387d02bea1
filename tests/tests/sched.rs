//! `run --sched`: its histograms against the scheduler's own account of the same tasks.

mod common;

use std::{collections::BTreeMap, fmt::Write as _};

use common::scenario;
use taskscope_tests::{cgroup::Cgroup, service::Service, setting};

const RUN_QUEUE: &str = "taskscope_sched_run_queue_latency_seconds";
const OFF_CPU: &str = "taskscope_sched_off_cpu_seconds";

type Samples = BTreeMap<String, f64>;

/// The sum of a histogram's samples with these labels; `part` is `_count`, `_sum` or `_bucket`.
fn value(samples: &Samples, name: &str, part: &str, labels: &[String]) -> f64 {
    let begin = format!("{name}{part}{{");
    let has = |key: &str| key.starts_with(&begin) && labels.iter().all(|label| key.contains(label));
    samples.iter().filter(|(key, _)| has(key)).map(|(_, value)| value).sum()
}

fn unit(name: &str) -> String {
    format!("unit=\"{name}\"")
}

#[test]
fn histograms_agree_with_the_schedulers_own_account() {
    let names =
        ["naps", "rivals", "vfork", "stop"].map(|role| format!("ts{}-{role}.service", std::process::id()));
    let made: Vec<Cgroup> = names.iter().filter_map(|name| Cgroup::make(&[name])).collect();
    let paths: Vec<String> = made.iter().map(|cgroup| cgroup.path().display().to_string()).collect();
    let Ok(paths) = <[String; 4]>::try_from(paths) else { return };
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

    // Runs, and what came before them: the kernel counts both for the same moments, by the run queue's own clock.
    for (role, name) in ["naps", "rivals"].into_iter().zip(&names) {
        let account = |when: &str, key: &str| -> f64 {
            let of = facts.all("schedstat").filter(|fact| fact["role"] == role && fact["when"] == when);
            of.map(|fact| fact[key].as_f64().unwrap()).sum()
        };
        let runs = account("after", "run_count") - account("before", "run_count");
        let delay = (account("after", "run_delay_ns") - account("before", "run_delay_ns")) / 1e9;
        let (count, sum) =
            (grown(RUN_QUEUE, "_count", &[unit(name)]), grown(RUN_QUEUE, "_sum", &[unit(name)]));
        println!("{role}: {count} waits of {sum} s by the histogram; {runs} of {delay} s by schedstat");
        setting::report(&format!("sched_{role}"), format!("{count}/{runs},{sum:.6}/{delay:.6}s"));
        assert!(runs >= 20.0, "{role} ran {runs} times");
        let unseen = unseen(&after) - unseen(&before);
        assert!(
            count <= runs && count >= runs - unseen,
            "{role}: {count} waits, {runs} runs, {unseen} not seen"
        );
        // The two clocks are read at two places of the scheduler's way, with interrupts and the host's turns between.
        if unseen > 0.0 {
            continue;
        }
        let slack = 0.02 * delay + runs * if setting::in_vm() { 300e-6 } else { 100e-6 };
        assert!((sum - delay).abs() <= slack, "{role}: {sum} s of waiting, {delay} s by schedstat");
    }

    let acted = facts.all("acted").next().unwrap();
    let (naps, nap) = (acted["naps"].as_f64().unwrap(), acted["nap_ns"].as_f64().unwrap() / 1e9);
    let held = acted["held_ns"].as_f64().unwrap() / 1e9;
    // 4.096 ms is the last limit below a nap.
    let longer = |name: &str, state: &str| {
        let labels = [unit(name), format!("state=\"{state}\"")];
        let short = [labels[0].clone(), labels[1].clone(), "le=\"0.004096\"".to_owned()];
        (
            grown(OFF_CPU, "_count", &labels) - grown(OFF_CPU, "_bucket", &short),
            grown(OFF_CPU, "_sum", &labels),
        )
    };
    for (name, state, times, length) in [
        (&names[0], "interruptible", naps, naps * nap),
        (&names[2], "killable", 1.0, held),
        (&names[3], "stopped", 1.0, held),
    ] {
        let (count, sum) = longer(name, state);
        assert!(count >= times && sum >= length, "{name}, {state}: {count} sleeps of {sum} s");
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
}

/// Ends of sleeps and of waits that were not seen. There are none, but on a kernel that hides some tasks from programs.
fn unseen(samples: &Samples) -> f64 {
    let of = |cause: &str| value(samples, "taskscope_sched_lost_total", "", &[format!("\"{cause}\"")]);
    let count = of("no_wakeup") + of("no_switch");
    assert!(count == 0.0 || !setting::in_vm(), "{count} were not seen");
    count
}

#[test]
fn without_the_flag_nothing_of_it_is_in_the_kernel() {
    let service = Service::start(&[]);
    let samples = service.metrics();
    assert!(!samples.keys().any(|key| key.contains("sched_histograms") || key.contains("taskscope_sched_")));
    service.stop_clean();
}

#[test]
fn more_units_than_may_be_named_are_counted_as_other() {
    let names =
        ["naps", "rivals", "vfork", "stop"].map(|role| format!("to{}-{role}.service", std::process::id()));
    let made: Vec<Cgroup> = names.iter().filter_map(|name| Cgroup::make(&[name])).collect();
    let paths: Vec<String> = made.iter().map(|cgroup| cgroup.path().display().to_string()).collect();
    let Ok(paths) = <[String; 4]>::try_from(paths) else { return };
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
