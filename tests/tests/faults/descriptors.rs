//! Without free file descriptors, queries are answered with descriptors that the daemon keeps in reserve.

use std::{
    fs,
    net::TcpStream,
    time::{Duration, Instant},
};

use taskscope_tests::{scenario::Scenario, service::Service, setting};

#[path = "../common/mod.rs"]
mod common;

use common::scenario;

/// Returns the open descriptors of a process.
fn open(pid: u32) -> Vec<u64> {
    let entries =
        fs::read_dir(format!("/proc/{pid}/fd")).unwrap_or_else(|error| panic!("/proc/{pid}/fd: {error}"));
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Sets a process's limit on descriptors; returns the previous limit.
fn limit(pid: u32, most: u64) -> u64 {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let pid = pid.cast_signed();
    // SAFETY: null means no new value; the other pointer is to a value that outlives the call.
    let read = unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, std::ptr::null(), &raw mut now) };
    let to = libc::rlimit { rlim_cur: most, ..now };
    // SAFETY: the pointer is to a value that outlives the call; null means that the old value is not wanted.
    let set = unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, &raw const to, std::ptr::null_mut()) };
    assert_eq!((read, set), (0, 0), "prlimit: {}", std::io::Error::last_os_error());
    now.rlim_cur
}

fn zombie() -> Scenario {
    let mut zombie = scenario("zombie", &[]);
    zombie.pause("zombie");
    zombie
}

#[test]
fn questions_are_answered_when_no_descriptor_is_left() {
    let service = Service::start(&["--canary-every", "1s", "--audit-every", "1s"]);
    let pid = service.process().pid();
    let mut zombie = zombie();
    // Four descriptors are left, and connections that never ask use them.
    let used = open(pid);
    let tight = (0..=used.len() as u64).find(|number| !used.contains(number)).unwrap_or(0) + 4;
    let most = limit(pid, tight);
    let idle: Vec<_> = (0..40).filter_map(|_| TcpStream::connect(service.address()).ok()).collect();
    let mut slowest = Duration::ZERO;
    for round in 0..20 {
        let begun = Instant::now();
        let parent = std::process::id();
        for path in ["/v1/zombies".into(), format!("/v1/explain/{parent}"), format!("/v1/tasks/{parent}")] {
            let answer = service.json(&path);
            assert!(!answer.to_string().contains("Too many open files"), "round {round}: {path}: {answer:#}");
            assert!(path == "/v1/zombies" || answer["now"].is_object(), "round {round}: {path}: {answer:#}");
        }
        let status = service.json("/v1/status");
        assert!(status["resident_bytes"].is_u64() && status["ready"] == true, "round {round}: {status:#}");
        let metrics = service.get_local("/metrics");
        assert!(metrics.body.contains("process_open_fds "), "round {round}: {metrics:?}");
        assert_eq!(service.get_local("/readyz").status, 200);
        slowest = slowest.max(begun.elapsed());
    }
    setting::report("without_descriptors_six_answers_ms", slowest.as_millis());
    let left = tight - open(pid).into_iter().filter(|&number| number < tight).count() as u64;
    assert!(left <= 4, "{left} descriptors of {tight} were left: {:?}", open(pid));
    setting::report("descriptors_left", left);
    drop(idle);
    zombie.go();
    zombie.finish();
    let samples = service.until("an audit", |now| now["taskscope_resyncs_total{cause=\"audit\"}"] >= 1.0);
    assert!(
        samples["taskscope_resyncs_failed_total"] < 1.0,
        "an audit failed because no descriptor was free"
    );
    limit(pid, most);
    service.stop_clean();
}
