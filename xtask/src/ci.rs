//! `cargo xtask ci`: the checks that a change must pass.

use std::thread;

use anyhow::{Result, anyhow};

use crate::steps::Steps;
use crate::{ebpf, shell, test};

/// Runs `cargo xtask ci`.
pub(crate) fn main(args: &test::Args) -> Result<()> {
    let mut steps = Steps::new();
    steps.step("format", || shell::run(shell::cargo().args(["fmt", "--all", "--check"])))?;
    thread::scope(|scope| {
        // Mostly one compiler at a time builds the object, so it is built beside the lints.
        let object = scope.spawn(ebpf::check);
        let lints = lints(&mut steps);
        steps.step("eBPF object", || object.join().map_err(|_| anyhow!("the thread panicked"))?)?;
        lints
    })?;
    test::all(&mut steps, args)?;
    steps.finish("ci");
    Ok(())
}

/// Runs clippy, and builds the documentation.
fn lints(steps: &mut Steps) -> Result<()> {
    steps.step("clippy", || {
        shell::run(shell::cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--features",
            test::FEATURES,
            "--",
            "--deny",
            "warnings",
        ]))
    })?;
    steps.step("documentation", || {
        let mut cargo = shell::cargo();
        cargo.env("RUSTDOCFLAGS", "--deny warnings");
        // With the features of the lints, whose metadata of dependencies are used again.
        let features = ["--features", test::FEATURES];
        shell::run(cargo.args(["doc", "--workspace", "--no-deps", "--document-private-items"]).args(features))
    })
}
