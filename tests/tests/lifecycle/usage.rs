//! What ended processes used, compared with what wait4(2) and getrusage(2) report to their parent.
//!
//! The kernel adds a child's usage to its parent when the parent waits, and a thread's usage to its group when the thread is
//! released. Both can be before the last switch. The scenarios make sure that a leader's last switch comes first, so its figures
//! must be equal. A thread always releases itself before its last switch, so that one voluntary switch is in no rusage.

#[path = "../common/mod.rs"]
mod common;

use std::{collections::BTreeMap, time::Duration};

use common::scenario;
use serde_json::Value;
use taskscope_tests::{
    event::Event,
    facts::{Facts, numbers},
    observer::Observer,
    scenario::Scenario,
    service::Service,
    setting::{in_vm, report},
    skipped::attempts,
    wait,
};

/// A timer tick at 250 Hz, ns.
const TICK_NS: i64 = 4_000_000;

/// CPU time that the thread of `tree-usage` uses, ns.
const THREAD_WORK_NS: i64 = 200_000_000;

/// The usage of one process or of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Used {
    user_us: i64,
    system_us: i64,
    voluntary: i64,
    involuntary: i64,
    minor: i64,
    major: i64,
}

/// Returns a number of a `usage` object.
fn number(usage: &Value, key: &str) -> i64 {
    usage[key].as_i64().unwrap_or_else(|| panic!("no {key} in {usage}"))
}

impl Used {
    /// Reads the usage that taskscope reports.
    fn reported(usage: &Value) -> Self {
        Self::reported_together(&[usage])
    }

    /// Adds up the usage of several objects.
    fn reported_together(usages: &[&Value]) -> Self {
        let sum = |key: &str| usages.iter().map(|usage| number(usage, key)).sum::<i64>();
        let (user, system) = (sum("user_ns"), sum("system_ns"));
        assert_eq!(
            user + system,
            sum("exec_runtime_ns"),
            "user and system time are not the runtime: {usages:?}"
        );
        Self {
            user_us: user / 1000,
            system_us: system / 1000,
            voluntary: sum("voluntary_switches"),
            involuntary: sum("involuntary_switches"),
            minor: sum("minor_faults"),
            major: sum("major_faults"),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            user_us: self.user_us - other.user_us,
            system_us: self.system_us - other.system_us,
            voluntary: self.voluntary - other.voluntary,
            involuntary: self.involuntary - other.involuntary,
            minor: self.minor - other.minor,
            major: self.major - other.major,
        }
    }
}

const NOTHING: Used = Used { user_us: 0, system_us: 0, voluntary: 0, involuntary: 0, minor: 0, major: 0 };

fn used(numbers: &Value) -> Used {
    let number = |key: &str| numbers[key].as_i64().unwrap_or_else(|| panic!("no {key} in {numbers}"));
    Used {
        user_us: number("user_us"),
        system_us: number("system_us"),
        voluntary: number("voluntary"),
        involuntary: number("involuntary"),
        minor: number("minor"),
        major: number("major"),
    }
}

fn rusages_of(facts: &Facts) -> &Value {
    facts.all("rusages").next().unwrap_or_else(|| panic!("the scenario has no rusages"))
}

/// Returns what wait4(2) returned for each child.
fn rusages(facts: &Facts) -> BTreeMap<i64, Used> {
    let fact = rusages_of(facts);
    let list = |key: &str| numbers(&fact[key]);
    let pids = list("pids");
    let columns = ["user_us", "system_us", "voluntary", "involuntary", "minor", "major"].map(list);
    let of = |n: usize| {
        let [user_us, system_us, voluntary, involuntary, minor, major] = columns.each_ref().map(|c| c[n]);
        Used { user_us, system_us, voluntary, involuntary, minor, major }
    };
    pids.into_iter().enumerate().map(|(n, pid)| (pid, of(n))).collect()
}

/// Returns the number of children. Two of them can have had the same pid.
fn count(facts: &Facts) -> i64 {
    i64::try_from(numbers(&rusages_of(facts)["pids"]).len()).unwrap_or(i64::MAX)
}

/// Runs a scenario until all usage has been counted; false if this machine does not allow it.
fn counted(scenario: &mut Scenario) -> bool {
    scenario.pause_or_skip("counted")
}

fn short_processes() -> &'static str {
    if in_vm() { "400" } else { "3000" }
}

