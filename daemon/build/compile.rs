//! Compiles the eBPF programs with the toolchain that `cargo xtask setup` found. `cargo xtask ebpf` includes this file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context as _, Result, bail};

use super::record::{Compiler, Record};

/// The eBPF package.
const PACKAGE: &str = "probe-ebpf";
/// Its binary.
pub(crate) const OBJECT: &str = "taskscope-probe";
/// The target of little-endian kernels: aya's other one is for big-endian ones, which taskscope does not support.
const TARGET: &str = "bpfel-unknown-none";

/// Compiles the programs of `workspace` for kernels of `arch` into `target_dir`; gives the object's path. `flags` are more flags
/// of rustc's.
pub(crate) fn compile(
    record: &Record,
    workspace: &Path,
    arch: &str,
    target_dir: &Path,
    flags: &[String],
) -> Result<PathBuf> {
    fs::create_dir_all(target_dir).with_context(|| format!("making {}", target_dir.display()))?;
    let mut rustflags = vec![
        format!("--cfg=bpf_target_arch=\"{arch}\""),
        "-Cdebuginfo=2".into(),
        "-Clink-arg=--btf".into(),
        // Otherwise LLVM sets and copies structures in loops over their bytes: half of all instructions that a life takes.
        "-Clink-arg=--disable-expand-memcpy-in-order".into(),
    ];
    rustflags.extend_from_slice(flags);
    let mut cargo = cargo(record)?;
    cargo
        .args(["build", "--quiet", "--release", "-Zbuild-std=core", "--bins"])
        .args(["--package", PACKAGE, "--target", TARGET, "--target-dir"])
        .arg(target_dir)
        .current_dir(workspace)
        // The object's path is the answer; what cargo says is for people.
        .stdout(Stdio::null())
        .stdin(Stdio::null())
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &record.linker)
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags.join("\x1f"));
    // These belong to the outer build: its compiler, its wrappers (clippy, coverage, caches), its directories.
    for key in [
        "RUSTC",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_WRAPPER",
        "CARGO_BUILD_RUSTC_WRAPPER",
        "CARGO_BUILD_BUILD_DIR",
        "CARGO_BUILD_TARGET",
    ] {
        cargo.env_remove(key);
    }
    let status = cargo.status().with_context(|| format!("starting cargo of {}", record.compiler))?;
    if !status.success() {
        bail!("compiling the eBPF programs failed ({status}); what the compiler said is above");
    }
    Ok(target_dir.join(TARGET).join("release").join(OBJECT))
}

/// The cargo of the toolchain.
fn cargo(record: &Record) -> Result<Command> {
    let mut cargo = match &record.compiler {
        Compiler::Rustup(name) => {
            let mut rustup = Command::new("rustup");
            rustup.args(["run", name, "cargo"]);
            rustup
        }
        Compiler::Directory(dir) => {
            let mut cargo = Command::new(dir.join("cargo"));
            let path = env::var_os("PATH").unwrap_or_default();
            let path: OsString = env::join_paths([dir.clone()].into_iter().chain(env::split_paths(&path)))
                .with_context(|| format!("{} in PATH", dir.display()))?;
            cargo.env("PATH", path);
            cargo
        }
    };
    if record.bootstrap {
        cargo.env("RUSTC_BOOTSTRAP", "1");
    } else {
        cargo.env_remove("RUSTC_BOOTSTRAP");
    }
    Ok(cargo)
}
