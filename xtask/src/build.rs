//! `cargo xtask build`: the release binary with the eBPF programs inside.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::{ebpf, shell};

/// Builds the release binary and returns its path. If the committed object was built from other sources, first makes the eBPF
/// toolchain.
pub(crate) fn release() -> Result<PathBuf> {
    ebpf::ensure()?;
    shell::run(
        // With this variable, the binary would contain no eBPF programs.
        shell::cargo().env_remove("AYA_BUILD_SKIP").args(["build", "--release", "--package", "taskscope"]),
    )?;
    let binary = shell::target_dir().join("release/taskscope");
    if !binary.is_file() {
        bail!("cargo succeeded and left no {}", binary.display());
    }
    Ok(binary)
}