#[test]
fn the_usage_of_a_process_equals_that_of_wait() {
    attempts(|| {
        let observer = Observer::start(&[]);
        let mut scenario = scenario("usage", &[short_processes()]);
        if !counted(&mut scenario) {
            return;
        }
        let expected = rusages(scenario.facts());
        let parent = scenario.facts().role("scenario").pid;
        let mut reported: BTreeMap<i64, Event> = BTreeMap::new();
        let view = observer.view(&scenario);
        let whole = view.until(|event| {
            // Storms of other tests can be so large that pids are reused.
            let is_child = event.number("process.parent_pid") == Some(parent);
            if event.action == "released"
                && event.tid == event.pid
                && is_child
                && expected.contains_key(&event.pid)
            {
                let twice = reported.insert(event.pid, event.clone());
                assert!(twice.is_none(), "released twice: {event}");
            }
            reported.len() == expected.len()
        });
        assert!(whole, "{} of {} were seen to be released", reported.len(), expected.len());
        let mut ours = NOTHING;
        let mut wait = NOTHING;
        let (mut longest, mut wrong) = (0, Vec::new());
        for (pid, expected) in &expected {
            let usage =
                reported[pid].get("task.usage").unwrap_or_else(|| panic!("no usage: {}", reported[pid]));
            assert_eq!(usage["tasks"], 1, "{usage}");
            assert!(usage.get("tasks_pending").is_none() && usage.get("tasks_unknown").is_none(), "{usage}");
            // RUSAGE_BOTH includes the grandchildren that the child waited for.
            let reaped = reported[pid].get("task.children_usage.reaped");
            let usages: Vec<&Value> = [usage].into_iter().chain(reaped).collect();
            let found = Used::reported_together(&usages);
            if found != *expected {
                wrong.push((*pid, found, *expected));
            }
            longest = longest.max(expected.user_us + expected.system_us);
            ours = ours.minus(NOTHING.minus(found));
            wait = wait.minus(NOTHING.minus(*expected));
        }
        report("usage_processes", expected.len());
        report("usage_of_waits_us", wait.user_us + wait.system_us);
        report("usage_reported_us", ours.user_us + ours.system_us);
        report("usage_longest_us", longest);
        assert!(
            wrong.is_empty(),
            "{} differ (pid, reported, waited): {:#?}",
            wrong.len(),
            &wrong[..wrong.len().min(5)]
        );
        assert!(
            wait.minor > 0 && wait.voluntary > 0 && longest >= 1000,
            "the scenario did not do what this test is about: {wait:?}"
        );
        scenario.go();
        scenario.finish();
        observer.stop();
    });
}

#[test]
fn the_usage_of_children_equals_that_of_getrusage() {
    attempts(|| {
        let service = Service::start(&[]);
        let before = service.metrics();
        let mut scenario = scenario("usage", &[short_processes()]);
        if !counted(&mut scenario) {
            return;
        }
        let facts = scenario.facts();
        let (me, count) = (facts.role("scenario").pid, count(facts));
        let expected = used(facts.all("children").next().unwrap());
        let grandchildren = count / 8;
        // On the tracepoint rung the last reaping is reported after an RCU grace period.
        let answer = until(&service, me, |task| {
            let children = &task["children_usage"];
            children["reaped"]["processes"] == count + grandchildren
                && children["autoreaped"]["processes"] == grandchildren
        });
        let children = &answer["task"]["children_usage"];
        assert!(children["reaped"].get("processes_unknown").is_none(), "{children}");
        assert_eq!(Used::reported(&children["reaped"]), expected, "{children}");
        // The kernel adds their usage to no process.
        let forgotten = &children["autoreaped"];
        assert!(
            Used::reported(forgotten).user_us + Used::reported(forgotten).system_us >= 50 * grandchildren,
            "{children}"
        );
        let explained = service.json(&format!("/v1/explain/{me}"))["story"].to_string();
        assert!(
            explained.contains(&format!("{} ended processes below it, waited for", count + grandchildren)),
            "{explained}"
        );
        let all = expected.user_us
            + expected.system_us
            + Used::reported(forgotten).user_us
            + Used::reported(forgotten).system_us;
        counters_grew(&service, &before, all);
        scenario.go();
        scenario.finish();
        service.stop_clean();
    });
}

/// Asks about a process until the answer meets a condition, and returns that answer.
fn until(service: &Service, pid: i64, come: impl Fn(&Value) -> bool) -> Value {
    wait::until_answer(|| service.json(&format!("/v1/tasks/{pid}")), |answer| come(&answer["task"]))
}

