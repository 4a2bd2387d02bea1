//! How a taskscope ended, and its summary.

use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};

use crate::{setting::report, skipped};

pub(super) const SUMMARY: &str = "taskscope: summary:";

/// How a taskscope ended.
#[derive(Debug)]
pub struct End {
    /// Its exit status.
    pub status: ExitStatus,
    /// All of stderr.
    pub stderr: Vec<String>,
    /// How many calls of its programs the kernel skipped.
    pub skipped: u64,
}

impl End {
    /// Returns the exit code; `None` if a signal ended it.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Returns all of stderr.
    #[must_use]
    pub fn text(&self) -> String {
        self.stderr.join("\n")
    }

    /// Returns the summary line.
    #[must_use]
    pub fn summary(&self) -> Option<&str> {
        self.stderr.iter().find(|line| line.starts_with(SUMMARY)).map(String::as_str)
    }

    /// Checks for exit code 0 and a summary without losses except calls that the kernel skipped.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert_eq!(self.status.into_raw(), 0, "taskscope ended with {}:\n{}", self.status, self.text());
        let summary = self.summary().unwrap_or_else(|| panic!("no summary on stderr:\n{}", self.text()));
        let skipped = self.skipped;
        assert!(lost(summary) == Some(skipped), "the summary does not say `lost {skipped}`: {summary}");
        if skipped > 0 {
            report(skipped::REPORT, skipped);
        }
    }
}

/// Returns the number after `lost` in a summary line.
#[must_use]
pub fn lost(summary: &str) -> Option<u64> {
    let mut words = summary.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.find(|word| *word == "lost")?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_lost_records_is_read_from_the_summary() {
        assert_eq!(lost("taskscope: summary: forked 3, exited 3, lost 0; copy_process by kprobe"), Some(0));
        assert_eq!(lost("taskscope: summary: 12 events, lost 7"), Some(7));
        assert_eq!(lost("taskscope: summary: 12 events"), None);
    }
}
