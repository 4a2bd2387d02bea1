//! Asks Debian's package manager about packages that setup may need.

use std::collections::BTreeMap;
use std::process::Command;

use super::{DebianCompiler, llvm_package};
use crate::shell::{answer, which};

/// The names of Debian's packages of one Rust compiler.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Family {
    /// rustc.
    pub(crate) compiler: &'static str,
    /// Its cargo.
    pub(crate) cargo: &'static str,
    /// Its source, with `core`.
    pub(crate) source: &'static str,
    /// Its standard library, for each architecture.
    pub(crate) library: &'static str,
}

impl Family {
    /// Returns all three packages.
    pub(crate) fn packages(&self) -> [&'static str; 3] {
        [self.compiler, self.cargo, self.source]
    }
}

/// The newer compiler that stable releases have in order to build browsers, and the ordinary one.
pub(crate) const FAMILIES: [Family; 2] = [
    Family {
        compiler: "rustc-web",
        cargo: "cargo-web",
        source: "rust-web-src",
        library: "libstd-rust-web-dev",
    },
    Family { compiler: "rustc", cargo: "cargo", source: "rust-src", library: "libstd-rust-dev" },
];

/// The distribution's rustup, which conflicts with the compilers' packages.
pub(crate) const RUSTUP: &str = "rustup";

/// Returns the compiler of the first family whose compiler and cargo are installed in one version.
pub(super) fn installed_compiler() -> Option<DebianCompiler> {
    FAMILIES.iter().find_map(|family| {
        let version = |package: &str| {
            let text = answer(Command::new("dpkg-query").args([
                "--show",
                "--showformat=${db:Status-Status} ${Version}",
                package,
            ]))?;
            text.strip_prefix("installed ").map(str::to_owned)
        };
        version(family.cargo)?;
        Some(DebianCompiler { library: family.library.to_owned(), version: version(family.compiler)? })
    })
}

/// Facts from the package manager.
#[derive(Clone, Debug, Default)]
pub(crate) struct Debian {
    /// Packages by name; unknown packages are missing.
    pub(crate) packages: BTreeMap<String, Package>,
    /// Whether its index was fetched during this setup, so that fetching it again finds nothing new.
    pub(crate) refreshed: bool,
}

/// One package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Package {
    /// Whether it is installed.
    pub(crate) installed: bool,
    /// The version that would be installed.
    pub(crate) candidate: Option<String>,
}

impl Debian {
    /// Asks apt; `None` if apt is not the package manager.
    pub(crate) fn read(refreshed: bool) -> Option<Self> {
        which("apt-get")?;
        let mut names: Vec<String> = FAMILIES.iter().flat_map(Family::packages).map(str::to_owned).collect();
        names.push(RUSTUP.to_owned());
        names.extend(super::LLVM_SUPPORTED.map(llvm_package));
        let text = answer(Command::new("apt-cache").arg("policy").args(&names))?;
        Some(Self { packages: policy(&text), refreshed })
    }

    /// Returns major and minor version of the candidate of package `name`.
    pub(crate) fn candidate(&self, name: &str) -> Option<(u32, u32)> {
        let numbers = numbers(self.packages.get(name)?.candidate.as_deref()?);
        Some((*numbers.first()?, *numbers.get(1)?))
    }

    /// Whether package `name` can be installed.
    pub(crate) fn offers(&self, name: &str) -> bool {
        self.packages.get(name).is_some_and(|package| package.candidate.is_some())
    }

    /// Whether package `name` is installed.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.packages.get(name).is_some_and(|package| package.installed)
    }
}

/// Parses the output of `apt-cache policy`.
fn policy(text: &str) -> BTreeMap<String, Package> {
    let mut packages = BTreeMap::new();
    let mut current = None;
    for line in text.lines() {
        if let Some(name) = line.strip_suffix(':').filter(|name| !name.starts_with(' ')) {
            current = Some(packages.entry(name.to_owned()).or_insert_with(Package::default));
        } else if let (Some(package), Some((key, value))) = (&mut current, line.trim_start().split_once(": "))
        {
            match key {
                "Installed" => package.installed = value != "(none)",
                "Candidate" => package.candidate = (value != "(none)").then(|| value.to_owned()),
                _ => {}
            }
        }
    }
    packages
}

/// Returns the numbers at the start of a version: `1.97.0-nightly` is 1, 97, 0.
pub(super) fn numbers(version: &str) -> Vec<u32> {
    let end = version.trim_start().find(|c: char| !c.is_ascii_digit() && c != '.');
    let version = version.trim_start();
    version[..end.unwrap_or(version.len())].split('.').map_while(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_of_several_packages_is_read() {
        let packages = policy(
            "rustc-web:\n  Installed: 1.96.0+dfsg1-1\n  Candidate: 1.96.0+dfsg1-1\n  Version table:\n \
             *** 1.96.0+dfsg1-1 500\n        500 http://example.org/debian bookworm/main amd64 Packages\n\
             rustc:\n  Installed: (none)\n  Candidate: 1.63.0+dfsg1-2\n  Version table:\n\
             rustup:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n",
        );
        let debian = Debian { packages, refreshed: false };
        assert!(debian.has("rustc-web") && !debian.has("rustc") && !debian.has("libllvm22"));
        assert_eq!(debian.candidate("rustc-web"), Some((1, 96)));
        assert_eq!(debian.candidate("rustc"), Some((1, 63)));
        assert!(debian.offers("rustc") && !debian.offers("rustup") && !debian.offers("libllvm22"));
    }
}
