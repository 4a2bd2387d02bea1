//! A kernel that is compiled here: Debian's 6.1 source with a small configuration in which `exit_notify` is not inlined. Only on
//! this kernel can the kprobe on `exit_notify` be tested.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use std::{fs, thread};

use anyhow::{Context as _, bail};

use super::apt::Apt;
use super::apt::index::Package;
use super::cache::Cache;
use super::kernels::{Kernel, cached, unpack};
use crate::arch::Arch;
use crate::{shell, vm::table::NOINLINE};

/// Merged over tinyconfig.
const FRAGMENT: &str = include_str!("../../../vm/noinline.config");
const SOURCE: &str = "linux-source-6.1";
const SUITES: [&str; 2] = ["bookworm", "bookworm-security"];
/// Debian's packages that are needed to build a kernel with BTF.
const TOOLS: [&str; 11] =
    ["gcc", "make", "flex", "bison", "bc", "libelf-dev", "libssl-dev", "dwarves", "kmod", "cpio", "xz-utils"];

/// Returns the kernel of this fragment, from the cache if it was built before.
pub(in crate::vm) fn obtain(cache: &Cache, rebuild: bool) -> anyhow::Result<Kernel> {
    match current(cache) {
        Some(kernel) if !rebuild => Ok(kernel),
        _ => build(cache),
    }
}

/// Returns the cached kernel, if the fragment has not changed since.
pub(in crate::vm) fn current(cache: &Cache) -> Option<Kernel> {
    cached(cache, NOINLINE, Arch::X86_64).filter(|kernel| kernel.version.ends_with(&mark()))
}

/// Returns a hash that distinguishes kernels of different fragments.
fn mark() -> String {
    // This is FNV-1a, because the standard library's hasher may differ between toolchains.
    let hash = FRAGMENT
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("+{hash:08x}")
}

fn build(cache: &Cache) -> anyhow::Result<Kernel> {
    let started = Instant::now();
    install_tools()?;
    let apt = Apt::open(cache, &SUITES, Arch::native()?)?;
    let packages = apt.find(&[SOURCE.to_owned()])?;
    let package =
        packages.first().with_context(|| format!("no package {SOURCE} in {}", SUITES.join(", ")))?;
    let scratch = cache.scratch(NOINLINE)?;
    let tree = unpack_source(&apt, package, scratch.path())?;

    configure(&tree)?;
    eprintln!("vm: compiling {SOURCE} {} as `{NOINLINE}`, about six minutes on two cores", package.version);
    let jobs = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    make(&tree, &["--silent", &format!("-j{jobs}"), "bzImage"])?;

    let version = format!("{}{}", package.version, mark());
    let place = format!("kernels/{NOINLINE}/{SOURCE}-{NOINLINE}_{version}.vmlinuz");
    let old = cache.path(&place);
    if old.exists() {
        fs::remove_file(&old).with_context(|| format!("removing {}", old.display()))?;
    }
    let image = cache.settle(&tree.join("arch/x86/boot/bzImage"), &place)?;
    eprintln!("vm: {} built in {:.0} s", image.display(), started.elapsed().as_secs_f64());
    Ok(Kernel { name: NOINLINE.to_owned(), arch: Arch::X86_64, version, image })
}

/// Installs the compiler and headers, which do not work unpacked into the cache.
fn install_tools() -> anyhow::Result<()> {
    let missing: Vec<&str> = TOOLS.into_iter().filter(|package| !installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let what = format!("installing {} to compile a kernel", missing.join(" "));
    eprintln!("vm: {what}");
    // The index of a fresh machine is empty.
    shell::run(shell::as_root(&what, &[], "apt-get".as_ref())?.arg("update"))?;
    let mut install = shell::as_root(&what, &[], "apt-get".as_ref())?;
    shell::run(install.args(["install", "--yes", "--no-install-recommends"]).args(missing))
}

fn installed(package: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    shell::answer(query.args(["--show", "--showformat=${Status}", package]))
        .is_some_and(|status| status.ends_with(" installed"))
}

/// Unpacks the one tar archive of the package; returns the directory of the tree.
fn unpack_source(apt: &Apt, package: &Package, dir: &Path) -> anyhow::Result<PathBuf> {
    eprintln!("vm: fetching {} {}", package.name, package.version);
    let deb = apt.download(package)?;
    unpack(&deb, dir, Some("linux-source-*.tar.xz"))?;
    let archive = dir.join(format!("usr/src/{SOURCE}.tar.xz"));
    let mut tar = Command::new("tar");
    tar.arg("--extract").arg("--directory").arg(dir).arg("--file").arg(&archive);
    shell::run(&mut tar)?;
    Ok(dir.join(SOURCE))
}

fn configure(tree: &Path) -> anyhow::Result<()> {
    fs::write(tree.join("taskscope.config"), FRAGMENT).context("writing the configuration fragment")?;
    make(tree, &["--silent", "tinyconfig"])?;
    let mut merge = Command::new("scripts/kconfig/merge_config.sh");
    let output = merge
        .current_dir(tree)
        .args(["-m", ".config", "taskscope.config"])
        .output()
        .context("running merge_config.sh")?;
    if !output.status.success() {
        bail!("merge_config.sh: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    make(tree, &["--silent", "olddefconfig"])?;
    let result = fs::read_to_string(tree.join(".config")).context("reading the kernel's .config")?;
    // Kconfig drops options with unmet dependencies without a message.
    let dropped = dropped(FRAGMENT, &result);
    if !dropped.is_empty() {
        bail!("the kernel's configuration drops {}: correct xtask/vm/noinline.config", dropped.join(", "));
    }
    Ok(())
}

/// Returns the settings of the fragment that the final configuration lacks.
fn dropped<'a>(fragment: &'a str, config: &str) -> Vec<&'a str> {
    let has = |setting: &str| match setting.strip_suffix("=n") {
        Some(name) => !config.lines().any(|line| line.starts_with(&format!("{name}="))),
        None => config.lines().any(|line| line == setting),
    };
    fragment.lines().filter(|line| line.starts_with("CONFIG_") && !has(line)).collect()
}

fn make(tree: &Path, args: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new("nice");
    command.arg("make").args(args).current_dir(tree).env("KBUILD_BUILD_USER", "taskscope");
    shell::run(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_kconfig_dropped_is_found() {
        let fragment = "# comment\nCONFIG_A=y\nCONFIG_B=y\nCONFIG_VT=n\nCONFIG_N=4\n";
        assert_eq!(dropped(fragment, "CONFIG_A=y\n# CONFIG_VT is not set\nCONFIG_N=4\n"), ["CONFIG_B=y"]);
        assert_eq!(dropped(fragment, "CONFIG_A=y\nCONFIG_B=y\nCONFIG_VT=y\nCONFIG_N=4\n"), ["CONFIG_VT=n"]);
    }

    #[test]
    fn the_fragment_keeps_exit_notify_a_symbol() {
        assert!(FRAGMENT.lines().any(|line| line == "CONFIG_DEBUG_SECTION_MISMATCH=y"));
    }
}
