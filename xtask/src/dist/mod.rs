//! `cargo xtask dist`: builds the packages that an operator installs: a Debian package, a static tarball, an OCI image.

mod binary;
mod check;
mod config_page;
mod deb;
mod oci;
mod tarball;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use self::tree::Tree;
pub(crate) use self::{binary::dynamic as binary, check::main as check};
use crate::shell;

/// Version of the workspace.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Creates packages in target/packages: a Debian package, a tarball with a static binary, an OCI image.
#[derive(Default, clap::Args)]
pub(crate) struct Args {
    /// Make only these kinds of packages
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    only: Vec<Kind>,
    /// Only check the files of the packages: unit, rules, dashboard
    #[arg(long, conflicts_with = "only")]
    check: bool,
}

/// Kinds of packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// A package for Debian and its derivatives, linked with the C library of this machine's release.
    Deb,
    /// A tarball with a static binary, documentation and packaging files.
    Tarball,
    /// An OCI image layout with the static binary: `skopeo copy oci-archive:FILE ...`, `podman load -i FILE`.
    Oci,
}

/// Runs `cargo xtask dist`.
pub(crate) fn main(args: &Args) -> Result<()> {
    if args.check {
        return check::main();
    }
    let wanted = |kind| args.only.is_empty() || args.only.contains(&kind);
    // `target/dist` belongs to the cargo profile of that name.
    let out = shell::target_dir().join("packages");
    let mut made = Vec::new();
    fs::create_dir_all(&out).with_context(|| format!("making {}", out.display()))?;
    if wanted(Kind::Deb) {
        let file = out.join(format!("taskscope_{}_{}.deb", deb::version(VERSION), deb::ARCHITECTURE));
        package(&binary::dynamic()?, VERSION, &file)?;
        made.push(file);
    }
    if wanted(Kind::Tarball) || wanted(Kind::Oci) {
        let binary = binary::stripped(&binary::fixed()?, &out.join("static"))?;
        if wanted(Kind::Tarball) {
            made.push(tarball::build(&binary, &out)?);
        }
        if wanted(Kind::Oci) {
            made.push(oci::build(&binary, &out)?);
        }
    }
    made.iter().try_for_each(|file| done(file))?;
    checksums(&out, &made)
}

/// Writes SHA256SUMS, which `sha256sum --check` reads, beside the packages that were made.
fn checksums(out: &Path, made: &[PathBuf]) -> Result<()> {
    let mut command = Command::new("sha256sum");
    command.current_dir(out).args(made.iter().filter_map(|file| file.file_name()));
    let output = command.output().with_context(|| shell::line(&command))?;
    ensure!(
        output.status.success(),
        "{}: {}",
        shell::line(&command),
        String::from_utf8_lossy(&output.stderr)
    );
    let file = out.join("SHA256SUMS");
    fs::write(&file, output.stdout).with_context(|| format!("writing {}", file.display()))?;
    println!("{}", file.display());
    Ok(())
}

/// Creates a Debian package with this binary.
pub(crate) fn package(binary: &Path, version: &str, file: &Path) -> Result<()> {
    let work = Tree::new(file.with_extension("tree"))?;
    let binary = binary::stripped(binary, work.beside("bin")?.as_path())?;
    deb::build(&work, &binary, version, file)
}

/// Creates an OCI image with this static binary in `out`.
pub(crate) fn image(binary: &Path, out: &Path) -> Result<PathBuf> {
    oci::build(binary, out)
}

fn done(file: &Path) -> Result<()> {
    let size = fs::metadata(file).with_context(|| format!("looking at {}", file.display()))?.len();
    println!("{} ({} KiB)", file.display(), size.div_ceil(1024));
    Ok(())
}

/// Returns the path of `packaging/FILE`.
fn packaging(file: &str) -> PathBuf {
    shell::workspace().join("packaging").join(file)
}
