//! What a client and the daemon do when something is stuck or exhausted: a stopped daemon, an unread standard error, a small
//! address space, no pid for a thread.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    os::{
        fd::AsRawFd,
        unix::{net::UnixDatagram, process::CommandExt as _},
    },
    process::{Command, Stdio},
    time::Instant,
};

use taskscope_tests::{
    faults::{Daemon, questions},
    scenario::Scenario,
    service::{self, Service},
    setting, wait,
};

/// Runs a client; returns its exit code and its standard error.
#[track_caller]
fn client(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn asking(service: &Service, subcommand: &str) -> Command {
    let mut command = Command::new(setting::taskscope());
    command.arg(subcommand).arg("--socket").arg(service.socket());
    command
}

#[test]
fn a_client_names_the_daemon_that_is_stopped() {
    let service = Service::start(&[]);
    let pid = service.process().pid();
    service.process().signal(libc::SIGSTOP);
    let (code, said) = client(&mut asking(&service, "status"));
    service.process().signal(libc::SIGCONT);
    assert_eq!(code, Some(1), "{said}");
    for part in [format!("(pid {pid})"), "has not answered for 10 s".into(), format!("kill -CONT {pid}")] {
        assert!(said.contains(&part), "no `{part}` in: {said}");
    }
    let (code, said) = client(&mut asking(&service, "status"));
    assert_eq!(code, Some(0), "it does not continue: {said}");
    // On a busy host the ring is full before the daemon continues.
    let (end, directory) = service.stop();
    assert_eq!(end.code(), Some(0), "{}", end.text());
    // The directory is one for temporary files, so it may stay.
    let _ = fs::remove_dir_all(directory);
}

#[test]
fn a_client_has_one_thread() {
    let service = Service::start(&[]);
    let mut events = asking(&service, "zombies");
    events.args(["--watch", "--format", "json"]).stdout(Stdio::piped());
    let mut child = events.spawn().unwrap_or_else(|error| panic!("{events:?}: {error}"));
    let mut first = [0];
    let stdout = child.stdout.as_mut().expect("a pipe");
    stdout.read_exact(&mut first).unwrap_or_else(|error| panic!("nothing comes: {error}"));
    let tasks = fs::read_dir(format!("/proc/{}/task", child.id())).map(Iterator::count);
    child.kill().and_then(|()| child.wait()).unwrap_or_else(|error| panic!("ending it: {error}"));
    assert_eq!(tasks.unwrap_or(0), 1);
    service.stop_clean();
}

#[test]
fn an_unread_standard_error_delays_no_answer() {
    let directory = service::directory();
    let mut command = service::command(&directory, &["--listen", "", "-vv"]);
    command.stderr(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let pipe = child.stderr.as_ref().map_or(-1, AsRawFd::as_raw_fd);
    // SAFETY: the descriptor is open, and the argument is an integer.
    assert_eq!(unsafe { libc::fcntl(pipe, libc::F_SETPIPE_SZ, 4096) }, 4096);
    let socket = directory.join("socket");
    let is_answered = || {
        let mut status = Command::new(setting::taskscope());
        status.arg("status").arg("--socket").arg(&socket).stdout(Stdio::null()).stderr(Stdio::null());
        status.status().unwrap_or_else(|error| panic!("{status:?}: {error}")).success()
    };
    // SIGHUP would end it before it has installed its handlers.
    wait::until("the daemon answers", is_answered);
    let pid = child.id().cast_signed();
    // SAFETY: kill takes integers; the pid is of a child that was not waited for.
    let signal = |signal| unsafe { libc::kill(pid, signal) };
    // Each handled SIGHUP writes a line, and the pipe holds about sixty.
    for number in 0..200 {
        signal(libc::SIGHUP);
        assert!(is_answered(), "no answer after {number} signals");
    }
    let stderr = child.stderr.take().unwrap_or_else(|| panic!("no pipe"));
    let (sender, lines) = std::sync::mpsc::channel();
    let reading = std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines() {
            let line = line.unwrap_or_else(|error| panic!("reading: {error}"));
            sender.send(line).unwrap_or_else(|error| panic!("passing on: {error}"));
        }
    });
    // Once there is room in the pipe, the next line is preceded by the number of those that were left out.
    wait::until("the log says how many lines are missing", || {
        signal(libc::SIGHUP);
        lines.try_iter().any(|line| line.contains("lines of this log are missing"))
    });
    assert!(is_answered(), "no answer after standard error was read");
    signal(libc::SIGTERM);
    let status = child.wait().unwrap_or_else(|error| panic!("waiting for it: {error}"));
    reading.join().unwrap_or_else(|_| panic!("reading"));
    let _ = fs::remove_dir_all(directory);
    assert!(status.success(), "{status}: {:?}", lines.try_iter().collect::<Vec<_>>());
}

