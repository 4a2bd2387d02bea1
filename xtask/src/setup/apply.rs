//! Carries out a plan. Reports on stderr what it does and why, and asks no questions.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, bail};

use super::choose::Plan;
use super::record::{Record, cache_dir};
use super::{BPF_LINKER, BPF_LINKER_VERSION, LINKED};
use crate::shell::{self, as_root};

/// Carries out one plan; [`Plan::Ready`] writes the record.
pub(crate) fn apply(plan: &Plan) -> Result<()> {
    match plan {
        Plan::Ready(record) => write(record),
        Plan::Refresh => {
            say("fetching Debian's package index, which does not know the compiler's packages yet");
            apt_get(&["update"])
        }
        Plan::Install(packages) => {
            say(&format!(
                "installing the Debian packages {}: a Rust compiler for the BPF target, the source of exactly its \
                 core library, its LLVM",
                packages.join(" ")
            ));
            install(&packages.iter().map(String::as_str).collect::<Vec<_>>())
        }
        Plan::Link => {
            say(&format!(
                "linking the compiler in /usr into rustup as {LINKED}, beside the default toolchain"
            ));
            shell::run(Command::new("rustup").args(["toolchain", "link", LINKED, "/usr"]))
        }
        Plan::BuildLinker { llvm, library } => {
            say(&format!(
                "building bpf-linker for LLVM {llvm}, which makes the BPF object; once for this user"
            ));
            build_linker(*llvm, library)
        }
    }
}

/// Prints a line of progress.
pub(super) fn say(what: &str) {
    eprintln!("setup: {what}");
}

/// Installs packages without removing any. If that fails, fetches the package index, which can be older than the archive, and tries
/// again.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    let mut args = vec!["install", "--yes", "--no-install-recommends", "--no-remove"];
    args.extend(packages);
    if apt_get(&args).is_ok() {
        return Ok(());
    }
    say("the installation failed; trying again with a fresh package index");
    apt_get(&["update"])?;
    apt_get(&args)
}

/// Returns apt-get as root, without questions; it waits for a lock that another apt holds.
fn apt_get(args: &[&str]) -> Result<()> {
    let quiet: (&str, &OsStr) = ("DEBIAN_FRONTEND", "noninteractive".as_ref());
    let mut cmd = as_root("installing packages", &[quiet], "apt-get".as_ref())?;
    shell::run(cmd.args(["--quiet", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0"]).args(args))
}

/// Builds bpf-linker into the cache. Of LLVM it needs only the shared library, under the name that a C linker looks for. LLVM's
/// development packages would provide that too, but take half a gigabyte.
fn build_linker(llvm: u32, library: &Path) -> Result<()> {
    let version = BPF_LINKER_VERSION.map(|number| number.to_string()).join(".");
    let root = cache_dir().map_err(|err| anyhow!(err))?.join(format!("{BPF_LINKER}-{version}-llvm-{llvm}"));
    let lib = root.join("lib");
    fs::create_dir_all(&lib).with_context(|| format!("making {}", lib.display()))?;
    let library = fs::canonicalize(library).with_context(|| format!("resolving {}", library.display()))?;
    // The library is linked under its own name too, because bpf-linker looks for it here at run time, before the system's
    // directories.
    let own_name = library.file_name().with_context(|| format!("{} has no file name", library.display()))?;
    for name in [OsStr::new("libLLVM.so"), own_name] {
        link(&library, &lib.join(name))?;
    }
    let mut cargo = shell::cargo();
    // Settings of this workspace and of the caller must not affect a tool in the user's cache.
    for key in ["CARGO_TARGET_DIR", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER"] {
        cargo.env_remove(key);
    }
    cargo
        .current_dir(&root)
        .env("LLVM_PREFIX", &root)
        // Without optimization it is built in 18 s instead of 43 s and runs as fast, because LLVM's code does most of the work.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
        .args(["install", "--quiet", "--locked", "--force", BPF_LINKER, "--version", &version])
        .args(["--no-default-features", "--features", &format!("llvm-{llvm}"), "--root"])
        .arg(&root);
    shell::run(&mut cargo)
}

/// Makes `link` a symbolic link to `target`, whatever it was before.
fn link(target: &Path, link: &Path) -> Result<()> {
    match fs::remove_file(link) {
        Err(err) if err.kind() != std::io::ErrorKind::NotFound => {
            return Err(err).with_context(|| format!("removing {}", link.display()));
        }
        _ => {}
    }
    std::os::unix::fs::symlink(target, link).with_context(|| format!("linking {}", link.display()))
}

/// Writes the record atomically. Does not write an equal record, because the eBPF build depends on the file's time.
fn write(record: &Record) -> Result<()> {
    let path = Record::path().map_err(|err| anyhow!(err))?;
    let text = record.to_text();
    if Record::parse(&text).as_ref() != Some(record) {
        bail!("{} cannot hold this: {text}", path.display());
    }
    if fs::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let dir = path.parent().unwrap_or(&path);
    fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    let new = path.with_extension(format!("new-{}", std::process::id()));
    fs::write(&new, text).with_context(|| format!("writing {}", new.display()))?;
    fs::rename(&new, &path).with_context(|| format!("renaming {} to {}", new.display(), path.display()))
}
