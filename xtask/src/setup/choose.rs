//! The choice of a toolchain: a pure function from facts to the next thing to do.

use std::fmt;
use std::path::PathBuf;

use super::debian::{Debian, FAMILIES, Family, RUSTUP};
use super::facts::{Facts, Rustc};
use super::record::{Compiler, Record};
use super::{BPF_LINKER_VERSION, LINKED, LLVM_SUPPORTED, llvm_package};

/// The first Rust release with an LLVM of [`LLVM_SUPPORTED`].
const DEBIAN_MINIMUM: (u32, u32) = (1, 91);

/// The next step. Facts are read again after each step, so a step need not predict the results of another.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// There is nothing to do: this is the toolchain.
    Ready(Record),
    /// Have the package manager fetch its index.
    Refresh,
    /// Install these packages.
    Install(Vec<String>),
    /// Make the distribution's compiler in /usr known to rustup as [`LINKED`].
    Link,
    /// Build bpf-linker against this shared library of LLVM.
    BuildLinker {
        /// Its major version.
        llvm: u32,
        /// Its file.
        library: PathBuf,
    },
}

/// The error: no toolchain can be made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// The reasons, a line for each way.
    pub(crate) reasons: Vec<String>,
}

/// Chooses the next step: for a rustup nightly first, then for the distribution's compiler.
pub(crate) fn choose(facts: &Facts) -> Result<Plan, Missing> {
    let nightly = match nightly_way(facts) {
        Ok(plan) => return Ok(plan),
        Err(reason) => reason,
    };
    let system = match system_way(facts) {
        Ok(plan) => return Ok(plan),
        Err(reason) => reason,
    };
    Err(Missing { reasons: vec![nightly, system] })
}

/// Tries a rustup nightly with the source of its `core`.
fn nightly_way(facts: &Facts) -> Result<Plan, String> {
    if !facts.rustup {
        return Err("there is no rustup, so no nightly".to_owned());
    }
    let mut reasons = Vec::new();
    for rustc in &facts.nightlies {
        match &rustc.core {
            None => reasons.push(format!("{} has no rust-src", rustc.compiler)),
            Some(core) => match with_linker(facts, rustc, core) {
                Ok(plan) => return Ok(plan),
                Err(reason) => reasons.push(reason),
            },
        }
    }
    if reasons.is_empty() {
        reasons.push("rustup has no nightly".to_owned());
    }
    Err(reasons.join("; "))
}

/// Tries the distribution's compiler in /usr/bin, or its installation.
fn system_way(facts: &Facts) -> Result<Plan, String> {
    // On Debian, a newer compiler can replace an old one; on other distributions only the installed one can be used.
    let usable = |rustc: &&Rustc| rustc.version >= DEBIAN_MINIMUM || facts.debian.is_none();
    if let Some(rustc) = facts.system.as_ref().filter(usable)
        && let Some(core) = &rustc.core
    {
        let next = with_linker(facts, rustc, core)?;
        return Ok(if facts.rustup && !facts.linked { Plan::Link } else { next });
    }
    let Some(debian) = &facts.debian else {
        return Err(match &facts.system {
            Some(rustc) => format!("{} lacks the source of its core library", rustc.compiler),
            None => {
                "/usr/bin has no rustc with its cargo, and this is not Debian, so they cannot be installed"
                    .to_owned()
            }
        });
    };
    match family(debian) {
        Ok(family) => install(facts, debian, family.packages().map(str::to_owned).to_vec()),
        Err(_) if !debian.refreshed && facts.may_install => Ok(Plan::Refresh),
        Err(reason) => Err(reason),
    }
}

