//! Runs the test binaries of the package `taskscope-tests`, several at once: most tests wait, and `cargo test` runs one binary after the
//! other.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use rustix::fs::{MemfdFlags, memfd_create};

use crate::artifacts::{self, Artifact};
use crate::shell;

/// Test binaries that run at once.
const AT_ONCE: usize = 2;

/// Tests of one binary that run at once. The number does not depend on the machine, so that a test that disturbs another one does so
/// everywhere.
const THREADS: &str = "--test-threads=4";

/// Test binaries that run alone, before all others: they load all CPUs, or look at what the whole host does.
const ALONE: [&str; 8] =
    ["history_storm", "leaks", "page_pictures", "recordings", "remedies", "storms", "trust", "usage"];

/// What all test binaries have in common.
pub(crate) struct Suite<'a> {
    /// The words before each command, which make it run as root and set its environment.
    pub(crate) prefix: Vec<OsString>,
    /// Arguments of each test binary.
    pub(crate) args: &'a [OsString],
}

impl Suite<'_> {
    /// Builds the test binaries, and runs all of them even if one fails. The output of each is printed when it has ended.
    ///
    /// A binary that fails beside another one runs again alone, and that decides: a test may fail because of what another one does to
    /// the host. The first failure is printed all the same.
    pub(crate) fn run(&self) -> Result<()> {
        let (alone, others): (Vec<_>, Vec<_>) =
            build()?.into_iter().partition(|binary| ALONE.contains(&binary.name.as_str()));
        let mut failed = self.run_all(alone, 1);
        let beside = self.run_all(others, AT_ONCE);
        if !beside.is_empty() {
            eprintln!("failed beside another test binary: {}; each runs again alone", names(&beside));
        }
        failed.extend(self.run_all(beside, 1));
        if let Some(first) = failed.first() {
            let (all, first) = (names(&failed), &first.name);
            bail!(
                "test binaries failed: {all}; to run one: cargo test --package taskscope-tests --test {first}"
            );
        }
        Ok(())
    }

    /// Runs binaries, some at once; returns those that failed.
    fn run_all(&self, binaries: Vec<Artifact>, at_once: usize) -> Vec<Artifact> {
        let (queue, failed) = (Mutex::new(VecDeque::from(binaries)), Mutex::new(Vec::new()));
        let next = || lock(&queue).pop_front();
        let work = || {
            while let Some(binary) = next() {
                if let Err(error) = self.run_one(&binary) {
                    eprintln!("test binary {}: {error:#}", binary.name);
                    lock(&failed).push(binary);
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..at_once {
                scope.spawn(work);
            }
        });
        failed.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn run_one(&self, binary: &Artifact) -> Result<()> {
        // Not a pipe: a process that outlives the tests would keep its other end open.
        let mut output = File::from(memfd_create("output", MemfdFlags::CLOEXEC).context("memfd_create")?);
        let mut words = self.prefix.iter().map(OsString::as_os_str).chain([binary.path.as_os_str()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        let has_threads = self.args.iter().any(|arg| arg.as_encoded_bytes().starts_with(b"--test-threads"));
        command.args((!has_threads).then_some(THREADS)).args(self.args);
        // Where `cargo test` runs them.
        command.current_dir(shell::workspace().join("tests")).stdin(Stdio::null());
        let copy = || output.try_clone().context("duplicating a file descriptor");
        command.stdout(copy()?).stderr(copy()?);
        let started = Instant::now();
        let status = command.status().with_context(|| format!("starting {}", binary.path.display()))?;
        let took = started.elapsed().as_secs_f64();
        let mut text = Vec::new();
        output
            .rewind()
            .and_then(|()| output.read_to_end(&mut text))
            .context("reading the output of a test")?;
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "\n     Ran {} in {took:.1} s", binary.name)
            .and_then(|()| stdout.write_all(&text))
            .and_then(|()| stdout.flush())
            .context("writing the output of a test")?;
        if status.success() { Ok(()) } else { bail!("{status}") }
    }
}

fn names(binaries: &[Artifact]) -> String {
    binaries.iter().map(|binary| binary.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Builds the test binaries as `cargo test` does; returns them sorted by name.
fn build() -> Result<Vec<Artifact>> {
    let mut cargo = shell::cargo();
    let mut built = artifacts::build(cargo.args(["test", "--no-run", "--package", "taskscope-tests"]))?;
    built.retain(|artifact| artifact.is_test);
    built.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(built)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_that_runs_alone_exists() {
        let manifest = std::fs::read_to_string(shell::workspace().join("tests/Cargo.toml")).unwrap();
        let folder = shell::workspace().join("tests/tests");
        for name in ALONE {
            let is_named = manifest.contains(&format!("name = {name:?}"));
            assert!(is_named || folder.join(name).join("main.rs").exists(), "no test binary {name}");
        }
    }
}
