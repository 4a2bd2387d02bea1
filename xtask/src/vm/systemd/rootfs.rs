//! Makes a disk with Debian's base system, once by debootstrap, and keeps it in the cache.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::{
    shell,
    vm::fetch::{
        apt::{self, sources::Mirror},
        cache::Cache,
        qemu::codename,
        tools,
    },
};

const RECIPE: &str = include_str!("../../../vm/rootfs.sh");

/// Returns the disk of this machine's release, on which binaries that are built here run.
pub(super) fn obtain(cache: &Cache) -> anyhow::Result<PathBuf> {
    let release = fs::read_to_string("/etc/os-release").context("reading /etc/os-release")?;
    let suite = codename(&release).context(
        "/etc/os-release names no VERSION_CODENAME: the guest with systemd is made of this machine's release of Debian",
    )?;
    // The name contains a checksum of the recipe, because another recipe makes another disk.
    let name = format!("systemd/{suite}-{:08x}.ext4", checksum(RECIPE));
    let image = cache.path(&name);
    if image.is_file() {
        return Ok(image);
    }
    make(cache, &suite, &name).with_context(|| {
        format!("making {} (needs root, a Debian mirror, debootstrap and mkfs.ext4)", image.display())
    })
}

fn make(cache: &Cache, suite: &str, name: &str) -> anyhow::Result<PathBuf> {
    let mirror = Mirror::of_system(Path::new("/etc/apt"))?;
    let uri = mirror.uri(suite).with_context(|| format!("no mirror for {suite}"))?;
    let debootstrap = tools::program("debootstrap", "debootstrap")?;
    let scratch = cache.scratch("systemd")?;
    let image = scratch.path().join("root.ext4");
    let me = fs::metadata(scratch.path()).context("reading the metadata of the scratch directory")?;
    eprintln!("vm: making a disk of {suite} with systemd for the tests of the package, once for this user");
    // A debootstrap that was unpacked but not installed has its functions beside it.
    let library = debootstrap.ancestors().nth(3).map(|root| root.join("usr/share/debootstrap"));
    let env: Vec<(&str, &OsStr)> = match &library {
        Some(library) if library.is_dir() => vec![("DEBOOTSTRAP_DIR", library.as_os_str())],
        _ => Vec::new(),
    };
    let mut command = shell::as_root("making a root file system", &env, "sh".as_ref())?;
    command
        .args(["-c", RECIPE, "rootfs.sh"])
        .arg(&debootstrap)
        .args([suite, uri])
        .arg(apt::keyring()?)
        .arg(scratch.path())
        .arg(&image)
        .arg(format!("{}:{}", me.uid(), me.gid()));
    let status = command.status().context("running rootfs.sh")?;
    if !status.success() {
        bail!("rootfs.sh failed: {status}");
    }
    cache.settle(&image, name)
}

/// Returns the FNV-1a hash of a recipe, to distinguish recipes.
fn checksum(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
