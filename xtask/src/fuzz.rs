//! `cargo xtask fuzz`: libFuzzer on each target of `daemon/fuzz`, for some seconds each.
//!
//! The targets' bodies and corpora also run with the unit tests, on every change. This looks for new inputs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::shell;

/// Targets, and for how long.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Targets, by their files in `daemon/fuzz/fuzz_targets` [default: all]
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// Seconds that each target runs
    #[arg(long, default_value_t = 60, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
}

/// `cargo xtask fuzz`.
pub(crate) fn main(args: &Args) -> Result<()> {
    let home = shell::workspace().join("daemon/fuzz");
    let known = targets(&home.join("fuzz_targets"))?;
    let unknown = args.targets.iter().find(|target| !known.contains(target));
    if let Some(unknown) = unknown {
        bail!("no fuzz target is called {unknown}; there are {}", known.join(", "));
    }
    let chosen = if args.targets.is_empty() { &known } else { &args.targets };
    let mut failed = Vec::new();
    for target in chosen {
        if let Err(error) = run(&home, target, args.seconds) {
            eprintln!("fuzz: {target}: {error:#}");
            failed.push(target.as_str());
        }
    }
    if failed.is_empty() {
        println!("fuzz: {} targets, {} s each, no failure", chosen.len(), args.seconds);
        return Ok(());
    }
    bail!("fuzz targets failed: {}; the inputs are in {}", failed.join(", "), found().display())
}

/// Where new inputs and inputs that fail are written, a folder for each target.
fn found() -> PathBuf {
    shell::target_dir().join("fuzz/found")
}

fn targets(folder: &Path) -> Result<Vec<String>> {
    let listing = || format!("listing {}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(listing)? {
        let path = entry.with_context(listing)?.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// Runs one target. The corpus of the repository is read and not written.
fn run(home: &Path, target: &str, seconds: u32) -> Result<()> {
    let found = found().join(target);
    fs::create_dir_all(&found).with_context(|| format!("making {}", found.display()))?;
    let mut cargo = shell::cargo();
    // In its folder, because cargo takes the coverage flags from the configuration there.
    cargo.current_dir(home).args(["run", "--release", "--quiet", "--bin", target]);
    cargo.arg("--target-dir").arg(shell::target_dir().join("fuzz")).arg("--");
    cargo.arg(&found).arg(home.join("corpus").join(target));
    cargo.arg(format!("-max_total_time={seconds}")).arg("-print_final_stats=1");
    cargo.arg(format!("-artifact_prefix={}/failed-", found.display()));
    shell::run(&mut cargo)
}
