//! The binaries that packages carry: one for each architecture, static, for any Linux.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::arch::Arch;
use crate::{build, cross, shell};

/// The cargo profile of packages.
const PROFILE: &str = "dist";

/// The text in a static C library that precedes its version.
const C_LIBRARY: &[u8] = b"GNU C Library (";

/// Builds the binary of all packages for `arch`.
pub(crate) fn fixed(arch: Arch) -> Result<PathBuf> {
    build::fixed(arch, PROFILE)
}

/// Creates a copy in `directory` without symbols and line tables, which are most of its size.
pub(super) fn stripped(arch: Arch, binary: &Path, directory: &Path) -> Result<PathBuf> {
    fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    let to = directory.join("taskscope");
    // These sections also contain names of this machine's directories.
    let sections = ["--remove-section=.comment", "--remove-section=.note"];
    shell::run(cross::strip(arch)?.args(sections).arg("-o").arg(&to).arg(binary))
        .context("strip comes with the C linker, in binutils")?;
    Ok(to)
}

/// Returns the distribution's version of the C library that is in a binary, such as `2.36-9+deb12u14`; `None` if none is.
pub(super) fn c_library(bytes: &[u8]) -> Option<String> {
    let at = bytes.windows(C_LIBRARY.len()).position(|window| window == C_LIBRARY)?;
    let rest = &bytes[at + C_LIBRARY.len()..];
    let end = rest.iter().take(100).position(|byte| *byte == b')')?;
    let name = std::str::from_utf8(&rest[..end]).ok()?;
    Some(name.split_whitespace().next_back()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::c_library;

    #[test]
    fn the_c_library_tells_its_version() {
        let bytes = b"\0GNU C Library (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36.\0";
        assert_eq!(c_library(bytes).as_deref(), Some("2.36-9+deb12u14"));
        assert_eq!(c_library(b"GNU C Library (no end"), None);
        assert_eq!(c_library(b""), None);
    }
}
