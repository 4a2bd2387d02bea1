//! Finds or fetches a QEMU that can patch kernel text under several CPUs: version 10 or newer.
//!
//! Older ones crash the guest (`Oops: int3`) when probes are attached with `thread=multi`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, bail};

use super::apt::{Apt, version};
use super::cache::Cache;
use super::kernels::unpack;
use crate::arch::Arch;

const OLDEST: u32 = 10;
/// Directories of firmware and libraries, below the root of the unpacked packages and below the system's.
const FIRMWARE: [&str; 2] = ["usr/share/qemu", "usr/share/seabios"];
const LIBRARIES: [&str; 2] = ["usr/lib", "lib"];

/// Returns the program that emulates an architecture, and its package.
const fn program(arch: Arch) -> (&'static str, &'static str) {
    match arch {
        Arch::X86_64 => ("qemu-system-x86_64", "qemu-system-x86"),
        Arch::Aarch64 => ("qemu-system-aarch64", "qemu-system-arm"),
    }
}

/// A QEMU that starts.
#[derive(Debug, Clone)]
pub(in crate::vm) struct Qemu {
    /// The architecture that it emulates.
    pub(in crate::vm) arch: Arch,
    program: PathBuf,
    firmware: Vec<PathBuf>,
    libraries: Option<OsString>,
    /// The first line of `--version`, for the log.
    pub(in crate::vm) version: String,
}

impl Qemu {
    /// Returns the machine's QEMU if it is new enough, else one unpacked into the cache. Installs nothing.
    pub(in crate::vm) fn obtain(cache: &Cache, arch: Arch) -> anyhow::Result<Self> {
        if let Some(own) = Self::installed(arch).or_else(|| Self::cached(cache, arch)) {
            return Ok(own);
        }
        Self::fetch(cache, arch).with_context(|| {
            let (program, _) = program(arch);
            format!("no {program} of version {OLDEST} or newer: install one, the tests need it for `-smp 2`")
        })
    }

    /// Returns the command with the paths of its firmware and libraries.
    pub(in crate::vm) fn prepare(&self, command: &mut Command) {
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command.arg(&self.program);
        for firmware in &self.firmware {
            command.arg("-L").arg(firmware);
        }
    }

    fn installed(arch: Arch) -> Option<Self> {
        let paths = env::var_os("PATH")?;
        let program =
            env::split_paths(&paths).map(|dir| dir.join(program(arch).0)).find(|path| path.is_file())?;
        Self::try_out(arch, program, Vec::new(), None)
    }

    fn cached(cache: &Cache, arch: Arch) -> Option<Self> {
        let mut entries = fs::read_dir(cache.path("qemu")).ok()?;
        entries.find_map(|entry| Self::below(arch, &entry.ok()?.path()))
    }

    /// Returns the QEMU whose packages were unpacked into `root`.
    fn below(arch: Arch, root: &Path) -> Option<Self> {
        // Packages that the system has were not fetched, so their files are below `/`.
        let firmware = [root, Path::new("/")]
            .iter()
            .flat_map(|base| FIRMWARE.map(|dir| base.join(dir)))
            .filter(|dir| dir.is_dir())
            .collect();
        let libraries = LIBRARIES.map(|dir| root.join(dir).join(Arch::HOST.map_or("", Arch::gnu)));
        let libraries = env::join_paths(libraries).ok()?;
        Self::try_out(arch, root.join("usr/bin").join(program(arch).0), firmware, Some(libraries))
    }

    fn try_out(
        arch: Arch,
        program: PathBuf,
        firmware: Vec<PathBuf>,
        libraries: Option<OsString>,
    ) -> Option<Self> {
        let mut qemu = Self { arch, program, firmware, libraries, version: String::new() };
        let mut command = Command::new("env");
        qemu.prepare(&mut command);
        let output = command.arg("--version").output().ok().filter(|output| output.status.success())?;
        String::from_utf8_lossy(&output.stdout).lines().next()?.clone_into(&mut qemu.version);
        (major(&qemu.version)? >= OLDEST).then_some(qemu)
    }

