//! Finds or makes a toolchain that compiles for `bpfel-unknown-none`.
//!
//! [`facts`] look, [`choose`] decides, [`apply`] acts, [`record`] remembers; in a circle until nothing is left to do.

use std::ops::RangeInclusive;
use std::time::Instant;

use anyhow::{Result, bail};

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

/// The bpf-linker that setup builds, and the oldest that it takes.
const BPF_LINKER_VERSION: [u32; 3] = [0, 13, 0];

/// The LLVM versions that this bpf-linker has a feature for.
const LLVM_SUPPORTED: RangeInclusive<u32> = 21..=23;

/// The name under which rustup knows the distribution's compiler.
const LINKED: &str = "taskscope-ebpf";

/// More turns than any machine needs: index, packages, LLVM, link, linker, record.
const TURNS: usize = 10;

/// Debian's package with LLVM's shared library.
fn llvm_package(major: u32) -> String {
    format!("libllvm{major}")
}

/// The eBPF toolchain, made if need be. Silent and quick when it is there.
pub(crate) fn ensure() -> Result<Record> {
    let start = Instant::now();
    match Record::load() {
        Ok(record) => return Ok(record),
        Err(reason) => apply::say(&format!("looking for an eBPF toolchain ({reason})")),
    }
    let mut refreshed = false;
    let mut last = None;
    for _ in 0..TURNS {
        let mut facts = Facts::gather();
        if let Some(debian) = &mut facts.debian {
            debian.refreshed = refreshed;
        }
        let plan = choose::choose(&facts)?;
        if last.as_ref() == Some(&plan) {
            bail!("setup did {plan:?} and still finds it missing");
        }
        apply::apply(&plan)?;
        refreshed |= plan == Plan::Refresh;
        if let Plan::Ready(record) = plan {
            apply::say(&format!("done in {:.1} s", start.elapsed().as_secs_f64()));
            return Ok(record);
        }
        last = Some(plan);
    }
    bail!("setup went in circles; the last step was {last:?}")
}

/// `cargo xtask setup`.
pub(crate) fn main() -> Result<()> {
    let record = ensure()?;
    let bootstrap = if record.bootstrap { " with RUSTC_BOOTSTRAP=1" } else { "" };
    apply::say(&format!("eBPF compiler: {}{bootstrap} ({})", record.compiler, record.fingerprint));
    apply::say(&format!("eBPF linker: {}", record.linker.display()));
    Ok(())
}

/// Installs packages of the distribution that a check cannot do without.
pub(crate) fn install(why: &str, packages: &[&str]) -> Result<()> {
    apply::say(&format!("installing {}: {why}", packages.join(" ")));
    apply::install(packages)
}
