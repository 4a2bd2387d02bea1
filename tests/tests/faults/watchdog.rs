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

/// The `WatchdogSec=` of the test. The unit has a minute, part of which an emulated guest on a busy machine needs.
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
    fn is_notified(&self) -> io::Result<()> {
        self.waits_for(b"WATCHDOG=1\n")
    }

    /// Waits for a notification that begins with `begin`.
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
        // The directory is one for temporary files, so it may stay.
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

/// With the smallest ring, records of nearly every canary are lost in the storm. The daemon still notifies the watchdog, because a
/// known loss does not mean that the programs are detached.
#[test]
fn a_storm_that_loses_records_does_not_starve_the_watchdog() {
    let manager = Manager::new();
    let observer = Observer::start_command(manager.command(&["--ring-kib", "4", "--canary-every", "200ms"]));
    let notified = in_a_storm(|| (0..4).try_for_each(|_| manager.is_notified()));
    assert!(notified.is_ok(), "systemd would have killed it: {notified:?}\n{}", observer.log().text());
    let lost = observer.log().text().matches("records lost").count();
    report("watchdog.losses_told", lost);
    observer.signal(libc::SIGTERM);
    let end = observer.wait(setting::deadline());
    assert_eq!(end.code(), Some(0), "{}", end.text());
}

#[test]
fn a_stopped_daemon_does_not_notify_the_watchdog_and_a_continued_one_does() {
    let manager = Manager::new();
    let observer = Observer::start_command(manager.command(&[]));
    manager.is_notified().unwrap_or_else(|error| panic!("it does not notify the watchdog: {error}"));
    observer.signal(libc::SIGSTOP);
    // Reads the notifications that were sent before the stop.
    while manager.is_notified().is_ok() {}
    observer.signal(libc::SIGCONT);
    manager.is_notified().unwrap_or_else(|error| panic!("it does not continue: {error}"));
    observer.signal(libc::SIGTERM);
    let end = observer.wait(setting::deadline());
    assert_eq!(end.code(), Some(0), "{}", end.text());
}

#[test]
fn a_watchdog_limit_of_0_means_no_watchdog() {
    let manager = Manager::new();
    let mut command = manager.command(&[]);
    command.env("WATCHDOG_USEC", "0");
    let observer = Observer::start_command(command);
    // The task that notifies the watchdog sends this notification too.
    manager.waits_for(b"STATUS=").unwrap_or_else(|error| panic!("no status: {error}"));
    observer.signal(libc::SIGTERM);
    let end = observer.wait(setting::deadline());
    assert_eq!(end.code(), Some(0), "{}", end.text());
    assert!(!end.text().contains("panicked"), "{}", end.text());
}
