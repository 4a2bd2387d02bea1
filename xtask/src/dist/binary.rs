//! The binaries that packages carry.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::arch::Arch;
use crate::{ebpf, shell};

const TARGET: &str = concat!("x86_64", "-unknown-linux-gnu");

/// Builds a binary that is linked with the C library of this machine.
pub(crate) fn dynamic() -> Result<PathBuf> {
    build(None, "dist/taskscope")
}

/// Builds a static binary, for any Linux.
pub(super) fn fixed() -> Result<PathBuf> {
    build(Some("-C target-feature=+crt-static"), &format!("{TARGET}/dist/taskscope"))
}

fn build(flags: Option<&str>, place: &str) -> Result<PathBuf> {
    ebpf::ensure(Arch::native()?)?;
    let mut cargo = shell::cargo();
    cargo.args(["build", "--profile", "dist", "--package", "taskscope"]);
    // With this variable, the binary would contain no eBPF programs.
    cargo.env_remove("AYA_BUILD_SKIP");
    if let Some(flags) = flags {
        // These flags are for this target only; build scripts and the eBPF object are built without them.
        cargo.args(["--target", TARGET]).env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", flags);
        cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    }
    shell::run(&mut cargo)?;
    let binary = shell::target_dir().join(place);
    if !binary.is_file() {
        bail!("cargo succeeded and left no {}", binary.display());
    }
    Ok(binary)
}

/// Creates a copy in `directory` without symbols and line tables, which are most of its size.
pub(super) fn stripped(binary: &Path, directory: &Path) -> Result<PathBuf> {
    fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    let to = directory.join("taskscope");
    // These sections also contain names of this machine's directories.
    let sections = ["--remove-section=.comment", "--remove-section=.note"];
    shell::run(Command::new("strip").args(sections).arg("-o").arg(&to).arg(binary))
        .context("strip comes with the C linker, in binutils")?;
    Ok(to)
}

/// Returns the newest version of the C library that a binary needs, such as `2.34`; `None` if it is static.
pub(super) fn c_library(binary: &Path) -> Result<Option<String>> {
    let bytes = fs::read(binary).with_context(|| format!("reading {}", binary.display()))?;
    Ok(newest_glibc(&bytes))
}

/// Finds the newest symbol version; the dynamic string table has them as `GLIBC_2.34` with a NUL.
fn newest_glibc(bytes: &[u8]) -> Option<String> {
    const MARK: &[u8] = b"GLIBC_2.";
    let mut newest = None;
    for (at, _) in bytes.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK) {
        let rest = &bytes[at + MARK.len()..];
        let end = rest.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.').unwrap_or(0);
        let numbers: Option<Vec<u32>> =
            std::str::from_utf8(&rest[..end]).ok()?.split('.').map(|part| part.parse().ok()).collect();
        if rest.get(end) == Some(&0) && numbers.is_some() {
            newest = newest.max(numbers);
        }
    }
    newest.map(|numbers: Vec<u32>| {
        let parts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        format!("2.{}", parts.join("."))
    })
}

#[cfg(test)]
mod tests {
    use super::newest_glibc;

    #[test]
    fn the_newest_version_counts_by_number() {
        let bytes = b"\0GLIBC_2.9\0x\0GLIBC_2.34\0GLIBC_2.2.5\0 GLIBC_2.99 in a text \0GLIBC_2.\0";
        assert_eq!(newest_glibc(bytes).as_deref(), Some("2.34"));
        assert_eq!(newest_glibc(b"GLIBC_"), None);
        assert_eq!(newest_glibc(b"GLIBC_2."), None);
    }
}
