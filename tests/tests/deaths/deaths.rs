//! Why processes end, by real mechanisms. The oracles are wait(2), and the kernel's own count of out-of-memory victims.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/ended.rs"]
mod ended;

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Instant,
};

use common::scenario;
use serde_json::Value;
use taskscope_tests::{
    facts::Facts,
    service::{Service, directory},
    setting, wait,
};

/// Runs a scenario and returns how its child ended, with the facts of the scenario; `None` if this machine does not allow it.
#[track_caller]
fn ended(service: &Service, name: &str) -> Option<(Value, Facts)> {
    ended::ended(service, name).inspect_err(|skip| eprintln!("{name}: {skip}")).ok()
}

/// Checks a cause, its certainty, and the status against wait(2).
#[track_caller]
fn assert_cause(death: &Value, facts: &Facts, cause: &str, certainty: &str) {
    assert_eq!(death["cause"], cause, "{death:#}");
    assert_eq!(death["certainty"], certainty, "{death:#}");
    if let [waited, ..] = facts.waits("child").as_slice() {
        assert_eq!(death["exit"]["status"], waited.status, "{death:#}");
    }
}

#[track_caller]
fn assert_sender(death: &Value, facts: &Facts, role: &str) {
    assert_eq!(death["signal"]["sender"]["process"]["pid"], facts.role(role).pid, "{death:#}");
}

/// A scenario, the cause, its certainty, and the role of the sender.
type Row = (&'static str, &'static str, &'static str, Option<&'static str>);

const ROWS: &[Row] = &[
    ("death-killed", "killed", "certain", Some("sender")),
    ("death-escalation", "escalation", "certain", Some("scenario")),
    ("death-itself", "killed_by_itself", "certain", Some("child")),
    ("death-raised", "killed", "likely", Some("scenario")),
    ("death-abort", "abort", "certain", Some("child")),
    ("death-fault", "fault", "certain", Some("child")),
    ("death-pipe", "broken_pipe", "certain", Some("child")),
    ("death-cpu", "cpu_limit", "certain", Some("child")),
    ("death-file-size", "file_size_limit", "certain", Some("child")),
    ("death-strict", "seccomp", "certain", None),
    ("death-parent", "parent_death_signal", "certain", Some("sender")),
    ("death-namespace", "pid_namespace_init", "certain", Some("sender")),
    ("death-cgroup", "cgroup_kill", "certain", Some("scenario")),
    ("death-tracer", "tracer", "certain", Some("sender")),
    ("death-hangup", "terminal_hangup", "certain", Some("scenario")),
    ("death-key", "terminal_key", "certain", None),
    ("death-timeout", "timeout", "likely", Some("sender")),
    ("death-asked", "exited", "certain", None),
];

#[test]
fn every_cause_is_found_with_its_sender() {
    let service = Service::start(&[]);
    for &(name, cause, certainty, sender) in ROWS {
        let Some((death, facts)) = ended(&service, name) else { continue };
        assert_cause(&death, &facts, cause, certainty);
        if let Some(role) = sender {
            assert_sender(&death, &facts, role);
        }
    }
    service.stop_clean();
}

#[test]
fn a_stopped_process_with_an_orphaned_group_is_distinguished_from_one_whose_terminal_is_gone() {
    let service = Service::start(&[]);
    let mut scenario = scenario("death-orphaned", &[]);
    scenario.pause("stopped");
    let child = scenario.facts().role("child").pid;
    // The daemon reads whether the process leads its session when the record of the signal arrives.
    wait::until("the stop is reported", || {
        !service.json(&format!("/v1/explain/{child}"))["related"][0]["stopped_by"].is_null()
    });
    scenario.go();
    let facts = scenario.finish();
    let death = service.death(child);
    assert_cause(&death, &facts, "orphaned_group", "certain");
    assert_sender(&death, &facts, "parent");
    service.stop_clean();
}

#[test]
fn a_seccomp_filter_is_certain_where_the_kernel_generates_its_signal() {
    let service = Service::start(&[]);
    if let Some((death, facts)) = ended(&service, "death-seccomp") {
        // Kernels before 5.16 end the task without a signal; their stable releases leave a mode that only seccomp sets.
        let is_certain = death["signal"].is_object() || death["certainty"] == "certain";
        assert_cause(&death, &facts, "seccomp", if is_certain { "certain" } else { "likely" });
    }
    service.stop_clean();
}

