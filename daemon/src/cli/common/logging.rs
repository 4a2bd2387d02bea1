//! The log: one line for each message on standard error, never on standard output.
//!
//! Standard error may be a pipe that nobody reads. The log waits for its reader once, for a bounded time. From then on, lines
//! that the reader does not take are dropped and counted, and the next line that it takes is preceded by the number of dropped
//! ones. The file's flags are not changed, because other processes share them.

use std::{
    io::{IsTerminal as _, stderr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::fd::{wait_writable, write_now};

/// How long a daemon waits for the reader of its standard error. Records arrive in the meantime.
pub(in crate::cli) const DAEMON_WAITS: Duration = Duration::from_millis(50);

/// How long a command waits.
pub(in crate::cli) const COMMAND_WAITS: Duration = Duration::from_secs(5);

struct Stderr {
    /// The level up to which libraries log. Loading the programs, aya logs a thousand lines that say nothing to an operator.
    libraries: LevelFilter,
    /// Under systemd, the journal reads the level from a prefix such as `<4>` (sd-daemon(3)).
    journal: bool,
    state: Mutex<Pending>,
}

/// What the reader of standard error has not taken yet.
struct Pending {
    waits: Duration,
    /// The rest of a line whose beginning is written.
    rest: Vec<u8>,
    /// Whole lines dropped since the last line that was written.
    dropped: u64,
}

/// Installs the logger. `-v` raises the level.
pub(in crate::cli) fn init(verbose: u8, waits: Duration) {
    let journal = std::env::var_os("JOURNAL_STREAM").is_some() && !stderr().is_terminal();
    let (level, libraries) = match verbose {
        0 => (LevelFilter::Info, LevelFilter::Info),
        1 => (LevelFilter::Debug, LevelFilter::Info),
        _ => (LevelFilter::Trace, LevelFilter::Trace),
    };
    let state = Mutex::new(Pending { waits, rest: Vec::new(), dropped: 0 });
    // A second call (in tests) keeps the first logger.
    if log::set_boxed_logger(Box::new(Stderr { libraries, journal, state })).is_ok() {
        log::set_max_level(level);
    }
}

impl Stderr {
    fn line(&self, level: Level, message: &std::fmt::Arguments<'_>) -> Vec<u8> {
        let priority = match level {
            Level::Error => 3,
            Level::Warn => 4,
            Level::Info => 6,
            Level::Debug | Level::Trace => 7,
        };
        let prefix = if self.journal { format!("<{priority}>") } else { String::new() };
        let word = match level {
            Level::Error => "error: ",
            Level::Warn => "warning: ",
            Level::Info | Level::Debug | Level::Trace => "",
        };
        format!("{prefix}taskscope: {word}{message}\n").into_bytes()
    }
}

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.libraries || metadata.target().starts_with(env!("CARGO_CRATE_NAME"))
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = self.line(record.level(), record.args());
        let gap = |dropped| {
            self.line(
                Level::Warn,
                &format_args!("{dropped} lines of this log are missing: standard error was not read"),
            )
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.write(stderr(), &line, gap);
    }

    fn flush(&self) {}
}

impl Pending {
    /// Writes one line after the rest of earlier ones, or drops it. If standard error is gone, nothing can be reported.
    fn write(&mut self, to: impl std::os::fd::AsFd, line: &[u8], gap: impl FnOnce(u64) -> Vec<u8>) {
        let mut text = std::mem::take(&mut self.rest);
        let begun = text.len();
        if self.dropped > 0 {
            text.extend_from_slice(&gap(self.dropped));
        }
        let reported = text.len();
        text.extend_from_slice(line);
        // A reader that has taken nothing since is not waited for again.
        let mut waits = if begun > 0 || self.dropped > 0 { Duration::ZERO } else { self.waits };
        let mut written = 0;
        while let Some(left) = text.get(written..).filter(|left| !left.is_empty()) {
            match write_now(&to, left) {
                Ok(count) => written += count,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    if !wait_writable(&to, std::mem::take(&mut waits)).unwrap_or(false) {
                        break;
                    }
                }
                Err(_) => return,
            }
        }
        // A line that was begun is finished later, so that no two lines become one. A line that was not begun is dropped.
        let (end, dropped) = if written > reported {
            (text.len(), 0)
        } else if written > begun {
            (reported, 1)
        } else {
            (begun, self.dropped + 1)
        };
        self.dropped = dropped;
        self.rest = text.get(written..end).unwrap_or_default().to_vec();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, Read as _};

    use super::*;

    fn pending() -> Pending {
        Pending { waits: Duration::ZERO, rest: Vec::new(), dropped: 0 }
    }

    fn gap(dropped: u64) -> Vec<u8> {
        format!("lost {dropped}\n").into_bytes()
    }

    fn read(mut reader: PipeReader) -> String {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_full_pipe_drops_whole_lines_and_the_next_that_is_read_says_how_many() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut pending = pending();
        let line = |number: u32| format!("{number:0>999}\n").into_bytes();
        let lines = 200;
        for number in 0..lines {
            pending.write(&writer, &line(number), gap);
        }
        let dropped = pending.dropped;
        assert!(dropped > 100 && pending.rest.len() < 1000, "{dropped} dropped, {} left", pending.rest.len());
        let mut room = vec![0; 60_000];
        reader.read_exact(&mut room).unwrap();
        pending.write(&writer, &line(lines), gap);
        assert_eq!((pending.dropped, pending.rest.len()), (0, 0));
        drop(writer);
        let text = String::from_utf8(room).unwrap() + &read(reader);
        let reported: Vec<&str> = text.lines().filter(|line| line.starts_with("lost")).collect();
        assert_eq!(reported, [format!("lost {dropped}")]);
        assert!(text.lines().filter(|line| !line.starts_with("lost")).all(|line| line.len() == 999));
        assert_eq!(text.lines().count() as u64 - 1 + dropped, u64::from(lines) + 1);
    }

    #[test]
    fn a_reader_that_is_gone_stops_nobody() {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        pending().write(&writer, b"x\n", gap);
    }
}