    fn fetch(cache: &Cache, arch: Arch) -> anyhow::Result<Self> {
        let (program, package_name) = program(arch);
        let codename = codename(&fs::read_to_string("/etc/os-release").context("reading /etc/os-release")?)
            .context("/etc/os-release names no VERSION_CODENAME, so this is no Debian release")?;
        let backports = format!("{codename}-backports");
        let security = format!("{codename}-security");
        let apt =
            Apt::open(cache, &[codename.as_str(), security.as_str(), backports.as_str()], Arch::native()?)?;
        let packages = apt.find(&[package_name.to_owned()])?;
        let Some(package) = packages.iter().find(|package| recent(&package.version)) else {
            let there: Vec<&str> = packages.iter().map(|package| package.version.as_str()).collect();
            bail!("{codename} and {backports} have {package_name} {}", there.join(", "));
        };
        eprintln!("vm: fetching {package_name} {} with the libraries that are missing here", package.version);
        let suite = if package.version.contains("~bpo") { &backports } else { &codename };
        let debs = apt.download_with_dependencies(package, &[], suite)?;
        let scratch = cache.scratch("qemu")?;
        for deb in &debs {
            // A C library other than the loader's would break every program, so it is removed; the system's is new enough.
            if !deb.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libc6_")) {
                unpack(deb, scratch.path(), None)?;
            }
        }
        trim(scratch.path(), program)?;
        let root =
            cache.settle(scratch.path(), &format!("qemu/{arch}-{}", package.version.replace(':', "%3a")))?;
        // The scratch directory was moved, so an empty one is made that can be removed.
        fs::create_dir_all(scratch.path()).context("closing the scratch directory")?;
        Self::below(arch, &root).with_context(|| {
            format!(
                "{package_name} unpacked below {} does not start: apt-get install {package_name}",
                root.display()
            )
        })
    }
}

/// Removes other programs, manuals and network boot images, which are most of the size and are not needed.
fn trim(root: &Path, program: &str) -> anyhow::Result<()> {
    for dir in ["usr/share/doc", "usr/share/man", "usr/lib/ipxe/qemu", "usr/share/qemu/keymaps"] {
        let path = root.join(dir);
        if path.is_dir() {
            fs::remove_dir_all(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    for entry in fs::read_dir(root.join("usr/bin")).context("reading usr/bin of QEMU")? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name != program) {
            fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

fn recent(debian_version: &str) -> bool {
    let upstream = version::upstream(debian_version);
    leading_number(upstream).is_some_and(|major| major >= OLDEST)
}

/// Returns the major version in `QEMU emulator version 10.0.2 (Debian ...)`.
fn major(version: &str) -> Option<u32> {
    leading_number(version.split_once("version ")?.1)
}

fn leading_number(text: &str) -> Option<u32> {
    text.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

pub(in crate::vm) fn codename(os_release: &str) -> Option<String> {
    let value = os_release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    Some(value.trim_matches('"').to_owned()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ten_and_newer_will_do() {
        assert_eq!(major("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)"), Some(10));
        assert_eq!(major("something else"), None);
        assert!(recent("1:10.0.2+ds-2+deb13u1~bpo12+1"));
        assert!(recent("1:11.1.3+ds-1"));
        assert!(!recent("1:7.2+dfsg-7+deb12u18+b3"));
    }

    #[test]
    fn the_release_is_read_with_and_without_quotes() {
        assert_eq!(codename("ID=debian\nVERSION_CODENAME=bookworm\n").as_deref(), Some("bookworm"));
        assert_eq!(codename("VERSION_CODENAME=\"trixie\"").as_deref(), Some("trixie"));
        assert_eq!(codename("ID=debian"), None);
    }
}
