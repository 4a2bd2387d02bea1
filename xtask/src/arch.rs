//! The architectures that taskscope is built, tested and packaged for.

use std::fmt;

use anyhow::{Context as _, Result};

/// An architecture, with its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub(crate) enum Arch {
    /// 64-bit x86, Debian's amd64.
    #[value(name = "x86_64", alias = "amd64")]
    X86_64,
    /// 64-bit Arm, Debian's arm64.
    #[value(name = "aarch64", alias = "arm64")]
    Aarch64,
}

impl Arch {
    /// Every architecture.
    pub(crate) const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// The architecture of this machine; `None` if it is not one of them.
    pub(crate) const HOST: Option<Self> = if cfg!(target_arch = "x86_64") {
        Some(Self::X86_64)
    } else if cfg!(target_arch = "aarch64") {
        Some(Self::Aarch64)
    } else {
        None
    };

    /// Returns the architecture of this machine.
    pub(crate) fn native() -> Result<Self> {
        Self::HOST.context("this machine is neither x86_64 nor aarch64")
    }

    /// Whether this is the architecture of this machine.
    pub(crate) fn is_host(self) -> bool {
        Self::HOST == Some(self)
    }

    /// Returns the architectures that this machine builds for.
    pub(crate) fn buildable() -> Vec<Self> {
        match Self::HOST {
            Some(Self::X86_64) => Self::ALL.to_vec(),
            host => host.into_iter().collect(),
        }
    }

    /// Returns the name of the Rust target, which `uname -m` and rpm use too.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// Returns Debian's name, which OCI images use too.
    pub(crate) const fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// Returns the target triple of static binaries: there is no standard library for musl here.
    pub(crate) const fn triple(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// Returns the prefix of the GNU tools for this target, and the name of its libraries' directory.
    pub(crate) const fn gnu(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-linux-gnu",
            Self::Aarch64 => "aarch64-linux-gnu",
        }
    }

    /// Returns the name of a variable of cargo for this target, such as `CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS`.
    pub(crate) fn variable(self, key: &str) -> String {
        format!("CARGO_TARGET_{}_{key}", self.triple().to_ascii_uppercase().replace('-', "_"))
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn an_architecture_is_known_by_both_of_its_names() {
        for arch in Arch::ALL {
            assert_eq!(Arch::from_str(arch.name(), false), Ok(arch));
            assert_eq!(Arch::from_str(arch.debian(), false), Ok(arch));
        }
    }

    #[test]
    fn the_variables_of_cargo_have_the_triple_in_capitals() {
        assert_eq!(Arch::Aarch64.variable("LINKER"), "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER");
    }
}
