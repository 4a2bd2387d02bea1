//! The observers: how each is started, and how its lines about the workload's ends are told.

use std::{path::Path, process::Command};

use super::{Setup, process::Observer, workload::NAME};

/// One way to observe.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// Name of the rival that must have been found; empty for ours.
    pub(crate) rival: &'static str,
    args: &'static [&'static str],
    ready: &'static str,
    is_hit: fn(&str) -> bool,
    /// Whether its lines are events; metrics have none.
    pub(crate) has_lines: bool,
    /// The one workload of which it sees something; empty for all.
    pub(crate) only: &'static str,
}

/// All of them.
pub(crate) const KINDS: [Kind; 5] = [
    Kind {
        name: "taskscope events (NDJSON)",
        rival: "",
        args: &["events", "--alone"],
        ready: "taskscope: ready",
        is_hit: |line| line.contains(r#""action":"group_exited""#) && is_of_workload_json(line),
        has_lines: true,
        only: "",
    },
    Kind {
        name: "taskscope run (metrics)",
        rival: "",
        args: &["run", "--listen", "127.0.0.1:19853", "--socket", "/tmp/taskscope-bench.sock"],
        ready: "taskscope: ready",
        is_hit: |_| false,
        has_lines: false,
        only: "",
    },
    Kind {
        name: "forkstat",
        rival: "forkstat",
        args: &["-e", "fork,exec,exit"],
        ready: "",
        is_hit: |line| line.contains(" exit ") && line.contains(NAME),
        has_lines: true,
        only: "",
    },
    Kind {
        name: "exitsnoop (libbpf)",
        rival: "exitsnoop",
        args: &[],
        ready: "",
        is_hit: |line| line.contains(NAME),
        has_lines: true,
        only: "",
    },
    Kind {
        name: "execsnoop (libbpf)",
        rival: "execsnoop",
        args: &[],
        ready: "",
        is_hit: |line| line.contains(NAME),
        has_lines: true,
        only: "exec",
    },
];

fn is_of_workload_json(line: &str) -> bool {
    line.contains(r#""name":"bench""#)
}

impl Kind {
    /// Its program, if it could be had.
    pub(crate) fn program<'a>(&self, setup: &'a Setup) -> Option<&'a Path> {
        if self.rival.is_empty() {
            return Some(&setup.taskscope);
        }
        setup.rivals.iter().find(|(name, _)| name == self.rival).map(|(_, path)| path.as_path())
    }

    /// Whether it can be had and has something to say of a workload.
    pub(crate) fn is_for(&self, workload: &str, setup: &Setup) -> bool {
        (self.only.is_empty() || self.only == workload) && self.program(setup).is_some()
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn start(&self, setup: &Setup) -> anyhow::Result<Option<Observer>> {
        let Some(program) = self.program(setup) else { return Ok(None) };
        let mut command = Command::new(program);
        command.args(self.args);
        Observer::start(command, self.ready, self.is_hit).map(Some)
    }
}
