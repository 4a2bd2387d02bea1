//! Runs `taskscope events` and keeps its events and log.

mod end;
mod log;

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Arc, OnceLock, mpsc},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    normal::Family,
    programs::{self, Kept},
    scenario::Scenario,
    service,
    setting::{self, report},
    skipped::{self, Skips},
    spawner,
    stream::Stream,
    view::View,
};

pub use self::{
    end::{End, lost},
    log::Log,
};

use self::end::SUMMARY;

const READY: &str = "taskscope: ready";
/// A taskscope process whose events are kept.
pub struct Observer {
    child: Child,
    stream: Arc<Stream>,
    log: Arc<Log>,
    /// Its programs, kept from the first signal on.
    kept: OnceLock<Kept>,
    /// The socket of a daemon, whose status reports losses.
    socket: OnceLock<PathBuf>,
}

impl Observer {
    /// Starts `taskscope events` with these additional arguments and waits until it is ready.
    #[must_use]
    #[track_caller]
    pub fn start(args: &[&str]) -> Self {
        let mut command = Command::new(setting::taskscope());
        command.args(["events", "--attach", &setting::attach()]).args(args);
        Self::start_command(command)
    }

    /// Starts this command and waits until it is ready.
    #[must_use]
    #[track_caller]
    pub fn start_command(command: Command) -> Self {
        let observer = Self::launch(command);
        let ready = observer.log.line(READY, setting::deadline());
        assert!(ready.is_some(), "taskscope did not get ready:\n{}", observer.log.text());
        observer
    }

    /// Starts this command with another stdout, which this does not read, and waits until it is ready.
    #[must_use]
    #[track_caller]
    pub fn start_silent(command: Command, stdout: Stdio) -> Self {
        let observer = Self::launch_to(command, stdout);
        let ready = observer.log.line(READY, setting::deadline());
        assert!(ready.is_some(), "taskscope did not get ready:\n{}", observer.log.text());
        observer
    }

    /// Starts this command and does not wait until it is ready.
    #[must_use]
    #[track_caller]
    pub fn launch(command: Command) -> Self {
        Self::launch_to(command, Stdio::piped())
    }

    /// Starts this command with another stdout, which this does not read.
    #[must_use]
    #[track_caller]
    pub fn launch_with(command: Command, stdout: Stdio) -> Self {
        Self::launch_to(command, stdout)
    }

