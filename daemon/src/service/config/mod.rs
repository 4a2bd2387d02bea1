//! Settings of the daemon: flags, then a TOML file, then defaults. The flags win.
//!
//! - `keys`: the table of keys, with what is the same for each of them; the keys that a reload can change
//! - `file`: reads the file; `output`: its tables `[[output]]`; `value`: converts values
//! - `settle`: adds the defaults and checks the settings
//! - `show`: writes the settings in force as a file

mod file;
mod keys;
mod output;
mod settle;
mod show;
mod value;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

pub use self::{
    file::ConfigError,
    keys::{KEYS, Partial, RELOADABLE},
    output::OutputTable,
};
use crate::{
    lineage::leaks::Thresholds,
    outputs::{self, DEFAULT_JOURNAL_SOCKET, OutputSettings, TargetSettings},
};

/// The configuration file that is read if no flag names one. The file need not exist.
pub const DEFAULT_FILE: &str = "/etc/taskscope/taskscope.toml";

/// The path of the API's socket.
pub const DEFAULT_SOCKET: &str = "/run/taskscope/taskscope.sock";

/// Settings in force.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, clippy::struct_excessive_bools, reason = "as in `Partial`; each is a key of the file")]
pub struct Settings {
    pub listen: Option<SocketAddr>,
    pub socket: Option<PathBuf>,
    pub socket_group: String,
    pub api_on_tcp: bool,
    pub allowed_hosts: Vec<String>,
    pub web_config_file: Option<PathBuf>,
    pub attach: String,
    pub ring_kib: u32,
    pub zombie_after: Duration,
    pub blocked_after: Duration,
    pub leak_window: Duration,
    pub thread_leak: u32,
    pub respawn_loop: u32,
    pub fork_storm: u32,
    pub living_orphans: bool,
    pub audit_every: Duration,
    pub canary_every: Duration,
    pub dead_lives: usize,
    pub dead_lives_age: Duration,
    pub backlog: usize,
    pub memory_max: Option<u64>,
    pub top: usize,
    pub history: Option<PathBuf>,
    pub history_size: u64,
    pub history_age: Duration,
    pub args: bool,
    pub sched: bool,
    pub sandbox: bool,
    pub journald: bool,
    pub outputs: Vec<OutputSettings>,
}

impl Settings {
    /// Returns the thresholds of leaks.
    #[must_use]
    pub const fn leaks(&self) -> Thresholds {
        Thresholds {
            window: self.leak_window,
            threads: self.thread_leak,
            respawns: self.respawn_loop,
            forks_per_second: self.fork_storm,
            orphans: self.living_orphans,
        }
    }

    /// Returns the outputs in force: those of the configuration and, if none of them is the journal, the default output to the
    /// journal where journald runs.
    #[must_use]
    pub fn all_outputs(&self) -> Vec<OutputSettings> {
        let is_journal = |output: &OutputSettings| matches!(output.target, TargetSettings::Journald { .. });
        let mut all = self.outputs.clone();
        if self.journald && !all.iter().any(is_journal) && Path::new(DEFAULT_JOURNAL_SOCKET).exists() {
            let mut journal = outputs::journal();
            if all.iter().any(|output| output.name == journal.name) {
                journal.name = "default-journald".into();
            }
            all.push(journal);
        }
        all
    }
}
