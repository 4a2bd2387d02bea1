//! Compiles the eBPF programs and leaves the object as `taskscope-probe` in `OUT_DIR`, where the daemon embeds it.
//!
//! Which compiler and linker is `cargo xtask setup`'s finding. With `AYA_BUILD_SKIP=1` the object is an empty file: enough
//! to check, lint and document the daemon, which refuses to observe with it.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow};
use aya_build::{Package, Toolchain};

#[path = "../xtask/src/setup/record.rs"]
#[allow(dead_code, reason = "setup writes what is only read here")]
mod record;

use record::{Compiler, Record};

/// The eBPF package, beside the daemon's.
const PROBE: &str = "probe-ebpf";
/// Its binary.
const OBJECT: &str = "taskscope-probe";
/// Set to 1 to build without an eBPF toolchain.
const SKIP: &str = "AYA_BUILD_SKIP";

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            println!("cargo::error={}", format!("{err:#}").replace('\n', " "));
            // cargo fails the build for the line above, and with this status prints nothing more.
            ExitCode::SUCCESS
        }
    }
}

fn build() -> Result<()> {
    let out_dir =
        PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is not set: this is a cargo build script")?);
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={SKIP}");
    if env::var_os(SKIP).is_some_and(|skip| skip == "1" || skip.eq_ignore_ascii_case("true")) {
        println!(
            "cargo::warning={SKIP} is set: taskscope comes without its eBPF programs and will not observe"
        );
        let empty = out_dir.join(OBJECT);
        return fs::write(&empty, []).with_context(|| format!("writing {}", empty.display()));
    }

    let workspace =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the daemon has no workspace around it")?;
    for input in ["probe-ebpf", "probe-common", "Cargo.toml", "Cargo.lock", "xtask/src/setup/record.rs"] {
        println!("cargo::rerun-if-changed={}", workspace.join(input).display());
    }
    for variable in ["XDG_CACHE_HOME", "HOME"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let record = Record::path().map_err(|err| anyhow!(err)).and_then(|path| {
        println!("cargo::rerun-if-changed={}", path.display());
        Record::load().map_err(|err| anyhow!("no eBPF toolchain ({err}): run `cargo xtask setup`"))
    })?;
    compile(&record, workspace, &out_dir)
}

/// Has aya-build compile the programs, and copies the object to `out_dir`.
fn compile(record: &Record, workspace: &Path, out_dir: &Path) -> Result<()> {
    let shared = shared_dir(out_dir)?;
    fs::create_dir_all(&shared).with_context(|| format!("making {}", shared.display()))?;
    // Two cargo runs for different profiles may come here at once.
    let lock = File::create(shared.join("lock")).context("making the lock of the eBPF build")?;
    lock.lock().context("waiting for another eBPF build")?;

    set_environment(record, &shared)?;
    let root_dir = workspace.join(PROBE);
    let root_dir = root_dir.to_str().with_context(|| format!("{} is not UTF-8", root_dir.display()))?;
    let toolchain = match &record.compiler {
        Compiler::Rustup(name) => Toolchain::Custom(name),
        // There is no rustup then, and aya-build takes what is on PATH.
        Compiler::Directory(_) => Toolchain::Nightly,
    };
    aya_build::build_ebpf([Package { name: PROBE, root_dir, ..Package::default() }], toolchain)
        .context("compiling the eBPF programs failed; what the compiler said is above")?;
    let (from, to) = (shared.join(OBJECT), out_dir.join(OBJECT));
    fs::copy(&from, &to).with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// Where the eBPF build keeps its artifacts: once in the target directory, since the object is the same for every profile
/// and target of one architecture, and compiling `core` and the build dependencies is what takes the time.
fn shared_dir(out_dir: &Path) -> Result<PathBuf> {
    let arch = env::var("CARGO_CFG_TARGET_ARCH").context("CARGO_CFG_TARGET_ARCH")?;
    let target = out_dir.ancestors().find(|dir| dir.join("CACHEDIR.TAG").is_file());
    Ok(target.unwrap_or(out_dir).join("ebpf").join(arch))
}

/// aya-build takes its settings from the environment, and hands ours on to the cargo that it starts.
fn set_environment(record: &Record, shared: &Path) -> Result<()> {
    let mut set: Vec<(&str, OsString)> = vec![
        ("OUT_DIR", shared.into()),
        ("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", record.linker.clone().into()),
        // aya-build repeats each line of cargo's as a warning; errors and lints of the programs remain.
        ("CARGO_TERM_QUIET", "true".into()),
    ];
    if record.bootstrap {
        set.push(("RUSTC_BOOTSTRAP", "1".into()));
    }
    if let Compiler::Directory(dir) = &record.compiler {
        let path = env::var_os("PATH").unwrap_or_default();
        set.push(("PATH", env::join_paths([dir.clone()].into_iter().chain(env::split_paths(&path)))?));
    }
    // Wrappers belong to the compiler of the outer build (clippy, coverage, caches), build-dir to its cargo.
    let removed = ["RUSTC_WRAPPER", "CARGO_BUILD_RUSTC_WRAPPER", "CARGO_BUILD_BUILD_DIR", "RUSTC_BOOTSTRAP"];
    let removed = removed.into_iter().filter(|key| set.iter().all(|(other, _)| other != key));
    for key in removed {
        // SAFETY: this process has one thread until aya-build starts its own.
        unsafe { env::remove_var(key) };
    }
    for (key, value) in &set {
        // SAFETY: as above.
        unsafe { env::set_var(key, value) };
    }
    Ok(())
}