    #[track_caller]
    fn launch_to(mut command: Command, stdout: Stdio) -> Self {
        command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = spawner::spawn(command).unwrap_or_else(|error| {
            panic!("starting {program}: {error}: build it with `cargo xtask build` or set TASKSCOPE_BIN")
        });
        let stream = Arc::new(Stream::default());
        let log = Arc::new(Log::default());
        if let Some(stdout) = child.stdout.take() {
            read_events(stdout, stream.clone());
        } else {
            stream.end();
        }
        if let Some(stderr) = child.stderr.take() {
            let log = log.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    log.push(line);
                }
                log.end();
            });
        }
        Self { child, stream, log, kept: OnceLock::new(), socket: OnceLock::new() }
    }

    /// Returns its pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns its events since the start of a scenario.
    #[must_use]
    pub fn view(&self, scenario: &Scenario) -> View<'_> {
        View::new(&self.stream, &self.log, scenario.started_ns(), self.family())
    }

    /// Returns its events from now on.
    #[must_use]
    pub fn from_now(&self) -> View<'_> {
        View::new(&self.stream, &self.log, setting::now_ns(), self.family())
    }

    /// Returns the stream of its events.
    #[must_use]
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Returns its stderr.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Returns what its rungs can report, from its ready line.
    #[must_use]
    pub fn family(&self) -> Family {
        Family::of(&setting::attach(), &self.log.text())
    }

    /// Keeps the programs after its end, for the kernel's counts, if it ends by itself.
    pub fn keep_programs(&self) {
        self.kept.get_or_init(|| programs::keep(self.pid()));
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        self.keep_programs();
        spawner::signal(&self.child, signal);
    }

    /// Waits until it has reported all skipped calls of its programs; returns `None` if it has other losses.
    pub fn skips(&self) -> Option<Skips> {
        let end = Instant::now() + setting::deadline();
        loop {
            // The kernel's count is read first: calls skipped after that are reported later.
            let kernel = if self.log.ended_within(Duration::ZERO) {
                None
            } else {
                Some(programs::skipped(self.pid()))
            };
            let skips = Skips { kernel: kernel?, reported: self.reported() };
            if skips.reported == Some(skips.kernel) && self.stream.broken().is_empty() {
                return Some(skips);
            }
            if Instant::now() > end {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Returns how many losses it has reported so far; `None` if it does not answer.
    fn reported(&self) -> Option<u64> {
        match self.socket.get() {
            Some(socket) => service::records_lost(socket),
            None => Some(self.stream.skipped()),
        }
    }

    /// Sets the socket on which this daemon serves its API.
    pub(crate) fn answers_on(&self, socket: &Path) {
        self.socket.get_or_init(|| socket.to_owned());
    }

    /// Waits up to `deadline` for the process to end. Returns whether it ended.
    #[must_use]
    pub fn ends_within(&self, deadline: Duration) -> bool {
        self.log.ended_within(deadline)
    }

    /// Whether it ends in time after SIGTERM, with a summary without losses except calls that the kernel skipped.
    pub(crate) fn ends_well(&self) -> bool {
        let ended = self.ends_within(setting::deadline());
        let summary = self.log.line(SUMMARY, Duration::ZERO);
        let skipped = self.kept.get().map_or(0, Kept::skipped);
        if skipped > 0 {
            report(skipped::REPORT, skipped);
        }
        ended && summary.as_deref().and_then(lost) == Some(skipped)
    }

    /// Checks that it has reported no losses except calls that the kernel skipped.
    #[track_caller]
    pub fn assert_lost_to_the_kernel_only(&self, said: &Value) {
        // The kernel's count is read after the summary, because both only grow.
        let skipped = programs::skipped(self.pid());
        assert!(
            said.as_u64().is_some_and(|lost| lost <= skipped),
            "lost {said}, but the kernel skipped {skipped}: {}",
            self.log.text()
        );
    }

    /// Waits until it ends.
    #[track_caller]
    pub fn wait(mut self, deadline: Duration) -> End {
        // stderr ends with the process, so the wait for the status needs no deadline.
        assert!(self.log.ended_within(deadline), "taskscope does not end:\n{}", self.log.text());
        let status = self.child.wait().unwrap_or_else(|error| panic!("waiting for taskscope: {error}"));
        // All its output is in the pipe, but it includes storms of other tests, so this waits while reading makes progress.
        let mut read = self.stream.len();
        while !self.stream.ended_within(deadline) {
            let now = self.stream.len();
            assert!(now > read, "taskscope ended and its stdout did not");
            read = now;
        }
        let skipped = self.kept.get().map_or(0, Kept::skipped);
        End { status, stderr: self.log.lines(), skipped }
    }

    /// Stops it by SIGTERM. It must end with code 0, without losses, and must have printed only events.
    #[track_caller]
    pub fn stop(self) -> End {
        self.signal(libc::SIGTERM);
        let stream = self.stream.clone();
        let end = self.wait(setting::deadline());
        end.assert_clean();
        assert_eq!(stream.broken(), Vec::<String>::new(), "lines that are no events, or gaps");
        end
    }
}

/// Reads as fast as taskscope writes; another thread parses the lines.
fn read_events(stdout: ChildStdout, stream: Arc<Stream>) {
    let (raw, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::with_capacity(1 << 20, stdout).lines().map_while(Result::ok) {
            if raw.send(line).is_err() {
                break;
            }
        }
    });
    std::thread::spawn(move || {
        for line in lines {
            stream.line(&line);
        }
        stream.end();
    });
}

impl Drop for Observer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            skipped::note(self);
        }
        // After `wait` this changes nothing: the child is reaped and std does not signal it again.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

static SHARED: OnceLock<Observer> = OnceLock::new();

/// Returns the observer of [`shared`], if a test has used it.
pub fn shared_so_far() -> Option<&'static Observer> {
    SHARED.get()
}

/// Returns one taskscope for all tests of a test binary. It sees the whole system, and each test checks its own pids.
#[must_use]
#[track_caller]
pub fn shared() -> &'static Observer {
    shared_with(&[])
}

/// Does what [`shared`] does, with arguments, which must be the same in all tests of the test binary.
#[must_use]
#[track_caller]
pub fn shared_with(args: &[&str]) -> &'static Observer {
    extern "C" fn at_exit() {
        let Some(observer) = SHARED.get() else { return };
        observer.signal(libc::SIGTERM);
        let broken = observer.stream.broken();
        if observer.ends_well() && broken.is_empty() {
            return;
        }
        eprintln!("the shared taskscope failed at its end:\n{}\n{}", observer.log.text(), broken.join("\n"));
        // SAFETY: this ends the process with libtest's code for a failed test; exit(3) may not be called again from its handler.
        unsafe { libc::_exit(101) };
    }
    SHARED.get_or_init(|| {
        let observer = Observer::start(args);
        // SAFETY: the handler has no arguments and does not unwind.
        unsafe { libc::atexit(at_exit) };
        observer
    })
}
