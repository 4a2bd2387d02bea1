//! `taskscope run`: metrics, the API, its socket, its configuration, its privileges.

#[path = "../common/mod.rs"]
mod common;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    process::Command,
    time::Duration,
};

use common::scenario;
use taskscope_tests::{
    observer::{Observer, lost},
    programs,
    service::{self, Service},
    setting,
};

const FAILURE: i32 = 1;
const USAGE: i32 = 2;

#[test]
fn a_scrape_has_every_family_from_the_start_with_zeros() {
    let service = service::shared();
    let samples = service.metrics();
    for name in [
        "taskscope_build_info{version=\"0.1.0\"}",
        "taskscope_tasks{state=\"running\"}",
        "taskscope_tasks{state=\"dead_leader\"}",
        "taskscope_zombies_old",
        "taskscope_oldest_zombie_age_seconds",
        "taskscope_exits_total{kind=\"process\",reason=\"core_dump\"}",
        "taskscope_reaps_total{by=\"dying_father\"}",
        "taskscope_reparentings_total{to=\"subreaper\"}",
        "taskscope_pids_refused_forks_total{scope=\"cgroup\"}",
        "taskscope_zombie_duration_seconds_count",
        "taskscope_records_dropped_total{kind=\"exited\"}",
        "taskscope_drift_total{kind=\"wrong_parent\"}",
        "taskscope_parent_zombies{container_id=\"\",parent=\"other\",pod_uid=\"\",runtime=\"\",unit=\"\"}",
        "taskscope_pids_limit{name=\"\",scope=\"pid_max\"}",
        "process_resident_memory_bytes",
    ] {
        assert!(samples.contains_key(name), "no {name} in {samples:#?}");
    }
    assert!(samples["taskscope_tasks{state=\"running\"}"] > 1.0, "only one running task is counted");
}

#[test]
fn what_happens_is_counted() {
    let service = service::shared();
    let before = service.metrics();
    scenario("burst", &["50"]).finish();
    let risen = |samples: &std::collections::BTreeMap<String, f64>, name: &str| samples[name] - before[name];
    service.until("50 lives", |now| {
        // Events whose programs the kernel skipped are repaired, but not with all fields.
        let skipped = u32::try_from(programs::skipped(service.process().pid())).unwrap_or(u32::MAX);
        let seen = 50.0 - f64::from(skipped);
        risen(now, "taskscope_tasks_created_total{kind=\"process\"}") >= seen
            && risen(now, "taskscope_exits_total{kind=\"process\",reason=\"success\"}")
                + risen(now, "taskscope_exits_total{kind=\"process\",reason=\"failure\"}")
                >= seen
            && risen(now, "taskscope_releases_total") >= seen
            && risen(now, "taskscope_reaps_total{by=\"parent\"}") >= seen
            && risen(now, "taskscope_zombie_duration_seconds_count") >= seen
    });
    assert!(programs::skipped(service.process().pid()) < 50, "so nothing was tested");
}

#[test]
fn the_parent_that_owes_a_wait_is_named_until_it_waits() {
    let service = Service::start(&["--zombie-after", "200ms"]);
    let mut zombie = scenario("zombie", &[]);
    zombie.pause("zombie");
    let owed = |samples: &std::collections::BTreeMap<String, f64>| {
        samples
            .iter()
            .filter(|(name, _)| {
                name.starts_with("taskscope_parent_zombies{") && name.contains("parent=\"scenario\"")
            })
            .map(|(_, count)| *count)
            .sum::<f64>()
    };
    let samples =
        service.until("a flagged zombie", |now| owed(now) >= 1.0 && now["taskscope_zombies_old"] >= 1.0);
    assert!(samples["taskscope_oldest_zombie_age_seconds"] > 0.0);
    zombie.go();
    zombie.finish();
    service.until("no zombie of it", |now| owed(now) < 1.0);
    service.stop_clean();
}

