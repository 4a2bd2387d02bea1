//! systemd's watchdog, with the test's own socket in place of systemd's: an overloaded daemon is not killed, a stuck one is.

#[path = "../common/mod.rs"]
mod common;

use std::{
    fs, io,
    os::unix::net::UnixDatagram,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use common::scenario;
use taskscope_tests::{
    observer::Observer,
    service,
    setting::{self, report},
};

/// Where `WatchdogSec=` would kill. The unit has a minute; an emulated guest on a busy machine needs some of it.
const LIMIT: Duration = Duration::from_secs(10);

/// The daemon's notifications to systemd.
struct Manager {
    socket: UnixDatagram,
    directory: PathBuf,
}

impl Manager {
    fn new() -> Self {
        let directory = service::directory();
        let path = directory.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        socket.set_read_timeout(Some(LIMIT)).unwrap_or_else(|error| panic!("setting a timeout: {error}"));
        Self { socket, directory }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = service::command(&self.directory, args);
        command.args(["--listen", "127.0.0.1:0"]).env("NOTIFY_SOCKET", self.directory.join("notify"));
        command.env("WATCHDOG_USEC", LIMIT.as_micros().to_string()).env_remove("WATCHDOG_PID");
        command
    }

    /// Waits until the daemon has notified the watchdog once more, as systemd does.
    fn is_fed(&self) -> io::Result<()> {
        self.waits_for(b"WATCHDOG=1\n")
    }

    /// Waits for a notification that begins like this.
    fn waits_for(&self, begin: &[u8]) -> io::Result<()> {
        let mut word = [0; 4096];
        loop {
            let length = self.socket.recv(&mut word)?;
            if word[..length].starts_with(begin) {
                return Ok(());
            }
        }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        // It is in a place for temporary files.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Forks as much as it can while `work` runs.
fn in_a_storm<T>(work: impl FnOnce() -> T) -> T {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    scenario("burst", &["2000"]).finish();
                }
            });
        }
        let outcome = work();
        is_over.store(true, Ordering::Relaxed);
        outcome
    })
}

/// With the smallest ring nearly every canary is among the records lost: that is no reason to be killed, as it would be if they
/// went unseen.
#[test]
fn a_storm_that_loses_records_does_not_starve_the_watchdog() {
    let manager = Manager::new();
    let observer = Observer::start_command(manager.command(&["--ring-kib", "4", "--canary-every", "200ms"]));
    let fed = in_a_storm(|| (0..4).try_for_each(|_| manager.is_fed()));
    assert!(fed.is_ok(), "systemd would have killed it: {fed:?}\n{}", observer.log().text());
    let lost = observer.log().text().matches("records lost").count();
    report("watchdog.losses_told", lost);
    observer.signal(libc::SIGTERM);
    let end = observer.wait(setting::deadline());
    assert_eq!(end.code(), Some(0), "{}", end.text());
}

#[test]
fn a_daemon_that_is_stopped_is_told_apart_from_one_that_works() {
    let manager = Manager::new();
    let observer = Observer::start_command(manager.command(&[]));
    manager.is_fed().unwrap_or_else(|error| panic!("it does not feed the watchdog: {error}"));
    observer.signal(libc::SIGSTOP);
    // What it had sent before.
    while manager.is_fed().is_ok() {}
    observer.signal(libc::SIGCONT);
    manager.is_fed().unwrap_or_else(|error| panic!("it does not go on: {error}"));
    observer.signal(libc::SIGTERM);
    let end = observer.wait(setting::deadline());
    assert_eq!(end.code(), Some(0), "{}", end.text());
}

#[test]
fn a_watchdog_limit_of_nothing_is_no_watchdog() {
    let manager = Manager::new();
    let mut command = manager.command(&[]);
    command.env("WATCHDOG_USEC", "0");
    let observer = Observer::start_command(command);
    // Housekeeping sends it, which also feeds the watchdog.
    manager.waits_for(b"STATUS=").unwrap_or_else(|error| panic!("no status: {error}"));
    observer.signal(libc::SIGTERM);
    let end = observer.wait(setting::deadline());
    assert_eq!(end.code(), Some(0), "{}", end.text());
    assert!(!end.text().contains("panicked"), "{}", end.text());
}