#[test]
fn a_victim_of_the_out_of_memory_killer_is_distinguished_from_one_of_kill() {
    let service = Service::start(&[]);
    if let Some((death, facts)) = ended(&service, "death-oom") {
        let counted = facts.all("oom").next().and_then(|fact| fact["oom_kill"].as_i64());
        assert!(counted.is_some_and(|count| count >= 1 || count == -1), "the kernel counted {counted:?}");
        assert_cause(&death, &facts, "oom", "certain");
        assert_limit(&death, &facts);
        let status = service.json("/v1/status");
        let attached =
            status["hooks"]["out_of_memory"].as_str().is_some_and(|rung| !rung.contains("mark_victim"));
        assert_eq!(death["oom"]["certainty"], if attached { "certain" } else { "likely" }, "{death:#}");
    }
    service.stop_clean();
}

/// Checks the cgroup and its limit against those that the scenario made.
#[track_caller]
fn assert_limit(death: &Value, facts: &Facts) {
    let Some(fact) = facts.all("oom").next().cloned() else { panic!("the scenario prints no fact `oom`") };
    let oom = &death["oom"];
    assert_eq!(oom["scope"], "cgroup", "{death:#}");
    assert_eq!(oom["limit_bytes"], fact["limit"], "{death:#}");
    assert_eq!(
        oom["cgroup_name"].as_str().map(|name| format!("/{name}")).as_deref(),
        fact["cgroup"].as_str(),
        "{death:#}"
    );
    // The scenario removes the cgroup at once.
    if let Some(path) = oom["cgroup"].as_str() {
        assert_eq!(fact["cgroup"], path, "{death:#}");
        assert_eq!(oom["hierarchy"], if fact["v1"] == 1 { "v1" } else { "v2" }, "{death:#}");
    }
    let (used, limit) =
        (oom["used_bytes"].as_u64().unwrap_or_default(), oom["limit_bytes"].as_u64().unwrap_or(1));
    assert!(used <= limit && used > limit - (1 << 20), "{death:#}");
    let counted = fact["oom_kill"].as_i64().filter(|count| *count >= 0);
    if let (Some(counted), Some(victims)) = (counted, oom["victims"].as_i64()) {
        assert!(victims <= counted, "{death:#}");
    }
}

#[test]
fn by_tracepoints_alone_the_limit_is_that_of_the_cgroup_that_is_full() {
    let service = Service::start_with(directory(), &[], |command| {
        let mut by_tracepoint = Command::new(setting::taskscope());
        let attach = setting::attach();
        by_tracepoint.args(
            command.get_args().map(|arg| if arg == attach.as_str() { OsStr::new("tracepoint") } else { arg }),
        );
        *command = by_tracepoint;
    });
    if let Some((death, facts)) = ended(&service, "death-oom") {
        assert_cause(&death, &facts, "oom", "certain");
        assert_limit(&death, &facts);
        assert_eq!(death["oom"]["certainty"], "likely", "{death:#}");
    }
    service.stop_clean();
}

#[test]
fn a_victim_of_a_host_without_memory_is_distinguished_from_one_of_a_cgroup() {
    if !setting::in_vm() {
        return setting::skip("it takes all memory of the machine");
    }
    let service = Service::start(&[]);
    // The daemon has the OOM score of its unit, so that the OOM killer chooses another process.
    std::fs::write(format!("/proc/{}/oom_score_adj", service.process().pid()), "-900")
        .expect("the daemon's score");
    let mut hog = scenario("hog-memory", &[]);
    hog.pause("killed");
    let facts = hog.facts().clone();
    let pid = facts.all("hog").next().and_then(|fact| fact["killed"].as_i64()).expect("a hog was killed");
    drop(hog);
    let death = service.death(pid);
    assert_eq!(death["cause"], "oom", "{death:#}");
    assert_eq!(death["oom"]["scope"], "host", "{death:#}");
    let total = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        text.lines().find_map(|line| {
            line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
        })
    });
    assert_eq!(death["oom"]["limit_bytes"].as_u64(), total.map(|kib| kib << 10), "{death:#}");
}

#[test]
fn an_exit_after_sigterm_names_the_sender() {
    let service = Service::start(&[]);
    let Some((death, facts)) = ended(&service, "death-asked") else { return };
    let asked = &death["other_signals"][0];
    assert_eq!(asked["signal_name"], "SIGTERM", "{death:#}");
    assert_eq!(asked["sender"]["process"]["pid"], facts.role("scenario").pid, "{death:#}");
    assert_eq!(death["exit"]["code"], 143, "{death:#}");
    service.stop_clean();
}

