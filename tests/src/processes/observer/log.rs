//! What taskscope writes on stderr.

use std::{
    fmt,
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

/// What taskscope writes on stderr.
#[derive(Default)]
pub struct Log {
    lines: Mutex<(Vec<String>, bool)>,
    changed: Condvar,
}

impl Log {
    pub(super) fn push(&self, line: String) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).0.push(line);
        self.changed.notify_all();
    }

    pub(super) fn end(&self) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.changed.notify_all();
    }

    /// Waits for the first line that begins with `start`; `None` if it does not come in time.
    #[must_use]
    pub fn line(&self, start: &str, deadline: Duration) -> Option<String> {
        let found = |lines: &[String]| lines.iter().find(|line| line.starts_with(start)).cloned();
        let state = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = self
            .changed
            .wait_timeout_while(state, deadline, |(lines, ended)| !*ended && found(lines).is_none());
        found(&wait.unwrap_or_else(PoisonError::into_inner).0.0)
    }

    pub(super) fn ended_within(&self, deadline: Duration) -> bool {
        let state = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = self.changed.wait_timeout_while(state, deadline, |(_, ended)| !*ended);
        wait.unwrap_or_else(PoisonError::into_inner).0.1
    }

    /// Returns every line so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Returns every line so far as one text.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines().join("\n")
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}