/// Chooses the family of packages of the compiler to install.
fn family(debian: &Debian) -> Result<&'static Family, String> {
    let mut reasons = Vec::new();
    for family in &FAMILIES {
        let name = family.compiler;
        match debian.candidate(name) {
            None => reasons.push(format!("Debian's {name} is not available")),
            Some((major, minor)) if (major, minor) < DEBIAN_MINIMUM => {
                let (wanted_major, wanted_minor) = DEBIAN_MINIMUM;
                reasons.push(format!(
                    "Debian's {name} is {major}.{minor}, older than {wanted_major}.{wanted_minor}"
                ));
            }
            Some(_) => {
                let others = FAMILIES.iter().filter(|other| *other != family).map(|other| other.compiler);
                match others.chain([RUSTUP]).find(|other| debian.has(other)) {
                    Some(other) => {
                        reasons.push(format!("Debian's {name} conflicts with the installed {other}"));
                    }
                    None => return Ok(family),
                }
            }
        }
    }
    Err(reasons.join("; "))
}

/// Chooses the next step for a compiler with its source: a linker whose LLVM reads its bitcode.
fn with_linker(facts: &Facts, rustc: &Rustc, core: &std::path::Path) -> Result<Plan, String> {
    // LLVM reads the bitcode of older versions, not of newer ones.
    let fits = |linker: &&super::facts::Linker| {
        linker.llvm >= rustc.llvm && linker.version >= BPF_LINKER_VERSION.to_vec()
    };
    if let Some(linker) = facts.linkers.iter().filter(fits).min_by_key(|linker| linker.llvm) {
        let compiler = match &rustc.compiler {
            Compiler::Directory(_) if facts.rustup => Compiler::Rustup(LINKED.to_owned()),
            other => other.clone(),
        };
        return Ok(Plan::Ready(Record {
            bootstrap: !rustc.fingerprint.contains("-nightly"),
            compiler,
            fingerprint: rustc.fingerprint.clone(),
            core: core.to_owned(),
            linker: linker.path.clone(),
        }));
    }
    let (llvm, compiler) = (rustc.llvm, &rustc.compiler);
    if !LLVM_SUPPORTED.contains(&llvm) {
        let (first, last) = LLVM_SUPPORTED.into_inner();
        return Err(format!(
            "{compiler} has LLVM {llvm}, and bpf-linker is built for LLVM {first} to {last}"
        ));
    }
    if let Some(library) = facts.llvm.get(&llvm) {
        return Ok(Plan::BuildLinker { llvm, library: library.clone() });
    }
    let package = llvm_package(llvm);
    match &facts.debian {
        Some(debian) if debian.offers(&package) => install(facts, debian, vec![package]),
        Some(debian) if !debian.refreshed && facts.may_install => Ok(Plan::Refresh),
        _ => Err(format!(
            "{compiler} needs a bpf-linker with LLVM {llvm}, but the shared library to build one is missing"
        )),
    }
}

/// Returns the plan to install the missing packages, or all packages for an upgrade.
fn install(facts: &Facts, debian: &Debian, packages: Vec<String>) -> Result<Plan, String> {
    if let Some(package) = packages.iter().find(|package| !debian.offers(package)) {
        return if debian.refreshed || !facts.may_install {
            Err(format!("Debian's {package} is not available"))
        } else {
            Ok(Plan::Refresh)
        };
    }
    if !facts.may_install {
        let packages = packages.join(" ");
        return Err(format!("without root or sudo the Debian packages {packages} cannot be installed"));
    }
    Ok(Plan::Install(packages))
}

impl std::error::Error for Missing {}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = LLVM_SUPPORTED.into_inner();
        writeln!(f, "no toolchain here can compile the eBPF programs:")?;
        for reason in &self.reasons {
            writeln!(f, "  - {reason}")?;
        }
        write!(
            f,
            "install one of these, then run `cargo xtask setup` again:\n  \
             - `rustup toolchain install nightly --component rust-src`, and LLVM's shared library of the nightly's \
             version or a bpf-linker made with it\n  \
             - on Debian, as root: `apt-get install rustc-web cargo-web rust-web-src`\n  \
             - elsewhere: the distribution's rustc, cargo and source of core, with LLVM {first} to {last}"
        )
    }
}

#[cfg(test)]
#[path = "choose_tests.rs"]
mod tests;
