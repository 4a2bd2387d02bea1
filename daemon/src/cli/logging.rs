//! The log: one line a message on standard error, never on standard output.
//!
//! Whoever reads standard error may stop to. A full pipe then costs lines of the log and delays nothing else: a line that is not taken
//! within [`WAIT`] is left out and counted.

use std::{
    io::{IoSlice, IsTerminal as _, Write as _, stderr},
    os::fd::AsFd as _,
    sync::{Mutex, PoisonError},
};

use log::{Level, LevelFilter, Log, Metadata, Record};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, fstat},
    io::{Errno, ReadWriteFlags, pwritev2},
};

/// So long a line may wait for room, ns.
const WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// What of the log could not be written.
#[derive(Default)]
struct Unwritten {
    /// The end of a line of which the beginning was written.
    rest: Vec<u8>,
    /// Lines left out since.
    lines: u64,
}

static UNWRITTEN: Mutex<Unwritten> = Mutex::new(Unwritten { rest: Vec::new(), lines: 0 });

struct Stderr {
    /// Under systemd the journal reads a level from a prefix such as `<4>` (sd-daemon(3)).
    journal: bool,
}

/// Installs the logger. `-v` raises the level.
pub(super) fn init(verbose: u8) {
    let journal = std::env::var_os("JOURNAL_STREAM").is_some() && !stderr().is_terminal();
    let level = match verbose {
        0 => LevelFilter::Info,
        1 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    // A second call (in tests) keeps the first logger.
    if log::set_boxed_logger(Box::new(Stderr { journal })).is_ok() {
        log::set_max_level(level);
    }
}

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let priority = match record.level() {
            Level::Error => 3,
            Level::Warn => 4,
            Level::Info => 6,
            Level::Debug | Level::Trace => 7,
        };
        let mut text = String::new();
        if self.journal {
            text = format!("<{priority}>");
        }
        text.push_str("taskscope: ");
        match record.level() {
            Level::Error => text.push_str("error: "),
            Level::Warn => text.push_str("warning: "),
            Level::Info | Level::Debug | Level::Trace => {}
        }
        text.push_str(&record.args().to_string());
        text.push('\n');
        write_line(&prefix_of(self.journal), text.as_bytes());
    }

    fn flush(&self) {}
}

/// The prefix of a warning.
fn prefix_of(journal: bool) -> String {
    format!("{}taskscope: warning: ", if journal { "<4>" } else { "" })
}

/// Writes one line, after what is left of the one before and the number of lines left out since.
fn write_line(prefix: &str, line: &[u8]) {
    // One writer at a time, so that lines of several threads do not mix.
    let mut unwritten = UNWRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
    let rest = std::mem::take(&mut unwritten.rest);
    let written = write_some(&rest);
    if written < rest.len() {
        unwritten.rest = rest.get(written..).unwrap_or_default().to_vec();
        unwritten.lines += 1;
        return;
    }
    let mut bytes = Vec::new();
    if unwritten.lines > 0 {
        bytes = format!(
            "{prefix}{} lines of this log are missing: nobody read standard error\n",
            unwritten.lines
        )
        .into_bytes();
    }
    let before = bytes.len();
    bytes.extend_from_slice(line);
    match write_some(&bytes) {
        0 => unwritten.lines += 1,
        all if all == bytes.len() => unwritten.lines = 0,
        part => {
            if part >= before {
                unwritten.lines = 0;
            }
            unwritten.rest = bytes.get(part..).unwrap_or_default().to_vec();
        }
    }
}

/// Writes as much as standard error takes within [`WAIT`]; answers how much. What cannot be written at all counts as written: nobody is
/// left to tell.
fn write_some(bytes: &[u8]) -> usize {
    /// Not at an offset but where the file stands, as `write(2)`.
    const HERE: u64 = u64::MAX;
    let stderr = stderr();
    if fstat(&stderr).is_ok_and(|file| FileType::from_raw_mode(file.st_mode) == FileType::RegularFile) {
        // A file takes everything, or says why not.
        let _ = stderr.lock().write_all(bytes);
        return bytes.len();
    }
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match pwritev2(stderr.as_fd(), &[IoSlice::new(rest)], HERE, ReadWriteFlags::NOWAIT) {
            Ok(count) => written += count,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut ready = [PollFd::new(&stderr, PollFlags::OUT)];
                if !matches!(poll(&mut ready, Some(&WAIT)), Ok(1..)) {
                    return written;
                }
            }
            // Terminals cannot be asked (`EOPNOTSUPP`), and older kernels neither (`EINVAL`, `ENOSYS`). A terminal that is
            // stopped (^S) is not ready.
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                let mut ready = [PollFd::new(&stderr, PollFlags::OUT)];
                if !matches!(poll(&mut ready, Some(&WAIT)), Ok(1..)) {
                    return written;
                }
                let _ = stderr.lock().write_all(rest);
                return bytes.len();
            }
            Err(_) => return bytes.len(),
        }
    }
    written
}
