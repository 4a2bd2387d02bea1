//! A directory for the history of a daemon, and its segments as zstd(1) reads them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::service::{self, Service};

/// A directory for history, below one of a daemon; removed at the end.
pub struct History(PathBuf);

impl History {
    /// Creates a directory, in which the daemon creates that of its history.
    pub fn new() -> Self {
        Self(service::directory())
    }

    /// Returns the directory that has the directory of the history, and no segments.
    pub fn above(&self) -> &Path {
        &self.0
    }

    /// Returns the directory of the history.
    pub fn path(&self) -> PathBuf {
        self.0.join("history")
    }

    /// Starts a daemon that writes history here.
    #[track_caller]
    pub fn start(&self, args: &[&str]) -> Service {
        let path = self.path();
        let path = path.to_str().unwrap_or_else(|| panic!("no UTF-8"));
        Service::start(&[&["--history", path], args].concat())
    }

    /// Waits until a daemon has written this many lives.
    #[track_caller]
    pub fn until_written(service: &Service, lives: f64) {
        let sample = "taskscope_history_lines_total{kind=\"lives\"}";
        service.until("lives are written", |samples| samples[sample] >= lives);
    }

    /// Returns the segments of a kind, the oldest first.
    #[track_caller]
    pub fn segments(&self, kind: &str) -> Vec<PathBuf> {
        let entries =
            fs::read_dir(self.path()).unwrap_or_else(|error| panic!("reading the history: {error}"));
        let paths = entries.map(|entry| entry.unwrap_or_else(|error| panic!("{error}")).path());
        let is_of = |path: &PathBuf| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(kind))
        };
        let mut found: Vec<_> = paths.filter(is_of).collect();
        found.sort();
        found
    }

    /// Returns all lines of a kind.
    #[track_caller]
    pub fn lines(&self, kind: &str) -> Vec<String> {
        self.segments(kind).iter().flat_map(|path| lines(path)).collect()
    }
}

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for History {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns the lines of a segment, decompressed by zstd(1), which fails for damaged files.
#[track_caller]
pub fn lines(segment: &Path) -> Vec<String> {
    let output = Command::new("zstd").arg("-dc").arg(segment).output();
    let output = output.unwrap_or_else(|error| panic!("starting zstd (apt-get install zstd): {error}"));
    assert!(output.status.success(), "{}: {}", segment.display(), String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", segment.display()));
    text.lines().map(str::to_owned).collect()
}