/// Checks that the counters of ended tasks have grown by at least this, by kind and by unit, and that none has decreased.
fn counters_grew(service: &Service, before: &BTreeMap<String, f64>, at_least_us: i64) {
    let after = service.metrics();
    let sum = |samples: &BTreeMap<String, f64>, name: &str| -> f64 {
        let start = format!("{name}{{");
        samples.iter().filter(|(name, _)| name.starts_with(&start)).map(|(_, value)| value).sum()
    };
    let (by_kind, by_unit) = ("taskscope_ended_cpu_seconds_total", "taskscope_unit_ended_cpu_seconds_total");
    let grown = sum(&after, by_kind) - sum(before, by_kind);
    assert!(
        grown >= Duration::from_micros(at_least_us.unsigned_abs()).as_secs_f64(),
        "{grown} s, and the children alone used {at_least_us} us"
    );
    for (kinds, units) in [
        (by_kind, by_unit),
        ("taskscope_ended_run_delay_seconds_total", "taskscope_unit_ended_run_delay_seconds_total"),
    ] {
        let (kinds, units) = (sum(&after, kinds), sum(&after, units));
        assert!((kinds - units).abs() < 1e-6, "{kinds} s by kind, {units} s by unit");
    }
    assert!(after["taskscope_ended_unaccounted_total"] < 1.0, "figures were lost");
    for (name, value) in before.iter().filter(|(name, _)| name.contains("_ended_")) {
        assert!(after[name] >= *value, "{name} decreased from {value} to {}", after[name]);
    }
}

#[test]
fn the_usage_of_a_process_with_threads_equals_that_of_wait_and_their_last_switches() {
    const THREADS: i64 = 8;
    attempts(|| {
        let service = Service::start(&[]);
        let mut scenario = scenario("thread-usage", &["8"]);
        if !counted(&mut scenario) {
            return;
        }
        let (pid, expected) = rusages(scenario.facts()).pop_first().unwrap();
        let answer = until(&service, pid, |task| {
            task["state"] == "released"
                && task["usage"]["tasks"] == THREADS + 1
                && task["usage"].get("tasks_pending").is_none()
        });
        let usage = &answer["task"]["usage"];
        assert!(usage.get("tasks_unknown").is_none(), "{usage}");
        let more = Used::reported(usage).minus(expected);
        report("usage_of_threads_beyond_wait_us", more.user_us + more.system_us);
        // Each thread releases itself before its last switch.
        assert_eq!((more.voluntary, more.minor, more.major), (THREADS, 0, 0), "{usage} {expected:?}");
        // Kernel threads and the limit on real-time tasks (sched_rt_runtime_us) can also preempt a task before its last switch.
        assert!((0..=THREADS).contains(&more.involuntary), "{usage} {expected:?}");
        // taskscope also counts the CPU time after that, which may be less than a microsecond.
        assert!(more.user_us + more.system_us >= -1, "less than wait4 reported: {usage} {expected:?}");
        scenario.go();
        scenario.finish();
        service.stop_clean();
    });
}

#[test]
fn a_wait_before_the_last_switch_lacks_only_the_time_up_to_it() {
    attempts(|| {
        let service = Service::start(&[]);
        let mut scenario = scenario("usage", &[if in_vm() { "200" } else { "2000" }, "free"]);
        assert!(counted(&mut scenario), "this scenario needs no permission");
        let facts = scenario.facts();
        let (me, count) = (facts.role("scenario").pid, count(facts));
        let expected = used(facts.all("children").next().unwrap());
        let all = count + count / 8;
        let answer = until(&service, me, |task| task["children_usage"]["reaped"]["processes"] == all);
        let children = &answer["task"]["children_usage"]["reaped"];
        let more = Used::reported(children).minus(expected);
        report("usage_beyond_quick_waits_us", more.user_us + more.system_us);
        report("usage_beyond_quick_waits_switches", more.voluntary);
        assert!((0..=all).contains(&more.voluntary), "{more:?} of {children}");
        assert!((0..=all).contains(&more.involuntary), "{more:?} of {children}");
        assert_eq!((more.minor, more.major), (0, 0), "{children}");
        assert!(
            (-1..=all * TICK_NS / 1000).contains(&(more.user_us + more.system_us)),
            "{more:?} of {children}"
        );
        scenario.go();
        scenario.finish();
        service.stop_clean();
    });
}