#[test]
fn it_is_alive_and_ready_and_errors_are_json() {
    let service = service::shared();
    assert_eq!((service.get("/healthz").status, service.get("/healthz").body.as_str()), (200, "ok\n"));
    assert_eq!(service.get("/readyz").status, 200);
    let missing = service.get("/nothing");
    assert_eq!(missing.status, 404);
    assert!(missing.body.contains(r#""status":404"#) && missing.body.contains("/nothing"), "{missing:?}");
    let post = service.ask("POST /metrics HTTP/1.0\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(post.status, 405, "{post:?}");
    assert!(post.body.contains("only GET"), "{post:?}");
}

#[test]
fn the_api_is_on_the_socket_and_on_tcp_only_with_the_option() {
    let service = Service::start(&[]);
    assert_eq!(service.get("/v1/status").status, 404);
    let status = service.json("/v1/status");
    assert_eq!(status["pid"], service.process().pid());
    service.process().assert_lost_to_the_kernel_only(&status["records_lost"]);
    assert!(status["hooks"]["do_exit"].is_string(), "{status}");
    service.stop_clean();
    let service = Service::start(&["--api-on-tcp"]);
    assert_eq!(service.get("/v1/status").status, 200);
    service.stop_clean();
}

#[test]
fn the_socket_is_for_its_group_and_gone_after_the_end() {
    // A guest has no /etc/group.
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let group = groups.split(':').next().filter(|name| !name.is_empty());
    for (group, mode) in [(group.unwrap_or("nobody-s"), group.map_or(0o600, |_| 0o660)), ("nobody-s", 0o600)]
    {
        let service = Service::start(&["--socket-group", group]);
        let socket = service.socket();
        let metadata = fs::metadata(&socket).unwrap();
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{group}");
        service.stop_clean();
        assert!(!socket.exists());
    }
}

#[test]
fn a_second_daemon_on_the_same_socket_is_refused() {
    let service = service::shared();
    let second = Observer::launch(service::command(service.directory(), &["--listen", ""]));
    let end = second.wait(setting::deadline());
    assert_eq!(end.code(), Some(FAILURE), "{}", end.text());
    assert!(end.text().contains("another taskscope answers on"), "{}", end.text());
    assert_eq!(service.get_local("/healthz").status, 200, "the first daemon does not answer any more");
}

#[test]
fn a_taken_port_is_named_with_the_remedy() {
    let service = service::shared();
    let directory = service::directory();
    let second = Observer::launch(service::command(&directory, &["--listen", service.address()]));
    let end = second.wait(setting::deadline());
    assert_eq!(end.code(), Some(FAILURE), "{}", end.text());
    assert!(end.text().contains(service.address()) && end.text().contains("--listen"), "{}", end.text());
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn after_a_kill_the_next_one_takes_the_socket_over() {
    let service = Service::start(&[]);
    let directory = service.kill();
    assert!(directory.join("socket").exists(), "a killed daemon cannot clean up");
    let service = Service::start_in(directory, &[]);
    assert_eq!(service.get_local("/healthz").status, 200);
    service.stop_clean();
}

#[test]
fn a_file_in_the_sockets_place_is_left_alone() {
    let directory = service::directory();
    fs::write(directory.join("socket"), "precious").unwrap();
    let end = Observer::launch(service::command(&directory, &["--listen", ""])).wait(setting::deadline());
    assert_eq!(end.code(), Some(FAILURE), "{}", end.text());
    assert!(end.text().contains("is not a socket"), "{}", end.text());
    assert_eq!(fs::read_to_string(directory.join("socket")).unwrap(), "precious");
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn sighup_applies_new_settings_and_names_those_that_need_a_restart() {
    let directory = service::directory();
    let file = directory.join("taskscope.toml");
    fs::write(&file, "top = 3\n").unwrap();
    let service = Service::start_in(directory, &["--config", file.to_str().unwrap()]);
    fs::write(&file, "top = 5\nzombie_after = \"1s\"\nring_kib = 64\n").unwrap();
    service.process().signal(libc::SIGHUP);
    let said = service.says("reloaded:");
    assert!(said.contains("zombie_after, top changed") && said.contains("restart: ring_kib"), "{said}");
    fs::write(&file, "tpo = 5\n").unwrap();
    service.process().signal(libc::SIGHUP);
    let said = service.says("error: reloading:");
    assert!(said.contains("line 1: unknown key `tpo`; did you mean `top`?"), "{said}");
    service.stop_clean();
}

#[test]
fn a_configuration_can_be_checked() {
    let directory = service::directory();
    let file = directory.join("t.toml");
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        let mut command = service::command(&directory, &["--check-config", "--config"]);
        command.arg(&file).output().unwrap()
    };
    let good = check("zombie_after = \"3s\"\n");
    assert_eq!(good.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&good.stdout).contains("zombie_after = \"3s\"\n"), "{good:?}");
    let bad = check("zombie_after = 3\n");
    assert_eq!(bad.status.code(), Some(USAGE));
    assert!(String::from_utf8_lossy(&bad.stderr).contains("line 1: zombie_after"), "{bad:?}");
    fs::remove_dir_all(directory).unwrap();
}

/// Returns a mask of /proc/PID/status.
fn mask(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    u64::from_str_radix(line.trim(), 16).unwrap_or_else(|error| panic!("{name} of {pid}: {error}: {status}"))
}

#[test]
fn it_keeps_no_capability_it_does_not_need_and_still_observes() {
    const CAP_PERFMON: u64 = 1 << 38;
    const CAP_BPF: u64 = 1 << 39;
    let service = Service::start(&["--audit-every", "1s", "--canary-every", "1s"]);
    let pid = service.process().pid();
    for set in ["CapEff:", "CapPrm:", "CapInh:", "CapAmb:"] {
        let kept = mask(pid, set);
        assert_eq!(kept & !(CAP_BPF | CAP_PERFMON), 0, "{set} {kept:x}");
        setting::report(&format!("capabilities_{}", set.trim_end_matches(':')), format!("{kept:x}"));
    }
    assert_eq!(mask(pid, "NoNewPrivs:"), 1);
    // It still reads all tasks, and reports whole lives of canaries.
    service.until("an audit and a canary after the drop", |now| {
        now["taskscope_resyncs_total{cause=\"audit\"}"] >= 2.0
            && now["taskscope_canaries_total{result=\"whole\"}"] >= 1.0
    });
    assert!(service.metrics()["taskscope_resyncs_failed_total"] < 1.0);
    service.stop_clean();
}

#[test]
fn endless_headers_are_refused_and_a_client_that_sends_none_is_disconnected() {
    let service = service::shared();
    let long = service.ask(&format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(64 << 10)));
    assert_eq!(long.status, 431, "{long:?}");
    // An incomplete request: its connection is closed without an answer, and does not delay others.
    let mut half = TcpStream::connect(service.address()).unwrap();
    half.write_all(b"GET /met").unwrap();
    assert_eq!(service.get("/healthz").status, 200);
    half.set_read_timeout(Some(setting::deadline() + Duration::from_secs(30))).unwrap();
    let mut rest = Vec::new();
    half.read_to_end(&mut rest).unwrap();
}

#[test]
fn readers_of_events_leave_places_for_queries() {
    let service = Service::start(&["--api-on-tcp"]);
    let read = || {
        let mut stream = TcpStream::connect(service.address()).unwrap();
        stream.set_read_timeout(Some(setting::deadline())).unwrap();
        stream.write_all(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        (String::from_utf8_lossy(&first).into_owned(), stream)
    };
    // One host may have half of the 64 places.
    let mut readers: Vec<_> = (0..32).map(|_| read()).collect();
    assert!(readers.iter().all(|(answer, _)| answer == "HTTP/1.1 200"), "{readers:?}");
    assert_eq!(read().0, "HTTP/1.1 503");
    assert_eq!(service.get("/metrics").status, 200);
    // The place of a reader that left is free once the daemon has sent something to it.
    readers.pop();
    service.until("one reader fewer", |_| {
        scenario("burst", &["1"]).finish();
        read().0 == "HTTP/1.1 200"
    });
    service.stop_clean();
}

#[test]
fn the_status_reports_the_daemons_health() {
    let service = Service::start(&[]);
    let mut command = Command::new(setting::taskscope());
    let output = command.args(["status", "--socket"]).arg(service.socket()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for word in ["ready; lost ", ", drift 0,", "do_exit", "resident"] {
        assert!(text.contains(word), "no `{word}` in:\n{text}");
    }
    // Records of skipped programs count as lost, and the tree is repaired then.
    let lost = lost(&text).unwrap_or(u64::MAX);
    service.process().assert_lost_to_the_kernel_only(&lost.into());
    assert!(
        lost > 0 || text.contains("lost 0, repaired 0,"),
        "it repaired something although nothing was lost:\n{text}"
    );
    service.stop_clean();
    let directory = service::directory();
    let mut command = Command::new(setting::taskscope());
    let output = command.args(["status", "--socket"]).arg(directory.join("none")).output().unwrap();
    assert_eq!(output.status.code(), Some(FAILURE));
    assert!(String::from_utf8_lossy(&output.stderr).contains("taskscope run"), "{output:?}");
    fs::remove_dir_all(directory).unwrap();
}
