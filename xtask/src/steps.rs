//! Reports the steps of a long command: name, result and duration of each.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// The finished steps.
pub(crate) struct Steps {
    start: Instant,
    done: Vec<(&'static str, Duration)>,
}

impl Steps {
    /// Starts without steps.
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), done: Vec::new() }
    }

    /// Runs one step; an error contains its name.
    pub(crate) fn step<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        eprintln!("\n=== {name}");
        let start = Instant::now();
        let result = work();
        let took = start.elapsed();
        let verdict = if result.is_ok() { "ok" } else { "FAILED" };
        eprintln!("=== {name}: {verdict}, {:.1} s", took.as_secs_f64());
        self.done.push((name, took));
        result.with_context(|| format!("{name} failed"))
    }

    /// Prints the table of steps.
    pub(crate) fn finish(self, command: &str) {
        eprintln!();
        for (name, took) in &self.done {
            eprintln!("{:>8.1} s  {name}", took.as_secs_f64());
        }
        eprintln!("{:>8.1} s  {command}: all passed", self.start.elapsed().as_secs_f64());
    }
}
