//! Metrics by unit, compared with what the kernel says of the unit's cgroup, and with the metrics of the whole host.
#![expect(clippy::float_cmp, reason = "the samples are counts, which f64 holds exactly")]

#[path = "../common/mod.rs"]
mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use common::scenario;
use taskscope_tests::{
    cgroup::{Cgroup, Sleeper},
    service::Service,
    setting, wait,
};

type Samples = BTreeMap<String, f64>;

/// The cgroup of a unit that no other test has; `None` if it cannot be made here.
fn unit(role: &str) -> Option<(Cgroup, String)> {
    if setting::skip_in_vm("a guest has no sh(1) and sleep(1)") {
        return None;
    }
    let name = format!("ts{}-{role}.service", std::process::id());
    let made = Cgroup::make(&[&name]);
    if made.is_none() {
        setting::skip("a cgroup of the v2 hierarchy cannot be made");
    }
    made.map(|cgroup| (cgroup, name))
}

/// Returns the sum of the samples of a metric whose labels have this text.
fn sum(samples: &Samples, metric: &str, label: &str) -> f64 {
    let is_of = |key: &str| key.strip_prefix(metric).is_some_and(|labels| labels.starts_with('{'));
    samples.iter().filter(|(key, _)| is_of(key) && key.contains(label)).map(|(_, value)| value).sum()
}

fn of_unit(samples: &Samples, metric: &str, unit: &str) -> f64 {
    sum(samples, &format!("taskscope_unit_{metric}"), &format!("unit=\"{unit}\""))
}

/// Returns the number of lines of a cgroup's file; each line is a process or a thread.
fn lines(cgroup: &Cgroup, file: &str) -> f64 {
    let text = fs::read_to_string(cgroup.path().join(file)).unwrap_or_default();
    f64::from(u32::try_from(text.lines().count()).unwrap_or(u32::MAX))
}

/// Runs a shell in a cgroup to its end.
#[track_caller]
fn run(cgroup: &Cgroup, script: &str) {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    cgroup.begin(&mut command);
    command.status().unwrap_or_else(|error| panic!("sh: {error}"));
}

#[test]
fn the_live_tasks_of_a_unit_are_those_of_its_cgroup() {
    let Some((cgroup, name)) = unit("live") else { return };
    let service = Service::start(&["--top", "1000"]);
    let agrees = |what: &str, processes: f64| {
        wait::until_ok(|| {
            let expected = [lines(&cgroup, "cgroup.procs"), lines(&cgroup, "cgroup.threads")];
            let samples = service.metrics();
            let found = ["live_processes", "live_threads"].map(|metric| of_unit(&samples, metric, &name));
            if found == expected && found[0] >= processes {
                Ok(found)
            } else {
                Err(format!("{what}: {found:?} by the metrics, {expected:?} in the cgroup"))
            }
        })
    };
    let sleepers: Vec<_> = (0..3).map(|_| Sleeper::start(&cgroup)).collect();
    agrees("three processes", 3.0);
    // The daemon has more than one thread: they move with it.
    cgroup.take(service.process().pid().into());
    let [processes, threads] = agrees("a process that was moved", 4.0);
    assert!(threads > processes, "{threads} threads of {processes} processes");

    let mut command = Command::new("true");
    cgroup.begin(&mut command);
    let mut zombie = command.spawn().unwrap_or_else(|error| panic!("true: {error}"));
    service.until("a zombie", |samples| {
        (of_unit(samples, "zombies", &name), of_unit(samples, "live_processes", &name)) == (1.0, 4.0)
    });
    let _ = zombie.wait();
    drop(sleepers);
    service.until("the zombie and the processes are gone", |samples| {
        (of_unit(samples, "zombies", &name), of_unit(samples, "live_processes", &name)) == (0.0, 1.0)
    });
    service.stop_clean();
}