/// Returns the CPU time of all threads of a process, ended ones included, by the process's CPU clock. Works for a zombie too.
fn cpu_clock_ns(pid: i64) -> i64 {
    let pid = libc::pid_t::try_from(pid).unwrap_or_default();
    let mut clock: libc::clockid_t = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both pointers are to values that outlive the call.
    let failed = unsafe {
        libc::clock_getcpuclockid(pid, &raw mut clock) != 0 || libc::clock_gettime(clock, &raw mut time) != 0
    };
    assert!(!failed, "the CPU clock of {pid}: {}", std::io::Error::last_os_error());
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

#[test]
fn a_tree_shows_the_cpu_time_of_processes_and_of_their_dead_children() {
    const CHILDREN: i64 = 10;
    attempts(|| {
        let service = Service::start(&[]);
        let mut scenario = scenario("tree-usage", &[&CHILDREN.to_string()]);
        if !counted(&mut scenario) {
            return;
        }
        let facts = scenario.facts();
        let expected = used(facts.all("children").next().unwrap());
        let [top, worker, sleeper, zombie] =
            ["scenario", "worker", "sleeper", "zombie"].map(|role| facts.role(role).pid);
        let own = |node: &Value| number(&node["usage_so_far"], "exec_runtime_ns");
        let total = |node: &Value| number(node, "subtree_exec_runtime_ns");
        let nodes = wait::until_ok(|| {
            let clocks = [top, sleeper, zombie].map(cpu_clock_ns);
            let tree = service.json(&format!("/v1/tree?pid={top}&usage=true&threads=true"));
            let node =
                |pid: i64| tree["processes"].as_array()?.iter().find(|node| node["pid"] == pid).cloned();
            let nodes = [top, worker, sleeper, zombie].map(node).map(Option::unwrap_or_default);
            let [_, of_worker, ..] = &nodes;
            let is_whole = of_worker["children_usage"]["reaped"]["processes"] == CHILDREN
                && nodes.iter().all(|node| node["usage_so_far"].get("tasks_pending").is_none());
            // For processes with a single thread the times are equal to the nanosecond.
            let single = [&nodes[0], &nodes[2], &nodes[3]]
                .map(|node| node["usage_so_far"]["exec_runtime_ns"].as_i64());
            if is_whole && single == clocks.map(Some) && clocks == [top, sleeper, zombie].map(cpu_clock_ns) {
                // Siblings are sorted by CPU time, zombies come last, and each parent is before its children.
                let order: Vec<&Value> = tree["processes"].as_array().into_iter().flatten().collect();
                assert_eq!(
                    order.iter().map(|node| node["pid"].as_i64()).collect::<Vec<_>>(),
                    [top, worker, sleeper, zombie].map(Some)
                );
                return Ok(nodes);
            }
            Err(format!("the CPU clocks say {clocks:?}: {tree:#}"))
        });
        let [of_top, of_worker, of_sleeper, of_zombie] = &nodes;
        // taskscope counts an ended thread up to its last switch, the CPU clock only up to its release. The difference can be as
        // long as the host stops the CPU in between, but is less than the time of a thread that is counted twice.
        let beyond = own(of_worker) - cpu_clock_ns(worker);
        assert!((0..THREAD_WORK_NS).contains(&beyond), "{beyond} ns more than its clock: {of_worker:#}");
        assert_eq!(of_worker["usage_so_far"]["tasks"], 2, "{of_worker:#}");
        // For ended children, taskscope reports the kernel's own sum.
        let reaped = &of_worker["children_usage"]["reaped"];
        assert_eq!(Used::reported(reaped), expected, "{of_worker:#}");
        assert!(expected.user_us + expected.system_us >= CHILDREN * 5000, "{expected:?}");
        // The usage of the subtree is the sum of its parts.
        let below = total(of_sleeper) + total(of_zombie);
        assert_eq!((total(of_sleeper), total(of_zombie)), (own(of_sleeper), own(of_zombie)));
        assert_eq!(
            total(of_worker),
            own(of_worker) + number(reaped, "exec_runtime_ns") + below,
            "{of_worker:#}"
        );
        assert_eq!(total(of_top), own(of_top) + total(of_worker), "{of_top:#}");
        assert!(
            nodes.iter().all(|node| node.get("subtree_at_least").is_none()),
            "the sums are marked as incomplete: {nodes:#?}"
        );
        scenario.go();
        scenario.finish();
        service.stop_clean();
    });
}
