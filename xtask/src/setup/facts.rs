//! Facts about the eBPF toolchain of this machine. Nothing is decided or changed here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::debian::{Debian, numbers};
use super::record::{Compiler, cache_dir, fingerprint};
use super::{BPF_LINKER, LINKED};
use crate::shell::{Root, answer, root, which};

/// The facts from which [`choose`](super::choose::choose) decides.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Whether rustup is installed.
    pub(crate) rustup: bool,
    /// rustup's nightly toolchains.
    pub(crate) nightlies: Vec<Rustc>,
    /// The distribution's compiler in /usr/bin.
    pub(crate) system: Option<Rustc>,
    /// Whether rustup knows the distribution's compiler under the name [`LINKED`].
    pub(crate) linked: bool,
    /// The bpf-linkers that start: those built by setup, and the one on `PATH`.
    pub(crate) linkers: Vec<Linker>,
    /// LLVM's shared libraries by major version.
    pub(crate) llvm: BTreeMap<u32, PathBuf>,
    /// Facts from Debian's package manager, if there is one.
    pub(crate) debian: Option<Debian>,
    /// Whether we are root or there is sudo.
    pub(crate) may_install: bool,
}

/// A Rust compiler with its cargo.
#[derive(Clone, Debug)]
pub(crate) struct Rustc {
    /// The command that runs it.
    pub(crate) compiler: Compiler,
    /// See [`fingerprint`].
    pub(crate) fingerprint: String,
    /// Major and minor version.
    pub(crate) version: (u32, u32),
    /// Major version of its LLVM.
    pub(crate) llvm: u32,
    /// The source of its `core` in the same version, if that is installed.
    pub(crate) core: Option<PathBuf>,
}

/// A bpf-linker that starts.
#[derive(Clone, Debug)]
pub(crate) struct Linker {
    /// The program.
    pub(crate) path: PathBuf,
    /// Its own version.
    pub(crate) version: Vec<u32>,
    /// Major version of its LLVM.
    pub(crate) llvm: u32,
}

impl Facts {
    /// Reads the facts, in about a second; called only if there is no valid record. `refreshed` means that this setup has fetched
    /// the package index.
    pub(crate) fn gather(refreshed: bool) -> Self {
        let rustup = which("rustup").is_some();
        let system = system();
        let linked = rustup
            && system.as_ref().is_some_and(|system| {
                let linked = Compiler::Rustup(LINKED.to_owned());
                answer(linked.rustc().arg("-vV")).is_some_and(|text| fingerprint(&text) == system.fingerprint)
            });
        Self {
            rustup,
            nightlies: if rustup { nightlies() } else { Vec::new() },
            system,
            linked,
            linkers: linkers(),
            llvm: llvm_libraries(),
            debian: Debian::read(refreshed),
            may_install: root() != Root::No,
        }
    }
}

/// Returns rustup's nightly toolchains; the one named `nightly` comes before dated ones.
fn nightlies() -> Vec<Rustc> {
    let list = answer(Command::new("rustup").args(["toolchain", "list"])).unwrap_or_default();
    let mut names: Vec<_> = list.lines().filter_map(|line| line.split(' ').next()).collect();
    names.retain(|name| name.starts_with("nightly"));
    names.sort_by_key(|name| name.starts_with("nightly-2"));
    names.into_iter().filter_map(|name| rustc(Compiler::Rustup(name.to_owned()))).collect()
}

/// Returns the distribution's compiler, if its cargo is installed too.
fn system() -> Option<Rustc> {
    let dir = Path::new("/usr/bin");
    let theirs = |name: &str| {
        // A link to rustup is not a compiler of the distribution.
        std::fs::canonicalize(dir.join(name))
            .is_ok_and(|path| !path.ends_with("rustup") && !path.ends_with("rustup-init"))
    };
    if !(theirs("rustc") && theirs("cargo")) {
        return None;
    }
    rustc(Compiler::Directory(dir.to_owned()))
}

/// Reads the version of this rustc; `None` if it does not start.
fn rustc(compiler: Compiler) -> Option<Rustc> {
    let text = answer(compiler.rustc().arg("-vV"))?;
    let release = field(&text, "release: ")?;
    let llvm = field(&text, "LLVM version: ")?;
    let sysroot = answer(compiler.rustc().args(["--print", "sysroot"]))?;
    let source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust");
    let version = numbers(release);
    Some(Rustc {
        fingerprint: fingerprint(&text),
        version: (*version.first()?, *version.get(1)?),
        llvm: *numbers(llvm).first()?,
        core: core_source(&source, release),
        compiler,
    })
}

