//! A running scenario.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::Instant,
};

use serde_json::Value;

use crate::{facts::Facts, setting, spawner};

/// A running scenario program. When this is dropped, it is killed with all its processes.
pub struct Scenario {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    facts: Facts,
    started_ns: u64,
    ended: bool,
}

/// A system call of a scenario that this kernel or machine does not support.
#[derive(Debug)]
pub struct Skip {
    /// The call that failed.
    pub call: String,
    /// Its error.
    pub errno: i32,
}

impl Scenario {
    /// Starts a scenario; `built` is `env!("CARGO_BIN_EXE_scenario")`.
    #[must_use]
    pub fn start(built: &str, name: &str, args: &[&str]) -> Self {
        let path = setting::scenario(built);
        let started_ns = setting::now_ns();
        let mut command = Command::new(&path);
        command.arg(name).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = spawner::spawn(command)
            .unwrap_or_else(|error| panic!("starting the scenario {}: {error}", path.display()));
        let (sender, lines) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        let stdin = child.stdin.take();
        Self { name: name.to_owned(), child, stdin, lines, facts: Facts::default(), started_ns, ended: false }
    }

    /// Returns a time before the first action, ns.
    #[must_use]
    pub fn started_ns(&self) -> u64 {
        self.started_ns
    }

    /// Returns the facts so far.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Waits until the scenario pauses at a named moment.
    #[track_caller]
    pub fn pause(&mut self, at: &str) {
        let fact = self.until(&["pause"]);
        assert_eq!(fact["at"], at, "the scenario {} pauses elsewhere:\n{}", self.name, self.facts);
    }

    /// Does what [`Self::pause`] does. Prints a reason and returns false if the kernel or machine does not support the scenario.
    #[track_caller]
    pub fn pause_or_skip(&mut self, at: &str) -> bool {
        let fact = self.until(&["pause", "skip"]);
        if fact["fact"] == "skip" {
            setting::skip(format_args!(
                "{}: {} is not possible: {}",
                self.name, fact["call"], fact["message"]
            ));
            return false;
        }
        assert_eq!(fact["at"], at, "the scenario {} pauses elsewhere:\n{}", self.name, self.facts);
        true
    }

    /// Continues a scenario that has paused.
    #[track_caller]
    pub fn go(&mut self) {
        let Some(stdin) = &mut self.stdin else { panic!("the scenario {} has ended", self.name) };
        if let Err(error) = stdin.write_all(b"go\n") {
            panic!("the scenario {} takes no command: {error}\n{}", self.name, self.facts);
        }
    }

    /// Waits for the end of the scenario, which must exit with 0, and returns all facts.
    #[track_caller]
    pub fn finish(&mut self) -> Facts {
        if let Err(skip) = self.finish_or_skip() {
            panic!("the scenario {} was skipped: {skip:?}", self.name);
        }
        self.facts.clone()
    }

    /// Does what [`Self::finish`] does; returns an error if the kernel or machine does not support the scenario.
    #[track_caller]
    pub fn finish_or_skip(&mut self) -> Result<Facts, Skip> {
        self.until(&["done"]);
        self.stdin = None;
        let status = self.child.wait().unwrap_or_else(|error| panic!("waiting for a scenario: {error}"));
        self.ended = true;
        assert!(status.success(), "the scenario {} ended with {status}:\n{}", self.name, self.facts);
        match self.facts.all("skip").next() {
            None => Ok(self.facts.clone()),
            Some(skip) => Err(Skip {
                call: skip["call"].as_str().unwrap_or_default().to_owned(),
                errno: skip["errno"].as_i64().and_then(|errno| i32::try_from(errno).ok()).unwrap_or_default(),
            }),
        }
    }

    /// Collects facts until one is of these kinds.
    #[track_caller]
    pub fn until(&mut self, kinds: &[&str]) -> Value {
        let end = Instant::now() + setting::deadline() * 3;
        loop {
            let rest = end.saturating_duration_since(Instant::now());
            let line = match self.lines.recv_timeout(rest) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("the scenario {} hangs before {kinds:?}:\n{}", self.name, self.facts)
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("the scenario {} ended before {kinds:?}:\n{}", self.name, self.facts)
                }
            };
            let fact: Value = serde_json::from_str(&line)
                .unwrap_or_else(|error| panic!("the scenario {} printed `{line}`: {error}", self.name));
            self.facts.push(fact.clone());
            let kind = fact["fact"].as_str().unwrap_or_default();
            assert_ne!(kind, "error", "the scenario {} failed:\n{}", self.name, self.facts);
            if kinds.contains(&kind) {
                return fact;
            }
        }
    }
}

impl Drop for Scenario {
    fn drop(&mut self) {
        if !self.ended {
            spawner::kill_group(&self.child);
            // If the child cannot be waited for, nothing can be done.
            let _ = self.child.wait();
        }
    }
}
