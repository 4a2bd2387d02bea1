//! `cargo xtask ci`: the checks that a change must pass.

use anyhow::Result;

use crate::steps::Steps;
use crate::{ebpf, shell, test};

/// Runs `cargo xtask ci`.
pub(crate) fn main(args: &test::Args) -> Result<()> {
    let mut steps = Steps::new();
    steps.step("format", || shell::run(shell::cargo().args(["fmt", "--all", "--check"])))?;
    // Before clippy, because the build scripts use the object.
    steps.step("eBPF object", ebpf::check)?;
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
    })?;
    test::all(&mut steps, args)?;
    steps.finish("ci");
    Ok(())
}
