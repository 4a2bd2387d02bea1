//! A real Prometheus scrapes the daemon, and its tools find nothing wrong.

#[path = "../../common/mod.rs"]
mod common;
mod server;
mod shipped;

use std::{io::Write as _, process::Command};

use common::scenario;
use taskscope_tests::{
    cgroup::Cgroup,
    service::{self, Service},
    setting,
};

use self::server::{Prometheus, tool};

#[test]
fn promtool_finds_nothing_wrong_with_a_scrape() {
    if setting::in_vm() {
        setting::skip("a guest has no Prometheus, and the text is the same everywhere");
        return;
    }
    let service = service::shared();
    let mut promtool = tool("TASKSCOPE_PROMTOOL", "promtool");
    promtool.args(["check", "metrics"]).stdin(std::process::Stdio::piped());
    promtool.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = promtool.spawn().expect("promtool: apt-get install prometheus, or cargo xtask test");
    child.stdin.take().unwrap().write_all(service.get("/metrics").body.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_real_prometheus_scrapes_it_and_names_the_parent_that_owes_a_wait() {
    if setting::in_vm() {
        setting::skip("a guest has no Prometheus, and the text is the same everywhere");
        return;
    }
    let service = Service::start(&["--zombie-after", "200ms"]);
    let prometheus = Prometheus::start(service.address());
    prometheus.until("up{job=\"taskscope\"}", |up| up > 0.0);
    let mut zombie = scenario("zombie", &[]);
    zombie.pause("zombie");
    prometheus.until("taskscope_parent_zombies{parent=\"scenario\"}", |zombies| zombies >= 1.0);
    scenario("burst", &["100"]).finish();
    prometheus.until("sum(increase(taskscope_exits_total{kind=\"process\"}[1m]))", |exits| exits > 50.0);
    zombie.go();
    zombie.finish();
    // The series of a parent without zombies ends; the remaining ones are 0.
    prometheus.until("sum(taskscope_parent_zombies{parent=~\"scenario|other\"})", |zombies| zombies < 1.0);
    drop(prometheus);
    service.stop_clean();
}

#[test]
fn a_real_prometheus_counts_the_exits_of_a_unit_and_those_of_all_units_are_those_of_the_host() {
    if setting::in_vm() {
        setting::skip("a guest has no Prometheus, and the text is the same everywhere");
        return;
    }
    let unit = format!("ts{}-prometheus.service", std::process::id());
    let Some(cgroup) = Cgroup::make(&[&unit]) else {
        setting::skip("a cgroup of the v2 hierarchy cannot be made");
        return;
    };
    let service = Service::start(&["--top", "1000"]);
    let prometheus = Prometheus::start(service.address());
    let in_unit = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        cgroup.begin(&mut command);
        command.spawn().unwrap_or_else(|error| panic!("sh: {error}"))
    };
    let mut main = in_unit("exec sleep 1000");
    // The unit has all of its series, at zero, before the first process ends.
    prometheus.until(&format!("taskscope_unit_live_processes{{unit=\"{unit}\"}}"), |live| live >= 1.0);
    prometheus.until(&format!("sum(taskscope_unit_exits_total{{unit=\"{unit}\"}})"), |exits| exits < 1.0);
    for _ in 0..30 {
        in_unit("exit 3").wait().unwrap_or_else(|error| panic!("sh: {error}"));
    }
    let failures =
        format!("sum(increase(taskscope_unit_exits_total{{unit=\"{unit}\",reason=\"failure\"}}[1m]))");
    prometheus.until(&failures, |exits| exits >= 29.0);
    let all = "sum(taskscope_unit_exits_total)-scalar(sum(taskscope_exits_total{kind=\"process\"}))";
    prometheus.until(all, |difference| difference == 0.0);
    let _ = main.kill();
    let _ = main.wait();
    drop(prometheus);
    service.stop_clean();
}

#[test]
fn how_long_programs_take_to_start_and_how_long_they_run_is_counted() {
    let service = Service::start(&[]);
    let of = |name: &str, part: &str| format!("taskscope_{name}_duration_seconds_{part}");
    let before = service.metrics();
    // The scenario is a program that is forked, calls exec and ends.
    scenario("burst", &["1"]).finish();
    service.until("the program", |now| {
        let more = |name: &str, part: &str| now[&of(name, part)] - before[&of(name, part)];
        more("fork_to_exec", "count") >= 1.0
            && more("fork_to_exec", "sum") > 0.0
            && more("exec_to_exit", "count") >= 1.0
            && more("exec_to_exit", "sum") > 0.0
    });
    service.stop_clean();
}
