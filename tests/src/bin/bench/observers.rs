//! The observers: how each is started, and how its lines about the workload's processes are recognized.

use std::{path::Path, process::Command};

use super::{Setup, http, process::Observer};

/// The address of our daemon while it is measured.
pub(crate) const OURS: &str = "127.0.0.1:19853";
/// The address of `node_exporter`.
pub(crate) const NODE: &str = "127.0.0.1:19870";
/// The address of process-exporter.
pub(crate) const PROCESS: &str = "127.0.0.1:19871";

/// An observer.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// Name of the rival program; empty for our own programs.
    rival: &'static str,
    args: &'static [&'static str],
    ready: &'static str,
    /// Whether a line reports the end of a process with this name.
    is_end: fn(&str, &str) -> bool,
    pub(crate) said: Said,
    /// The workloads that the observer can observe.
    workloads: &'static [&'static str],
}

/// How the observer reports what it saw.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// It prints a line per event.
    Lines,
    /// It is our daemon, whose metrics count the received records.
    Records,
    /// It answers scrapes, for which it reads /proc.
    Polled(&'static str),
    /// It prints figures at its end, and no events.
    Nothing,
}

const LIVES: &[&str] = &["vfork", "exec", "threads", "switches", "build", "idle"];
const EXECS: &[&str] = &["exec", "build", "idle"];
const SWITCHES: &[&str] = &["switches", "idle"];
const IDLE: &[&str] = &["idle"];

/// Our daemon with the programs of `--sched`, to compare with the default and with runqlat.
pub(crate) const SCHED: &str = "taskscope run --sched";
/// The rival that measures waits for a CPU.
pub(crate) const RUNQLAT: &str = "runqlat (libbpf)";

/// This program as an observer.
pub(crate) const ITSELF: &str = "bench";
/// Programs that do nothing, on the tracepoints of a life.
pub(crate) const FLOOR_EMPTY: &str = "(floor: empty programs)";
/// Programs that send records of taskscope's sizes, which are neither filled nor parsed.
pub(crate) const FLOOR_SEND: &str = "(floor: empty records)";

