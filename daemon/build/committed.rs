//! The object that is committed, so that a build without an eBPF toolchain has the programs. `cargo xtask ebpf` makes it, and
//! includes this file.
//!
//! `daemon/ebpf/ARCH/` has the object and `built-from`, which has the hash of its sources, and the versions of the tools. Where the
//! sources have changed since, the build script compiles them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

/// Files and directories of the workspace from which the programs are compiled. The locked versions of [`DEPENDENCIES`] count too.
pub(crate) const SOURCES: [&str; 6] = [
    "probe-common/Cargo.toml",
    "probe-common/src",
    "probe-ebpf/Cargo.toml",
    "probe-ebpf/build.rs",
    "probe-ebpf/src",
    "daemon/build/compile.rs",
];

/// Prefix of the names of the packages that the programs contain.
const DEPENDENCIES: &str = "aya-";

/// What an object was built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BuiltFrom {
    /// [`hash_sources`].
    pub(crate) sources: String,
    /// [`hash`] of the object.
    pub(crate) object: String,
    /// The version of rustc, with its LLVM.
    pub(crate) compiler: String,
    /// The version of bpf-linker.
    pub(crate) linker: String,
}

impl BuiltFrom {
    /// The text of `built-from`.
    pub(crate) fn to_text(&self) -> String {
        let Self { sources, object, compiler, linker } = self;
        format!(
            "# written by `cargo xtask ebpf`\nsources = {sources}\nobject = {object}\ncompiler = {compiler}\nlinker = {linker}\n"
        )
    }

    /// The inverse of [`BuiltFrom::to_text`]; `None` if a line is missing.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let get = |wanted: &str| {
            let mut pairs = text.lines().filter_map(|line| line.split_once(" = "));
            pairs.find(|(key, _)| *key == wanted).map(|(_, value)| value.to_owned())
        };
        Some(Self {
            sources: get("sources")?,
            object: get("object")?,
            compiler: get("compiler")?,
            linker: get("linker")?,
        })
    }
}

/// The directory of the object for one architecture.
pub(crate) fn dir(daemon: &Path, arch: &str) -> PathBuf {
    daemon.join("ebpf").join(arch)
}

/// What the committed object was made of; `None` if there is none for this architecture.
pub(crate) fn load(dir: &Path) -> Option<BuiltFrom> {
    BuiltFrom::parse(&fs::read_to_string(dir.join("built-from")).ok()?)
}

/// SHA-256 in hexadecimal digits.
pub(crate) fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The hash of everything that the programs are compiled from.
pub(crate) fn hash_sources(workspace: &Path) -> Result<String> {
    let mut files = Vec::new();
    for source in SOURCES {
        list(&workspace.join(source), &mut files)?;
    }
    files.sort();
    let mut all = String::new();
    for file in files {
        let bytes = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        let name = file.strip_prefix(workspace).unwrap_or(&file);
        let _ = writeln!(all, "{} {}", name.display(), hash(&bytes));
    }
    let lock = workspace.join("Cargo.lock");
    let lock = fs::read_to_string(&lock).with_context(|| format!("reading {}", lock.display()))?;
    for package in
        lock.split("[[package]]").filter(|package| package.contains(&format!("name = \"{DEPENDENCIES}")))
    {
        let _ = writeln!(all, "{}", package.lines().take(3).collect::<Vec<_>>().join(" "));
    }
    Ok(hash(all.as_bytes()))
}

fn list(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path).with_context(|| format!("reading {}", path.display()))? {
        list(&entry.with_context(|| format!("reading {}", path.display()))?.path(), files)?;
    }
    Ok(())
}
