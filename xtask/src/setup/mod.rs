//! Finds or installs a toolchain that compiles for `bpfel-unknown-none`.
//!
//! [`facts`] reads what the machine has, [`choose`] decides on the next step, [`apply`] takes it, until the toolchain is complete;
//! [`record`] keeps the result. There are two ways: a rustup nightly with rust-src, or Debian's compiler with its source.

use std::ops::RangeInclusive;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

mod apply;
mod choose;
mod debian;
mod facts;
#[path = "../../../daemon/build/record.rs"]
pub(crate) mod record;

use choose::Plan;
use facts::Facts;
pub(crate) use record::Record;

/// The linker's name, as a crate and as a program.
const BPF_LINKER: &str = "bpf-linker";

/// The version of bpf-linker that setup builds, and the oldest that it accepts.
const BPF_LINKER_VERSION: [u32; 3] = [0, 13, 0];

/// The LLVM versions that this bpf-linker has a feature for.
const LLVM_SUPPORTED: RangeInclusive<u32> = 21..=23;

/// The toolchain name of the distribution's compiler in rustup.
const LINKED: &str = "taskscope-ebpf";

/// Returns the name of Debian's package with LLVM's shared library.
fn llvm_package(major: u32) -> String {
    format!("libllvm{major}")
}

/// Returns the eBPF toolchain, and makes it if needed. Prints nothing and returns quickly if there is a valid record.
pub(crate) fn ensure() -> Result<Record> {
    let reason = match Record::load() {
        Ok(record) => return Ok(record),
        Err(reason) => reason,
    };
    apply::say(&format!("looking for an eBPF toolchain ({reason})"));
    let start = Instant::now();
    let record = make()?;
    apply::say(&format!("done in {:.1} s", start.elapsed().as_secs_f64()));
    Ok(record)
}

/// Takes one step after the other until the toolchain is complete: package index, packages, link, linker. Each step is chosen from
/// the facts at that time. A step that is chosen twice has had no effect, which is an error.
fn make() -> Result<Record> {
    let mut done = Vec::new();
    loop {
        let plan = choose::choose(&Facts::gather(done.contains(&Plan::Refresh)))?;
        if done.contains(&plan) {
            bail!("the step {plan:?} had no effect");
        }
        apply::apply(&plan)?;
        match plan {
            Plan::Ready(record) => return Ok(record),
            step => done.push(step),
        }
    }
}

/// Runs `cargo xtask setup`.
pub(crate) fn main() -> Result<()> {
    let record = ensure()?;
    let bootstrap = if record.bootstrap { " with RUSTC_BOOTSTRAP=1" } else { "" };
    apply::say(&format!("eBPF compiler: {}{bootstrap} ({})", record.compiler, record.fingerprint));
    apply::say(&format!("eBPF linker: {}", record.linker.display()));
    Ok(())
}

/// A compiler of Debian, for which its archive has standard libraries of other architectures.
pub(crate) struct DebianCompiler {
    /// The package with the standard library, without an architecture.
    pub(crate) library: String,
    /// Its version, which is that of the compiler.
    pub(crate) version: String,
}

/// Returns the Debian compiler in /usr/bin, and installs it if needed.
pub(crate) fn debian_compiler() -> Result<DebianCompiler> {
    if let Some(found) = debian::installed_compiler() {
        return Ok(found);
    }
    let family = &debian::FAMILIES[0];
    install("a compiler with standard libraries for other architectures", &[family.compiler, family.cargo])?;
    debian::installed_compiler()
        .with_context(|| format!("{} has no version after its installation", family.compiler))
}

/// Installs packages of the distribution that a check needs.
pub(crate) fn install(why: &str, packages: &[&str]) -> Result<()> {
    apply::say(&format!("installing {}: {why}", packages.join(" ")));
    apply::install(packages)
}