#[test]
fn what_processes_of_a_unit_do_is_counted() {
    let Some((cgroup, name)) = unit("events") else { return };
    let service = Service::start(&["--top", "1000"]);
    run(&cgroup, "/bin/true; /bin/true; exit 3");
    run(&cgroup, "kill -KILL $$");
    service.until("the ends of five processes", |samples| {
        let exits = |reason: &str| {
            let label = format!("reason=\"{reason}\"");
            let of = |key: &&String| key.contains(&format!("unit=\"{name}\"")) && key.contains(&label);
            let is_exit = |key: &&String| key.starts_with("taskscope_unit_exits_total{");
            let keys = samples.keys().filter(is_exit).filter(of);
            keys.map(|key| samples[key]).sum::<f64>()
        };
        let ends = ["success", "failure", "signal", "core_dump", "oom", "unknown"].map(exits);
        // The shells were forked in the cgroup of this test, and moved before they called execve(2).
        ends == [2.0, 1.0, 1.0, 0.0, 0.0, 0.0]
            && of_unit(samples, "processes_created_total", &name) == 2.0
            && of_unit(samples, "execs_total", &name) == 4.0
    });
    service.stop_clean();
}

/// Returns metrics of the host whose parts by unit have another sum.
fn differing(samples: &Samples) -> Vec<String> {
    let whole = [
        ("processes_created_total", &[("taskscope_tasks_created_total", "kind=\"process\"")][..]),
        ("exits_total", &[("taskscope_exits_total", "kind=\"process\"")]),
        (
            "live_threads",
            &[("taskscope_tasks", "state=\"running\""), ("taskscope_tasks", "state=\"exiting\"")],
        ),
    ];
    let mut sums: Vec<_> = whole
        .map(|(metric, parts)| (metric, parts.iter().map(|(name, label)| sum(samples, name, label)).sum()))
        .into();
    sums.push(("execs_total", samples["taskscope_execs_total"]));
    sums.push(("zombies", samples["taskscope_zombies"]));
    let by_unit = |metric: &str| sum(samples, &format!("taskscope_unit_{metric}"), "");
    let differs = |(metric, whole): &(&str, f64)| by_unit(metric) != *whole;
    let differing = sums.into_iter().filter(differs);
    differing
        .map(|(metric, whole)| format!("{metric}: {} by unit, {whole} in all", by_unit(metric)))
        .collect()
}

#[test]
fn units_add_up_to_the_host() {
    let service = Service::start(&["--top", "1000"]);
    scenario("burst", &["100"]).finish();
    let mut zombie = scenario("zombie", &[]);
    zombie.pause("zombie");
    let samples = service.until("the burst and the zombie", |samples| {
        sum(samples, "taskscope_exits_total", "kind=\"process\"") >= 100.0
            && samples["taskscope_zombies"] >= 1.0
    });
    // One scrape reads all of them at the same time.
    assert_eq!(differing(&samples), [] as [String; 0]);
    zombie.go();
    zombie.finish();
    service.stop_clean();
}

#[test]
fn however_many_units_there_are_two_have_series_and_the_rest_is_one() {
    let Some((first, _)) = unit("first") else { return };
    let service = Service::start(&["--top", "2"]);
    let units = |samples: &Samples| -> BTreeSet<String> {
        let of = samples.keys().filter_map(|key| key.strip_prefix("taskscope_unit_exits_total{"));
        of.filter_map(|key| Some(key.split_once("unit=\"")?.1.split_once('"')?.0.to_owned())).collect()
    };
    let (mut other, mut unnamed) = (0.0, 0);
    for round in 0..12 {
        let Some((cgroup, name)) = unit(&format!("round{round}")) else { return };
        run(&cgroup, "/bin/true; exit 3");
        run(&first, "/bin/true");
        let samples = service.metrics();
        let now = units(&samples);
        assert!(now.len() <= 3 && now.contains("other"), "{now:?}");
        unnamed += usize::from(!now.contains(&name));
        let others = of_unit(&samples, "exits_total", "other");
        assert!(others >= other, "other decreased from {other} to {others}");
        other = others;
    }
    assert!(unnamed >= 9, "{} of 12 units have or had series", 12 - unnamed);
    service.until("the ends in the other units", |samples| of_unit(samples, "exits_total", "other") >= 18.0);
    service.stop_clean();
}
