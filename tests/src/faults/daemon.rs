//! A daemon under a fault. Nothing here panics while it runs: a missing answer is a finding.

use std::{
    ffi::CString,
    fs,
    io::{Read as _, Write as _},
    os::unix::{ffi::OsStrExt as _, net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Fault, Place, Question, setting};
use crate::{service, spawner};

/// How long an answer may take before it counts as missing. The table has the real time.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

/// How long a start or an end may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running `taskscope run` with a directory of its own.
pub struct Daemon {
    child: Mutex<Child>,
    pid: u32,
    directory: PathBuf,
}

/// Figures from the status of a daemon.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Number of lost records so far.
    pub lost: u64,
    /// Number of repairs so far.
    pub repaired: u64,
    /// Resident memory now, KiB.
    pub rss_kib: u64,
    /// Peak of the resident memory since [`Daemon::forget_peak`], KiB.
    pub peak_kib: u64,
}

impl Daemon {
    /// Starts a daemon for a fault.
    pub(super) fn start(family: &str, fault: &Fault) -> Result<Self, String> {
        Self::start_program(&setting::taskscope(), family, fault.args, fault.prepare)
    }

    /// Starts a program as a daemon and waits until it answers; its log goes into a file of its directory.
    pub fn start_program(
        program: &Path,
        family: &str,
        args: &[&str],
        prepare: impl FnOnce(&mut Command, &Place),
    ) -> Result<Self, String> {
        let directory = service::directory();
        let place = Place { directory: directory.clone() };
        let mut command = Command::new(program);
        command.arg("run").arg("--socket").arg(directory.join("socket"));
        command.args(["--listen", "127.0.0.1:0", "--attach", family, "--canary-every", "1s"]).args(args);
        prepare(&mut command, &place);
        let log =
            fs::File::create(directory.join("log")).map_err(|error| format!("making a log: {error}"))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = spawner::spawn(command).map_err(|error| format!("starting taskscope: {error}"))?;
        let daemon = Self { pid: child.id(), child: Mutex::new(child), directory };
        let end = Instant::now() + DEADLINE;
        while daemon.get("/v1/status").map_or(true, |(status, _)| status != 200) {
            if Instant::now() > end || daemon.has_ended().is_some() {
                return Err(format!("taskscope does not start:\n{}", daemon.log()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(daemon)
    }

    /// Returns its pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns the directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the daemon's log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.directory.join("log"))
            .map_or_else(|error| error.to_string(), |text| String::from_utf8_lossy(&text).into_owned())
    }

    /// Returns the address on which it serves /metrics.
    #[must_use]
    pub fn address(&self) -> Option<String> {
        let log = self.log();
        let rest = log.split_once("serving http://")?.1;
        rest.split('/').next().map(str::to_owned)
    }

    fn child(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Returns the status of the daemon if it has ended.
    pub fn has_ended(&self) -> Option<String> {
        self.child().try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// Sends a GET request over its socket.
    pub fn get(&self, path: &str) -> Result<(u16, String), String> {
        let failed = |what: &str, error: std::io::Error| match self.has_ended() {
            Some(status) => format!("{path}: the daemon has ended with {status}"),
            None => format!("{path}: {what}: {error}"),
        };
        let stream = UnixStream::connect(self.directory.join("socket"));
        let mut stream = stream.map_err(|error| failed("connecting", error))?;
        let limited = stream.set_read_timeout(Some(ANSWERED_WITHIN));
        limited.map_err(|error| failed("setting a timeout", error))?;
        let asked = stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes());
        asked.map_err(|error| failed("asking", error))?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).map_err(|error| failed("reading the answer", error))?;
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        match status {
            Some(status) => Ok((status, body.to_owned())),
            None => Err(failed("reading the answer", std::io::ErrorKind::UnexpectedEof.into())),
        }
    }

    /// Sends a GET request and returns the JSON of an answer with status 200.
    pub fn json(&self, path: &str) -> Result<Value, String> {
        let (status, body) = self.get(path)?;
        if status != 200 {
            return Err(format!("{path} is answered with {status}: {body}"));
        }
        serde_json::from_str(&body).map_err(|error| format!("{path}: {error}: {body}"))
    }

    /// Sends a query; returns the answer and how long it took.
    pub fn ask(&self, question: &Question) -> Result<Duration, String> {
        let begun = Instant::now();
        let (status, body) = self.get(&question.path)?;
        question.judge(status, &body)?;
        Ok(begun.elapsed())
    }

    /// Reads figures from its status.
    pub fn figures(&self) -> Result<Figures, String> {
        let status = self.json("/v1/status")?;
        let repaired = status["repaired"].as_object().into_iter().flatten();
        Ok(Figures {
            lost: status["records_lost"].as_u64().unwrap_or(0),
            repaired: repaired.filter_map(|(_, count)| count.as_u64()).sum(),
            rss_kib: self.status_number("VmRSS:").unwrap_or(0),
            peak_kib: self.status_number("VmHWM:").unwrap_or(0),
        })
    }

    /// Returns its number of threads.
    #[must_use]
    pub fn threads(&self) -> u64 {
        self.status_number("Threads:").unwrap_or(0)
    }

    fn status_number(&self, field: &str) -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(field))?;
        line.split_whitespace().next()?.parse().ok()
    }

    /// Resets the peak of its resident memory (`clear_refs`, proc(5)).
    pub(super) fn forget_peak(&self) {
        // If this fails, the peak in the table is too high, which is harmless.
        let _ = fs::write(format!("/proc/{}/clear_refs", self.pid), "5");
    }

    /// Sends the daemon a signal.
    pub fn signal(&self, signal: i32) {
        spawner::signal(&self.child(), signal);
    }

    /// Stops the daemon by SIGTERM: it must exit with 0, its sums must balance, and it must not have panicked.
    pub fn stop(self) -> Result<(), String> {
        if let Some(status) = self.has_ended() {
            return Err(format!("the daemon has ended with {status}:\n{}", self.log()));
        }
        self.signal(libc::SIGTERM);
        let end = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.has_ended() {
                break status;
            }
            if Instant::now() > end {
                return Err(format!("SIGTERM does not end it:\n{}", self.log()));
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let log = self.log();
        let bad = ["panicked", "do not add up"].into_iter().find(|word| log.contains(word));
        if status != "exit status: 0" || bad.is_some() {
            return Err(format!("it ended with {status}, and its log says:\n{log}"));
        }
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // If the child was reaped already, std does nothing; the directory is one for temporary files.
        let _ = self.child().kill();
        let _ = self.child().wait();
        if let Ok(path) = CString::new(self.directory.as_os_str().as_bytes()) {
            // SAFETY: the string ends with NUL and outlives the call. The call fails for most directories, which are no mount
            // points.
            unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}