/// Limits a command's address space.
fn limit_address_space(command: &mut Command, kib: u64) {
    let limit = libc::rlimit { rlim_cur: kib * 1024, rlim_max: kib * 1024 };
    let set = move || {
        // SAFETY: the pointer is to a value that outlives the call.
        let failed = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) } != 0;
        if failed { Err(std::io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: setrlimit(2) is async-signal-safe.
    unsafe { command.pre_exec(set) };
}

/// Starts a daemon with `kib` of address space, and returns how much it reports to need, KiB.
#[track_caller]
fn needed(kib: u64) -> u64 {
    let directory = service::directory();
    let mut command = service::command(&directory, &["--listen", ""]);
    limit_address_space(&mut command, kib);
    let (code, said) = client(&mut command);
    let _ = fs::remove_dir_all(directory);
    assert_eq!(code, Some(1), "{kib} KiB: {said}");
    assert!(said.contains(&format!("limited to {kib} KiB (RLIMIT_AS")), "{kib} KiB: {said}");
    let words: Vec<&str> = said.split(' ').collect();
    let number = words.windows(4).find(|words| words.get(1..) == Some(&["KiB", "are", "needed"]));
    let number = number.and_then(|words| words.first()?.parse().ok());
    number.unwrap_or_else(|| panic!("it does not report what it needs: {said}"))
}

#[test]
fn too_small_an_address_space_is_named() {
    let (little, less) = (needed(30_000), needed(28_000));
    // Address space layout randomization moves a page or two in or out of the measure, and the heap grows in steps of 132 KiB.
    assert!(little.abs_diff(less) <= 300, "the reported need depends on the limit: {little}, {less} KiB");
}

#[test]
fn the_address_space_that_is_asked_for_is_enough() {
    let kib = needed(28_000);
    let started = Daemon::start_program(&setting::taskscope(), &setting::attach(), &[], |command, _| {
        limit_address_space(command, kib);
    });
    let daemon = started.unwrap_or_else(|why| panic!("{kib} KiB: {why}"));
    let mut zombie = Scenario::start(env!("CARGO_BIN_EXE_scenario"), "zombie", &[]);
    zombie.pause("zombie");
    let (parent, child) = (zombie.facts().role("scenario").pid, zombie.facts().role("child").pid);
    Scenario::start(env!("CARGO_BIN_EXE_scenario"), "burst", &["2000"]).finish();
    for question in questions(parent, child) {
        daemon.ask(&question).unwrap_or_else(|wrong| panic!("{kib} KiB: {wrong}\n{}", daemon.log()));
    }
    zombie.go();
    zombie.finish();
    setting::report("address_space_kib", kib);
    daemon.stop().unwrap_or_else(|wrong| panic!("{kib} KiB: {wrong}"));
}

#[test]
fn the_watchdog_is_notified_while_no_process_can_be_made() {
    let directory = service::directory();
    let notify = directory.join("notify");
    let socket = UnixDatagram::bind(&notify).unwrap_or_else(|error| panic!("{}: {error}", notify.display()));
    socket.set_read_timeout(Some(setting::deadline())).unwrap_or_else(|error| panic!("a timeout: {error}"));
    let mut cgroup = match taskscope_tests::faults::limits::Cgroup::new("pids") {
        Ok(cgroup) => cgroup,
        Err(why) => return setting::skip(format_args!("{why}")),
    };
    let mut command = service::command(&directory, &["--listen", "", "--canary-every", "200ms"]);
    command.env("NOTIFY_SOCKET", &notify).env("WATCHDOG_USEC", "2000000").stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let next = || {
        let mut bytes = [0; 4096];
        let length =
            socket.recv(&mut bytes).unwrap_or_else(|error| panic!("it does not notify systemd: {error}"));
        String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).into_owned()
    };
    while !next().contains("READY=1") {}
    cgroup.take(child.id()).unwrap_or_else(|error| panic!("{error}"));
    let threads = fs::read_dir(format!("/proc/{}/task", child.id())).map_or(0, Iterator::count);
    cgroup.write("pids.max", &threads.to_string()).unwrap_or_else(|error| panic!("{error}"));
    // Longer than the daemon would stay ready without a canary: the interval of 3 canaries and 10 s.
    let end = Instant::now() + std::time::Duration::from_secs(13);
    let mut fed = 0;
    while Instant::now() < end {
        fed += u32::from(next().contains("WATCHDOG=1"));
    }
    // SAFETY: kill takes integers; the pid is of a child that was not waited for.
    unsafe { libc::kill(child.id().cast_signed(), libc::SIGTERM) };
    let mut said = String::new();
    child.stderr.take().map(|mut stderr| stderr.read_to_string(&mut said));
    let status = child.wait().unwrap_or_else(|error| panic!("waiting for it: {error}"));
    let _ = fs::remove_dir_all(directory);
    assert!(status.success(), "{status}: {said}");
    assert!(said.contains("no pid is left"), "{said}");
    assert!(!said.contains("watchdog is not notified"), "{said}");
    assert!(fed >= 8, "fed {fed} times in 13 s of a 2 s limit: {said}");
}
