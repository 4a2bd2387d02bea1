//! Leaves the eBPF object as `taskscope-probe` in `OUT_DIR`, where the daemon embeds it, and beside it the files of the web page.
//!
//! The committed object is used if it was made of these sources, or if they are not here, as in a package of this crate. Otherwise
//! the programs are compiled, by the compiler and linker that `cargo xtask setup` found. With `AYA_BUILD_SKIP=1` the object is an
//! empty file: enough to check, lint and document the daemon, which refuses to observe with it.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};

#[allow(dead_code, reason = "`cargo xtask ebpf` writes what is only read here")]
mod committed;
mod compile;
mod page;
#[allow(dead_code, reason = "setup writes what is only read here")]
mod record;

use compile::OBJECT;
use record::Record;

/// Set to 1 to build without an eBPF toolchain.
const SKIP: &str = "AYA_BUILD_SKIP";

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            println!("cargo::error={}", format!("{err:#}").replace('\n', " "));
            // The line above makes cargo fail the build. With a status of 0, cargo prints nothing more.
            ExitCode::SUCCESS
        }
    }
}

fn build() -> Result<()> {
    let out_dir =
        PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is not set: this is a cargo build script")?);
    let daemon = Path::new(env!("CARGO_MANIFEST_DIR"));
    page::build(daemon, &out_dir)?;
    let embedded = out_dir.join(OBJECT);
    println!("cargo::rerun-if-env-changed={SKIP}");
    if env::var_os(SKIP).is_some_and(|skip| skip == "1" || skip.eq_ignore_ascii_case("true")) {
        println!(
            "cargo::warning={SKIP} is set: taskscope comes without its eBPF programs and will not observe"
        );
        return fs::write(&embedded, []).with_context(|| format!("writing {}", embedded.display()));
    }

    let arch = env::var("CARGO_CFG_TARGET_ARCH").context("CARGO_CFG_TARGET_ARCH")?;
    let dir = committed::dir(daemon, &arch);
    let built_from = committed::load(&dir);
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=ebpf");
    let workspace = daemon.parent().filter(|workspace| workspace.join("probe-ebpf/Cargo.toml").is_file());
    if let Some(workspace) = workspace {
        for input in committed::SOURCES.into_iter().chain(["Cargo.lock"]) {
            println!("cargo::rerun-if-changed={}", workspace.join(input).display());
        }
        let sources = committed::hash_sources(workspace)?;
        if built_from.is_none_or(|built_from| built_from.sources != sources) {
            return copy(&compile_here(workspace, &arch, &out_dir)?, &embedded);
        }
    } else if built_from.is_none() {
        bail!("this package has no eBPF programs for {arch}: build taskscope in a clone of its repository");
    }
    copy(&dir.join(OBJECT), &embedded)
}

fn compile_here(workspace: &Path, arch: &str, out_dir: &Path) -> Result<PathBuf> {
    for variable in ["XDG_CACHE_HOME", "HOME"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let path = Record::path().map_err(|err| anyhow!(err))?;
    println!("cargo::rerun-if-changed={}", path.display());
    let record = Record::load().map_err(|err| {
        anyhow!("the eBPF programs have changed, and there is no toolchain for them ({err}): run `cargo xtask setup`")
    })?;
    let shared = shared_dir(out_dir, arch);
    fs::create_dir_all(&shared).with_context(|| format!("making {}", shared.display()))?;
    // Two cargo runs for different profiles may come here at once.
    let lock = File::create(shared.join("lock")).context("making the lock of the eBPF build")?;
    lock.lock().context("waiting for another eBPF build")?;
    compile::compile(&record, workspace, arch, &shared, &[])
}

/// Where the eBPF build keeps its artifacts: once in the target directory, since the object is the same for every profile
/// and target of one architecture, and compiling `core` is what takes the time.
fn shared_dir(out_dir: &Path, arch: &str) -> PathBuf {
    let target = out_dir.ancestors().find(|dir| dir.join("CACHEDIR.TAG").is_file());
    target.unwrap_or(out_dir).join("ebpf").join(arch)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    Ok(())
}
