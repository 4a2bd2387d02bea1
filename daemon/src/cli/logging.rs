//! The log: one line a message on standard error, never on standard output.

use std::io::{IsTerminal as _, Write as _, stderr};

use log::{Level, LevelFilter, Log, Metadata, Record};

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
        // One write, so that lines of several threads do not mix. Nobody is left to tell if standard error is gone.
        let _ = stderr().write_all(text.as_bytes());
    }

    fn flush(&self) {}
}