/// Returns the source of `core` below `source`, unless it is of another release: Debian links `rustlib/src/rust` to
/// `/usr/src/rustc-RELEASE`, and the two packages can be upgraded separately.
fn core_source(source: &Path, release: &str) -> Option<PathBuf> {
    let real = std::fs::canonicalize(source).ok()?;
    let other = real
        .file_name()
        .and_then(|name| name.to_str()?.strip_prefix("rustc-"))
        .is_some_and(|its_release| its_release != release);
    let core = source.join("library/core");
    (!other && core.join("Cargo.toml").is_file()).then_some(core)
}

/// Returns the bpf-linkers that start; the ones built by setup come first.
fn linkers() -> Vec<Linker> {
    let ours = cache_dir().ok().and_then(|dir| std::fs::read_dir(dir).ok()).into_iter().flatten().flatten();
    let ours = ours.map(|entry| entry.path().join("bin").join(BPF_LINKER));
    ours.chain(which(BPF_LINKER)).filter_map(linker).collect()
}

/// Reads the versions of the bpf-linker at `path` and of its LLVM; `None` if it does not start.
fn linker(path: PathBuf) -> Option<Linker> {
    let version = answer(Command::new(&path).arg("--version"))?;
    // `--version` does not contain the version of LLVM. LLVM's own option prints it and exits before anything is linked.
    let llvm = answer(Command::new(&path).args(["--llvm-args=--version", "-o", "/dev/null", "/dev/null"]))?;
    Some(Linker {
        version: numbers(version.trim().strip_prefix(BPF_LINKER)?),
        llvm: *numbers(llvm.split_once("LLVM version ")?.1).first()?,
        path,
    })
}

/// Returns LLVM's shared libraries in the directories of distributions.
fn llvm_libraries() -> BTreeMap<u32, PathBuf> {
    let mut dirs = BTreeSet::from([PathBuf::from("/usr/lib"), PathBuf::from("/usr/lib64")]);
    for entry in std::fs::read_dir("/usr/lib").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // This takes Debian's directory of this machine's architecture, not that of a foreign one.
        if name.starts_with(std::env::consts::ARCH) && name.contains("-linux-") {
            dirs.insert(entry.path());
        } else if name.starts_with("llvm-") {
            dirs.insert(entry.path().join("lib"));
        }
    }
    let files = dirs.iter().filter_map(|dir| std::fs::read_dir(dir).ok()).flatten().flatten();
    files.filter_map(|entry| Some((llvm_library(entry.file_name().to_str()?)?, entry.path()))).collect()
}

/// Returns the major version in the file name of an LLVM shared library: `libLLVM.so.22.1`, `libLLVM-22.so`.
fn llvm_library(name: &str) -> Option<u32> {
    let rest = name.strip_prefix("libLLVM")?;
    let version = rest.strip_prefix(".so.").or_else(|| rest.strip_prefix('-')?.strip_suffix(".so"))?;
    // `libLLVM.so.1` is a link for compatibility and no version of LLVM.
    numbers(version).first().copied().filter(|major| *major > 1)
}

/// Returns the text after `key` on its line.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_a_version_end_where_its_suffix_begins() {
        assert_eq!(numbers("1.97.0-nightly"), [1, 97, 0]);
        assert_eq!(numbers(" 0.13.0\n"), [0, 13, 0]);
        assert_eq!(numbers("22.1.8"), [22, 1, 8]);
        assert_eq!(numbers("1.96.0+dfsg1-1~deb12u2"), [1, 96, 0]);
        assert_eq!(numbers("(none)"), [] as [u32; 0]);
    }

    #[test]
    fn llvm_libraries_are_reported_by_their_names() {
        for (name, major) in [
            ("libLLVM.so.22.1", Some(22)),
            ("libLLVM-22.so", Some(22)),
            ("libLLVM-14.0.6.so.1", None),
            ("libLLVM.so.1", None),
            ("libLLVM.so", None),
            ("libLLVMCore.a", None),
        ] {
            assert_eq!(llvm_library(name), major, "{name}");
        }
    }

    #[test]
    fn core_of_another_release_does_not_count() -> std::io::Result<()> {
        let dir = std::env::temp_dir().join(format!("taskscope-core-source-{}", std::process::id()));
        let real = dir.join("rustc-1.96.0");
        std::fs::create_dir_all(real.join("library/core"))?;
        std::fs::write(real.join("library/core/Cargo.toml"), "")?;
        let link = dir.join("rust");
        std::os::unix::fs::symlink(&real, &link)?;
        let (same, other) = (core_source(&link, "1.96.0"), core_source(&link, "1.97.0"));
        std::fs::remove_dir_all(&dir)?;
        assert_eq!(same, Some(link.join("library/core")));
        assert_eq!(other, None);
        Ok(())
    }
}
