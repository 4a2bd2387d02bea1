//! Process 1 of a test guest.
//!
//! `cargo xtask vm` boots a kernel with nothing but an initramfs: this program as `/init`, the static `taskscope`, the scenario
//! programs, the integration test binaries and a manifest that says what to run. It mounts the file systems that tests expect,
//! runs one test binary after the other, reaps every orphan as an init must, writes one line per verdict to the second serial
//! port, and ends QEMU with an exit code.

mod child;
mod libtest;
mod manifest;
mod mounts;
mod orphans;
mod output;
mod power;
mod results;
mod suite;
mod together;

use anyhow::Context as _;

use crate::child::Reaper;
use crate::manifest::Manifest;
use crate::power::Verdict;
use crate::results::Results;

fn main() {
    if std::process::id() != 1 {
        eprintln!("guest-init runs only as process 1 of a test guest: use `cargo xtask vm`");
        std::process::exit(2);
    }
    let verdict = run().unwrap_or_else(|error| {
        eprintln!("guest-init: {error:#}");
        Verdict::Broken
    });
    power::leave(verdict);
}

fn run() -> anyhow::Result<Verdict> {
    let mut complaints = mounts::prepare()?;
    let manifest = Manifest::read("/manifest.json")?;
    complaints.extend(mounts::cgroups(manifest.cgroup_v1));
    let mut results = Results::open(&manifest.results)?;
    results.line(&["BOOT", &mounts::kernel_release()?])?;
    for complaint in complaints {
        results.line(&["NOTE", &complaint])?;
    }
    let reaper = Reaper::install().context("installing the SIGCHLD handler")?;
    suite::run(&manifest, &reaper, &mut results)
}
