//! The C toolchain and the standard library for another architecture, unpacked from Debian's packages. Nothing is installed.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;

use super::apt::Apt;
use super::apt::index::Package;
use super::cache::Cache;
use super::kernels::unpack;
use super::qemu::codename;
use crate::arch::Arch;
use crate::setup::DebianCompiler;

/// The packages that static programs are linked with, and the headers of the kernel that they include.
const LIBRARY: [&str; 2] = ["libc6-dev", "linux-libc-dev"];

/// Returns the directory with the unpacked packages; fetches them if needed. Without a compiler of Debian, the standard library is
/// left out.
pub(crate) fn root(arch: Arch, compiler: Option<&DebianCompiler>) -> anyhow::Result<PathBuf> {
    let cache = Cache::open()?;
    let version = compiler.map_or("rustup", |compiler| compiler.version.as_str());
    let place = format!("cross/{arch}-libc6-{}", version.replace([':', '~'], "-"));
    let root = cache.path(&place);
    if root.is_dir() {
        return Ok(root);
    }
    let host = Arch::native()?;
    let release = fs::read_to_string("/etc/os-release").context("reading /etc/os-release")?;
    let codename = codename(&release).context("/etc/os-release names no VERSION_CODENAME")?;
    let security = format!("{codename}-security");
    let suites = [codename.as_str(), security.as_str()];
    let scratch = cache.scratch("cross")?;
    let gcc = format!("gcc-{}", arch.gnu());
    let tools = Apt::open(&cache, &suites, host)?;
    let found = tools.find(std::slice::from_ref(&gcc))?;
    let package = found.first().with_context(|| format!("{codename} has no package {gcc}"))?;
    eprintln!("vm: fetching {gcc} {}, 40 MB, to link for {arch}", package.version);
    for deb in tools.download_with_dependencies(package, &[], &codename)? {
        unpack(&deb, scratch.path(), None)?;
    }
    // The C library is that of the other architecture: the package for cross-compilers gets no security fixes.
    let apt = Apt::open(&cache, &suites, arch)?;
    let mut wanted = apt.find(&LIBRARY.map(str::to_owned))?;
    wanted.sort_by(|a, b| a.name.cmp(&b.name));
    wanted.dedup_by(|a, b| a.name == b.name);
    anyhow::ensure!(
        wanted.len() == LIBRARY.len(),
        "{codename} has not all of {} for {arch}",
        LIBRARY.join(", ")
    );
    if let Some(DebianCompiler { library, version }) = compiler {
        wanted.push(Package { name: library.clone(), version: version.clone() });
    }
    for package in &wanted {
        eprintln!("vm: fetching {} {} for {arch}", package.name, package.version);
        let deb = apt.download(package).with_context(|| {
            format!(
                "the archive has no {} {} for {arch}: upgrade the compiler with apt-get",
                package.name, package.version
            )
        })?;
        unpack(&deb, scratch.path(), None)?;
    }
    let program = format!("usr/bin/{}-gcc", arch.gnu());
    anyhow::ensure!(scratch.path().join(&program).exists(), "the packages have no {program}");
    let root = cache.settle(scratch.path(), &place)?;
    // The scratch directory was moved, so an empty one is made that can be removed.
    fs::create_dir_all(scratch.path()).context("closing the scratch directory")?;
    Ok(root)
}
