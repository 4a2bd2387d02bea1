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
        shell::run(cargo.args(["doc", "--workspace", "--no-deps", "--document-private-items"]))
    })?;
    test::all(&mut steps, args)?;
    steps.finish("ci");
    Ok(())
}
