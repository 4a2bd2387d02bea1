//! Programs of other projects for tests, such as Prometheus: the machine's own, or unpacked from the distribution's package into
//! the cache. Nothing is installed.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::Context as _;

use super::apt::Apt;
use super::cache::Cache;
use super::kernels::unpack;
use super::qemu::codename;
use crate::arch::Arch;

/// Returns the path of a program: the one on PATH, or the one of the unpacked package, which is fetched if needed.
pub(crate) fn program(package: &str, program: &str) -> anyhow::Result<PathBuf> {
    let paths = env::var_os("PATH").unwrap_or_default();
    if let Some(own) = env::split_paths(&paths).map(|dir| dir.join(program)).find(|path| path.is_file()) {
        return Ok(own);
    }
    let cache = Cache::open()?;
    let cached = || {
        // Debian 12 has some programs outside of /usr.
        let places = ["usr/bin", "usr/sbin", "bin", "sbin"]
            .map(|dir| cache.path(&format!("tools/{package}/{dir}/{program}")));
        places.into_iter().find(|place| place.is_file())
    };
    if let Some(cached) = cached() {
        return Ok(cached);
    }
    fetch(&cache, package)
        .with_context(|| format!("no {program}: apt-get install {package}, the tests need it"))?;
    cached().with_context(|| format!("{package} has no {program}"))
}

fn fetch(cache: &Cache, package: &str) -> anyhow::Result<()> {
    let release = fs::read_to_string("/etc/os-release").context("reading /etc/os-release")?;
    let codename = codename(&release).context("/etc/os-release names no VERSION_CODENAME")?;
    let security = format!("{codename}-security");
    let apt = Apt::open(cache, &[codename.as_str(), security.as_str()], Arch::native()?)?;
    let found = apt.find(&[package.to_owned()])?;
    let newest = found.first().with_context(|| format!("{codename} has no package {package}"))?;
    eprintln!("vm: fetching {package} {}", newest.version);
    let deb = apt.download(newest)?;
    let scratch = cache.scratch(package)?;
    unpack(&deb, scratch.path(), None)?;
    trim(scratch.path());
    cache.settle(scratch.path(), &format!("tools/{package}"))?;
    // The scratch directory was moved, so an empty one is made that can be removed.
    fs::create_dir_all(scratch.path()).context("closing the scratch directory")
}

/// Removes files that are not needed. If that fails, they stay.
fn trim(root: &Path) {
    for dir in ["usr/share/doc", "usr/share/man"] {
        let _ = fs::remove_dir_all(root.join(dir));
    }
}
