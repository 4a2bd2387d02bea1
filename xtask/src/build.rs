//! `cargo xtask build`: the release binary with the eBPF programs inside.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::{ebpf, shell};

/// Builds the release binary, after the eBPF toolchain if the committed object is of other sources; returns its path.
pub(crate) fn release() -> Result<PathBuf> {
    ebpf::ensure()?;
    shell::run(
        // With this set the binary would come without its programs.
        shell::cargo().env_remove("AYA_BUILD_SKIP").args(["build", "--release", "--package", "taskscope"]),
    )?;
    let binary = shell::target_dir().join("release/taskscope");
    if !binary.is_file() {
        bail!("cargo succeeded and left no {}", binary.display());
    }
    Ok(binary)
}
