//! Compiles the kernels of [`own`], each from Debian's source with a small configuration.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use std::{fs, thread};

use anyhow::{Context as _, bail};

use super::apt::Apt;
use super::apt::index::Package;
use super::cache::{Cache, Scratch};
use super::kernels::{Found, Kernel, cached, unpack};
use crate::arch::Arch;
use crate::vm::kernels::own::{self, Own};
use crate::{setup, shell};

/// Debian's packages that are needed to build a kernel with BTF.
const TOOLS: [&str; 11] =
    ["gcc", "make", "flex", "bison", "bc", "libelf-dev", "libssl-dev", "dwarves", "kmod", "cpio", "xz-utils"];

/// Returns the kernels, from the cache if they were compiled before.
pub(in crate::vm) fn obtain(cache: &Cache, wanted: &[&Own], rebuild: bool) -> Vec<Found> {
    // Only one tree is kept, because it takes 2 GB.
    let mut tree = None;
    let mut obtain = |own: &Own| match current(cache, own) {
        Some(kernel) if !rebuild => Ok(kernel),
        _ => compile(cache, own, &mut tree),
    };
    wanted.iter().map(|own| (own.name.to_owned(), obtain(own))).collect()
}

/// Returns the cached kernel, if its settings have not changed since.
pub(in crate::vm) fn current(cache: &Cache, own: &Own) -> Option<Kernel> {
    cached(cache, own.name, Arch::X86_64).filter(|kernel| kernel.version.ends_with(&own.mark()))
}

/// Compiles in `tree`, which is unpacked if it holds another source.
fn compile(cache: &Cache, own: &Own, tree: &mut Option<Tree>) -> anyhow::Result<Kernel> {
    let started = Instant::now();
    if tree.as_ref().is_none_or(|tree| tree.package.name != own.source) {
        // The other source is removed first.
        *tree = None;
        install_tools()?;
        *tree = Some(Tree::unpack(cache, own)?);
    }
    let Tree { path, package, .. } = tree.as_ref().context("no source was unpacked")?;
    let Own { name, source, .. } = own;
    configure(path, own)?;
    eprintln!("vm: compiling {source} {} as `{name}`, about six minutes on two cores", package.version);
    let jobs = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    make(path, &["--silent", &format!("-j{jobs}"), "bzImage"])?;

    let version = format!("{}{}", package.version, own.mark());
    let place = format!("kernels/{name}/{source}-{name}_{version}.vmlinuz");
    let old = cache.path(&place);
    if old.exists() {
        fs::remove_file(&old).with_context(|| format!("removing {}", old.display()))?;
    }
    let image = cache.settle(&path.join("arch/x86/boot/bzImage"), &place)?;
    eprintln!("vm: {} built in {:.0} s", image.display(), started.elapsed().as_secs_f64());
    Ok(Kernel { name: (*name).to_owned(), arch: Arch::X86_64, version, image })
}

/// An unpacked source, removed when this is dropped.
struct Tree {
    path: PathBuf,
    package: Package,
    _scratch: Scratch,
}

impl Tree {
    /// Unpacks the one tar archive of the newest package with the source.
    fn unpack(cache: &Cache, own: &Own) -> anyhow::Result<Self> {
        let Own { source, suites, .. } = own;
        let apt = Apt::open(cache, suites, Arch::native()?)?;
        let packages = apt.find(&[(*source).to_owned()])?;
        let found = packages.into_iter().next();
        let package = found.with_context(|| format!("no package {source} in {}", suites.join(", ")))?;
        eprintln!("vm: fetching {source} {}", package.version);
        let deb = apt.download(&package)?;
        let scratch = cache.scratch("source")?;
        let dir = scratch.path();
        unpack(&deb, dir, Some("linux-source-*.tar.xz"))?;
        let archive = dir.join(format!("usr/src/{source}.tar.xz"));
        let mut tar = Command::new("tar");
        tar.arg("--extract").arg("--directory").arg(dir).arg("--file").arg(&archive);
        shell::run(&mut tar)?;
        Ok(Self { path: dir.join(source), package, _scratch: scratch })
    }
}

/// Installs the compiler and headers, which do not work unpacked into the cache.
fn install_tools() -> anyhow::Result<()> {
    let missing: Vec<&str> = TOOLS.into_iter().filter(|package| !installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    setup::install("a kernel is compiled", &missing)
}

fn installed(package: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    shell::answer(query.args(["--show", "--showformat=${Status}", package]))
        .is_some_and(|status| status.ends_with(" installed"))
}

/// Writes the kernel's .config: tinyconfig with the settings of this kernel.
fn configure(tree: &Path, own: &Own) -> anyhow::Result<()> {
    let settings = own.settings();
    fs::write(tree.join("taskscope.config"), &settings).context("writing the configuration fragment")?;
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
    let dropped = own::dropped(&settings, &result);
    if !dropped.is_empty() {
        bail!(
            "the configuration of `{}` drops {}: correct the files in xtask/vm/own",
            own.name,
            dropped.join(", ")
        );
    }
    Ok(())
}

fn make(tree: &Path, args: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new("nice");
    command.args(["-n", "19", "make"]).args(args).current_dir(tree).env("KBUILD_BUILD_USER", "taskscope");
    shell::run(&mut command)
}
