//! Runs one step after the other, with a verdict for each, up to the first failure.

use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::Context as _;

use crate::power::Verdict;
use crate::results::Results;
use crate::systemctl;

/// These words take the places of the family and the test binary in guest-init's results.
const FAMILY: &str = "systemd";
const PROGRAM: &str = "deb";

/// Name and function of a step.
pub(crate) type Step = (&'static str, fn(&mut Run) -> anyhow::Result<()>);

/// The run, with the facts that steps pass to later steps.
pub(crate) struct Run {
    results: Results,
    /// The number of eBPF programs that observe before the daemon starts, such as systemd's.
    pub(crate) programs_before: Option<usize>,
}

impl Run {
    pub(crate) fn open(port: &str) -> anyhow::Result<Self> {
        const RELEASE: &str = "/proc/sys/kernel/osrelease";
        let mut results = Results::open(port)?;
        let release = fs::read_to_string(RELEASE).with_context(|| format!("reading {RELEASE}"))?;
        results.line(&["BOOT", release.trim()])?;
        Ok(Self { results, programs_before: None })
    }

    pub(crate) fn all(&mut self, steps: &[Step]) -> anyhow::Result<Verdict> {
        let mut passed = 0;
        let mut verdict = Verdict::Passed;
        for (name, step) in steps {
            self.results.line(&["START", FAMILY, PROGRAM, name])?;
            let started = Instant::now();
            let outcome = step(self);
            let took = started.elapsed().as_millis().to_string();
            if let Err(error) = outcome {
                println!("guest-init: OUTPUT {FAMILY} {PROGRAM} {name}");
                println!("{}", systemctl::circumstances());
                self.results.line(&["FAIL", FAMILY, PROGRAM, name, &took, &format!("{error:#}")])?;
                verdict = Verdict::Failed;
                break;
            }
            passed += 1;
            self.results.line(&["PASS", FAMILY, PROGRAM, name, &took])?;
        }
        let failed = u8::from(verdict == Verdict::Failed);
        self.results.line(&["END", &passed.to_string(), &failed.to_string(), "0", "0"])?;
        Ok(verdict)
    }

    /// Writes a line for the table.
    pub(crate) fn report(&mut self, key: &str, value: impl std::fmt::Display) -> anyhow::Result<()> {
        self.results.line(&["REPORT", FAMILY, &format!("{key}={value}")])
    }
}

/// Asks until there is an answer; the reason of the last failure becomes the error.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    const LIMIT: Duration = Duration::from_secs(60);
    let end = Instant::now() + LIMIT;
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(error) if Instant::now() >= end => {
                return Err(error).with_context(|| format!("waited {} s until {what}", LIMIT.as_secs()));
            }
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}