#[test]
fn the_sender_has_its_ancestors_and_explain_begins_with_it() {
    let service = Service::start(&[]);
    let Some((_, facts)) = ended(&service, "death-killed") else { return };
    // The exit of the parent is a part of the summary; both questions must be asked after it.
    service.death(facts.role("scenario").pid);
    let death = service.death(facts.role("child").pid);
    let above = &death["signal"]["sender"]["ancestors"][0]["pid"];
    assert_eq!(*above, facts.role("scenario").pid, "{death:#}");
    let explained = service.json(&format!("/v1/explain/{}", facts.role("child").pid));
    assert_eq!(explained["death"]["summary"], death["summary"], "{explained:#}");
    service.stop_clean();
}

#[test]
fn the_reaction_of_the_parent_of_a_killed_child_is_reported() {
    let service = Service::start(&[]);
    let Some((_, facts)) = ended(&service, "death-child") else { return };
    // The parent has ended as well.
    service.death(facts.role("parent").pid);
    let death = service.death(facts.role("child").pid);
    assert_eq!(death["cause"], "killed", "{death:#}");
    assert_eq!(death["parent_then"]["did"], "exited", "{death:#}");
    assert_eq!(death["parent_then"]["exit"]["code"], 137, "{death:#}");
    assert!(death["summary"].as_str().is_some_and(|text| text.contains("exited with code 137")), "{death:#}");
    service.stop_clean();
}

#[test]
fn a_unit_that_ends_again_and_again_by_one_cause_is_a_crash_loop() {
    let service = Service::start(&[]);
    let mut acted = scenario("crash-loop", &[]);
    let first = acted.until(&["pause", "skip"]);
    if first["fact"] == "skip" {
        return setting::skip(first);
    }
    let facts = acted.facts().clone();
    let unit = facts.all("unit").next().and_then(|fact| fact["name"].as_str()).unwrap_or_default().to_owned();
    let scenario = facts.role("scenario").pid;
    // The daemon reads the paths of new cgroups a few times a second.
    let (answer, found) = wait::until_ok(|| {
        let answer = service.json(&format!("/v1/deaths?subtree={scenario}&cause=abort"));
        let loops = answer["crash_loops"].as_array().into_iter().flatten();
        let found =
            loops.filter(|it| it["cgroup"]["unit"] == unit.as_str()).find(|it| it["count"] == 6).cloned();
        match found {
            Some(found) => Ok((answer, found)),
            None => Err(format!("no crash loop of {unit}: {answer:#}")),
        }
    });
    assert_eq!(answer["deaths"].as_array().map(Vec::len), Some(6), "{answer:#}");
    assert_eq!((&found["cause"], &found["count"]), (&"abort".into(), &6.into()), "{found:#}");
    assert_eq!(answer["deaths"][5]["parent_then"]["did"], "restarted", "{answer:#}");
    let name = format!(
        "taskscope_crash_loop_ends{{cause=\"abort\",container_id=\"\",pod_uid=\"\",runtime=\"\",unit=\"{unit}\"}}"
    );
    assert_eq!(service.metrics().get(&name).copied(), Some(6.0), "{:#?}", service.metrics());
    let others = service.json("/v1/deaths?subtree=4194303");
    assert_eq!(others["deaths"].as_array().map(Vec::len), Some(0), "{others:#}");
    acted.go();
    acted.finish();
    service.stop_clean();
}

#[test]
fn deaths_with_follow_shows_each_new_death() {
    let service = Service::start(&[]);
    let mut follower = Command::new(setting::taskscope())
        .args(["deaths", "--follow", "--all", "--socket"])
        .arg(service.socket())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("deaths --follow: {error}"));
    let lines =
        BufReader::new(follower.stdout.take().unwrap_or_else(|| panic!("no standard output"))).lines();
    let (sender, shown) = mpsc::channel();
    thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
    // It may show other deaths first, each of them once.
    let found = (0..3).all(|_| {
        let facts = scenario("death-killed", &[]).finish();
        let pid = format!("(pid {})", facts.role("child").pid);
        let end = Instant::now() + setting::deadline();
        std::iter::from_fn(|| shown.recv_timeout(end.saturating_duration_since(Instant::now())).ok())
            .any(|line| line.contains(&pid))
    });
    let _ = follower.kill();
    let _ = follower.wait();
    assert!(found, "an end is missing from the output");
    service.stop_clean();
}