const fn floor(name: &'static str, args: &'static [&'static str]) -> Kind {
    Kind {
        name,
        rival: ITSELF,
        args,
        ready: "floor: ready",
        is_end: |_, _| false,
        said: Said::Nothing,
        workloads: &["vfork", "threads"],
    }
}

/// All entries.
pub(crate) const KINDS: &[Kind] = &[
    floor(FLOOR_EMPTY, &["floor", "empty"]),
    floor(FLOOR_SEND, &["floor", "send"]),
    Kind {
        name: "taskscope events (NDJSON)",
        rival: "",
        args: &["events", "--alone"],
        ready: "taskscope: ready",
        is_end: |line, name| {
            line.contains(r#""action":"group_exited""#) && line.contains(&format!(r#""name":"{name}""#))
        },
        said: Said::Lines,
        workloads: LIVES,
    },
    Kind {
        name: "taskscope run (metrics)",
        rival: "",
        args: &["run", "--listen", OURS, "--socket", "/tmp/taskscope-bench.sock"],
        ready: "taskscope: ready",
        is_end: |_, _| false,
        said: Said::Records,
        workloads: LIVES,
    },
    Kind {
        name: SCHED,
        rival: "",
        args: &["run", "--sched", "--listen", OURS, "--socket", "/tmp/taskscope-bench.sock"],
        ready: "taskscope: ready",
        is_end: |_, _| false,
        said: Said::Records,
        workloads: SWITCHES,
    },
    Kind {
        name: "forkstat",
        rival: "forkstat",
        args: &["-l", "-s", "-e", "fork,exec,exit"],
        ready: "",
        is_end: |line, name| line.contains(" exit ") && has_word(line, name),
        said: Said::Lines,
        workloads: LIVES,
    },
    Kind {
        name: "bpftrace (fork, exec, exit)",
        rival: "bpftrace",
        args: &[
            "-B",
            "line",
            "-e",
            r#"tracepoint:sched:sched_process_fork { printf("fork %s %d %d\n", comm, args->parent_pid, args->child_pid); }
               tracepoint:sched:sched_process_exec { printf("exec %s %d\n", comm, pid); }
               tracepoint:sched:sched_process_exit { printf("exit %s %d %d\n", comm, pid, tid); }"#,
        ],
        ready: "Attaching",
        is_end: |line, name| line.starts_with("exit ") && has_word(line, name),
        said: Said::Lines,
        workloads: LIVES,
    },
    Kind {
        name: "perf trace (fork, exec, exit)",
        rival: "perf",
        args: &[
            "trace",
            "-o",
            "/dev/stdout",
            "-a",
            "-e",
            "sched:sched_process_fork,sched:sched_process_exec,sched:sched_process_exit",
        ],
        ready: "",
        is_end: |line, name| line.contains("sched_process_exit(comm:") && has_word(line, name),
        said: Said::Lines,
        workloads: LIVES,
    },
    Kind {
        name: "exitsnoop (libbpf)",
        rival: "exitsnoop",
        args: &[],
        ready: "",
        is_end: has_word,
        said: Said::Lines,
        workloads: LIVES,
    },
    Kind {
        name: "execsnoop (libbpf)",
        rival: "execsnoop",
        args: &[],
        ready: "",
        is_end: |_, _| false,
        said: Said::Lines,
        workloads: EXECS,
    },
    Kind {
        name: RUNQLAT,
        rival: "runqlat",
        args: &[],
        ready: "",
        is_end: |_, _| false,
        said: Said::Nothing,
        workloads: SWITCHES,
    },
    Kind {
        name: "node_exporter",
        rival: "prometheus-node-exporter",
        args: &["--web.listen-address", NODE, "--collector.processes", "--log.level", "error"],
        ready: "",
        is_end: |_, _| false,
        said: Said::Polled(NODE),
        workloads: IDLE,
    },
    Kind {
        name: "process-exporter",
        rival: "prometheus-process-exporter",
        args: &["-web.listen-address", PROCESS, "-config.path", "/tmp/taskscope-bench-process.yml"],
        ready: "",
        is_end: |_, _| false,
        said: Said::Polled(PROCESS),
        workloads: IDLE,
    },
];

/// process-exporter's configuration: every process, by its name.
pub(crate) const PROCESS_CONFIG: (&str, &str) =
    ("/tmp/taskscope-bench-process.yml", "process_names:\n  - name: \"{{.Comm}}\"\n    cmdline: [\".+\"]\n");

/// Whether the line contains this word.
fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_ascii_alphanumeric() && !"_-.".contains(c)).any(|found| found == word)
}

impl Kind {
    /// Returns the program of the observer, if it was found.
    fn program<'a>(&self, setup: &'a Setup) -> Option<&'a Path> {
        if self.rival.is_empty() {
            return Some(&setup.taskscope);
        }
        setup.rivals.iter().find(|(name, _)| name == self.rival).map(|(_, path)| path.as_path())
    }

    /// Whether the observer was found and can observe a workload.
    pub(crate) fn is_for(&self, workload: &str, setup: &Setup) -> bool {
        self.workloads.contains(&workload) && self.program(setup).is_some()
    }

    /// Returns the address to scrape, if the observer is an exporter.
    pub(crate) fn address(&self) -> Option<&'static str> {
        match self.said {
            Said::Polled(address) => Some(address),
            Said::Records => Some(OURS),
            Said::Lines | Said::Nothing => None,
        }
    }

    /// Starts it and waits until it is ready; `names` are the processes whose ends are counted. A rival that cannot be started is
    /// left out, with a message.
    pub(crate) fn start(
        &self,
        setup: &Setup,
        names: &'static [&'static str],
    ) -> anyhow::Result<Option<Observer>> {
        let Some(program) = self.program(setup) else { return Ok(None) };
        let mut command = Command::new(program);
        command.args(self.args);
        let is_end = self.is_end;
        let is_hit = move |line: &str| names.iter().any(|name| is_end(line, name));
        match Observer::start(command, self.ready, is_hit) {
            Err(error) if !self.rival.is_empty() => {
                eprintln!("bench: without {}: {error}", self.name);
                Ok(None)
            }
            Ok(observer) => {
                if let Said::Polled(address) = self.said {
                    http::until_open(address)?;
                }
                Ok(Some(observer))
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the number of records that our daemon has received so far; `None` for other observers.
    pub(crate) fn records(&self) -> anyhow::Result<f64> {
        if self.said != Said::Records {
            return Ok(0.0);
        }
        Ok(http::sum(&http::scrape(OURS)?, "taskscope_records_received_total"))
    }
}
