//! `cargo xtask build`: the release binary with the eBPF programs inside.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::arch::Arch;
use crate::{cross, ebpf, shell};

/// What `cargo xtask build` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build a static binary for this architecture, into target/TRIPLE/release
    #[arg(long, value_name = "ARCH")]
    target: Option<Arch>,
}

/// Runs `cargo xtask build`.
pub(crate) fn main(args: &Args) -> Result<()> {
    let binary = match args.target {
        None => release()?,
        Some(arch) => fixed(arch, "release")?,
    };
    eprintln!("built {}", binary.display());
    Ok(())
}

/// Builds the release binary for this machine and returns its path. If the committed object was built from other sources, first
/// makes the eBPF toolchain.
pub(crate) fn release() -> Result<PathBuf> {
    native("release", &[])
}

/// Builds the binary that `cargo xtask run` starts, with a profile that is compiled quickly, and without features that take long to
/// compile.
pub(crate) fn quick() -> Result<PathBuf> {
    native("quick", &["--no-default-features"])
}

fn native(profile: &str, args: &[&str]) -> Result<PathBuf> {
    ebpf::ensure(Arch::native()?)?;
    let mut cargo = shell::cargo();
    // With this variable, the binary would contain no eBPF programs.
    build(cargo.env_remove("AYA_BUILD_SKIP").arg("build").args(args), profile, Path::new(profile))
}

/// Builds a static binary for `arch`, which runs on any Linux.
pub(crate) fn fixed(arch: Arch, profile: &str) -> Result<PathBuf> {
    ebpf::ensure(arch)?;
    let mut cargo = cross::cargo(arch, "")?;
    build(cargo.args(["build", "--target", arch.triple()]), profile, &Path::new(arch.triple()).join(profile))
}

fn build(cargo: &mut Command, profile: &str, directory: &Path) -> Result<PathBuf> {
    shell::run(cargo.args(["--profile", profile, "--package", "taskscope"]))?;
    let binary = shell::target_dir().join(directory).join("taskscope");
    if !binary.is_file() {
        bail!("cargo succeeded and left no {}", binary.display());
    }
    Ok(binary)
}
