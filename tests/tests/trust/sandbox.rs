//! The sandbox of a running daemon, tested from outside: a debugger makes the daemon itself call the system calls.

use std::fs;

use taskscope_tests::{
    service::{self, Service},
    setting::report,
    wait,
};

use crate::{
    help::SOON,
    sabotage::{Traced, cut_links},
};

/// Returns a field of /proc/PID/task/TID/status of each thread.
fn of_threads(service: &Service, field: &str) -> Vec<String> {
    let tasks = format!("/proc/{}/task", service.process().pid());
    let entries = fs::read_dir(&tasks).unwrap_or_else(|error| panic!("{tasks}: {error}"));
    let texts = entries.filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("status")).ok());
    texts
        .filter_map(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
            Some(line.trim().to_owned())
        })
        .collect()
}

#[test]
fn every_thread_of_the_daemon_is_filtered_and_status_says_so() {
    let service = Service::start(&[]);
    let reported = service.json("/v1/status")["sandbox"].as_str().unwrap_or_default().to_owned();
    assert!(reported.starts_with("seccomp"), "{reported}");
    // A query that may start a thread.
    service.json("/v1/zombies");
    for (field, wanted) in [("Seccomp", "2"), ("NoNewPrivs", "1")] {
        let values = of_threads(&service, field);
        assert!(!values.is_empty(), "no thread has a {field}");
        assert!(values.iter().all(|value| value == wanted), "{field}: {values:?}");
    }
    service.stop_clean();
}

#[test]
fn a_daemon_without_a_sandbox_says_so() {
    let service = Service::start(&["--no-sandbox"]);
    assert_eq!(service.json("/v1/status")["sandbox"], "off");
    let modes = of_threads(&service, "Seccomp");
    assert!(modes.iter().all(|mode| mode == "0"), "{modes:?}");
    service.stop_clean();
}

#[test]
fn system_calls_that_the_daemon_does_not_need_are_refused_and_it_continues() {
    let service = Service::start(&[]);
    let pid = service.process().pid().cast_signed();
    let attempts = [
        ("socket", libc::SYS_socket, [libc::AF_INET.into(), libc::SOCK_STREAM.into(), 0]),
        ("openat for writing", libc::SYS_openat, [-1, 0, libc::O_WRONLY.into()]),
        ("kill", libc::SYS_kill, [pid.into(), 0, 0]),
        ("bpf, to load a program", libc::SYS_bpf, [5, 0, 0]),
        ("memfd_create", libc::SYS_memfd_create, [0, 0, 0]),
    ];
    for (name, number, arguments) in attempts {
        let mut traced = Traced::stop(pid).unwrap_or_else(|error| panic!("stopping the daemon: {error}"));
        let answer = traced.call(number, arguments).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(answer, -i64::from(libc::EPERM), "{name}");
    }
    service.json("/v1/status");
    service.stop_clean();
}

#[test]
fn a_file_that_the_daemon_does_not_need_is_out_of_reach_where_the_kernel_has_landlock() {
    let directory = service::directory();
    fs::create_dir_all(directory.join("etc")).unwrap_or_else(|error| panic!("a directory: {error}"));
    let (config, secret) = (directory.join("etc/taskscope.toml"), directory.join("secret"));
    for file in [&config, &secret] {
        fs::write(file, "top = 3\n").unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
    let service = Service::start_in(directory, &["--config", &config.to_string_lossy()]);
    let reported = service.json("/v1/status")["sandbox"].as_str().unwrap_or_default().to_owned();
    let has_landlock = reported.contains("landlock");
    report("sandbox", &reported);
    let pid = service.process().pid().cast_signed();
    let files = [(&config, false), (&secret, has_landlock), (&"/proc/version".into(), false)];
    for (file, is_denied) in files {
        let mut traced = Traced::stop(pid).unwrap_or_else(|error| panic!("stopping the daemon: {error}"));
        let answer = traced.open(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let errno = if is_denied { -i64::from(libc::EACCES) } else { answer.max(0) };
        assert_eq!(answer, errno, "{} below {reported}", file.display());
    }
    service.stop_clean();
}

#[test]
fn a_daemon_made_to_execute_a_program_is_ended_by_the_kernel() {
    use std::os::unix::process::ExitStatusExt as _;
    let service = Service::start(&[]);
    let pid = service.process().pid().cast_signed();
    let traced = Traced::stop(pid).unwrap_or_else(|error| panic!("stopping the daemon: {error}"));
    let gone = traced.last_call(libc::SYS_execve, [0, 0, 0]);
    gone.unwrap_or_else(|error| panic!("letting the daemon go: {error}"));
    // If the system call had been allowed, the daemon would live until SIGTERM of `stop` and exit with a code.
    let (end, directory) = service.stop();
    assert_eq!(end.status.signal(), Some(libc::SIGSYS), "{:?}", end.status);
    let _ = fs::remove_dir_all(directory);
}

#[test]
fn a_sandboxed_daemon_with_its_capabilities_attaches_again_after_its_links_were_cut() {
    let service = Service::start(&["--keep-capabilities", "--canary-every", "500ms"]);
    assert_eq!(service.json("/v1/status")["sandbox"], "seccomp", "Landlock would take CAP_SYS_PTRACE away");
    let log = || service.process().log();
    let cut = cut_links(service.process().pid()).unwrap_or_else(|error| panic!("cutting links: {error}"));
    assert!(cut >= 5, "it has {cut} links only");
    for reported in ["all hooks were attached again", "canary: whole lives"] {
        let line = log().line(&format!("taskscope: warning: {reported}"), SOON);
        assert!(line.is_some(), "`{reported}` is not reported:\n{}", log().text());
    }
    wait::until("the daemon is ready", || service.get("/readyz").status == 200);
    service.stop_clean();
}
