//! `cargo xtask dist`: builds the packages that an operator installs: for Debian, for Fedora and its derivatives, a static tarball, an OCI image.

mod binary;
mod chart;
mod check;
mod config_page;
mod deb;
mod generated;
mod oci;
mod rpm;
mod sbom;
mod tarball;
mod tree;
mod trial;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use self::generated::Generated;
pub(crate) use self::{binary::fixed as binary, check::main as check};
use crate::arch::Arch;
use crate::{build, shell};

/// Version of the workspace.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Creates packages in target/packages, with SHA256SUMS: for Debian, for Fedora and its derivatives, tarballs, an OCI image, SBOMs.
///
/// One static binary is built for each architecture; all packages of the architecture contain it. Packages of the same binaries are
/// identical in every byte.
#[derive(Default, clap::Args)]
pub(crate) struct Args {
    /// Make only these kinds of packages
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    only: Vec<Kind>,
    /// Make packages only for these architectures [default: all that this machine builds for]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    target: Vec<Arch>,
    /// Only check the files of the packages: unit, rules, chart, whether package managers accept the packages, and whether
    /// builds of them are reproducible
    #[arg(long, conflicts_with_all = ["only", "target"])]
    check: bool,
}

/// Kinds of packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// A package for Debian and its derivatives.
    Deb,
    /// A package for Fedora, RHEL, SUSE and their derivatives.
    Rpm,
    /// A tarball with the binary, documentation and packaging files.
    Tarball,
    /// An OCI image layout: `skopeo copy oci-archive:FILE ...`, `podman load -i FILE`.
    Oci,
    /// A list of all components of the binary, in JSON of `CycloneDX`.
    Sbom,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Deb, Self::Rpm, Self::Tarball, Self::Oci, Self::Sbom];
}

/// Runs `cargo xtask dist`.
pub(crate) fn main(args: &Args) -> Result<()> {
    if args.check {
        return check::main();
    }
    let mut targets = if args.target.is_empty() { Arch::buildable() } else { args.target.clone() };
    targets.sort();
    targets.dedup();
    // `target/dist` belongs to the cargo profile of that name.
    let out = shell::target_dir().join("packages");
    let mut programs = Vec::new();
    for arch in targets {
        let built = binary::fixed(arch)?;
        programs.push((arch, binary::stripped(arch, &built, &out.join(format!("static-{arch}")))?));
    }
    // The program generates its pages, so it has to run here.
    let own = programs.iter().find(|(arch, _)| arch.is_host()).map(|(_, program)| program.clone());
    let own = own.map_or_else(build::quick, Ok)?;
    let generated = Generated::by(&own, out.join("generated"))?;
    let kinds = if args.only.is_empty() { &Kind::ALL } else { args.only.as_slice() };
    let made = make(kinds, &programs, &generated, &out)?;
    made.iter().try_for_each(|file| done(file))?;
    println!("{}", checksums(&out, &made)?.display());
    Ok(())
}

/// Creates packages of these kinds in `out`; returns their paths.
fn make(
    kinds: &[Kind],
    programs: &[(Arch, PathBuf)],
    generated: &Generated,
    out: &Path,
) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(out).with_context(|| format!("making {}", out.display()))?;
    let mut made = Vec::new();
    for kind in Kind::ALL.into_iter().filter(|kind| kinds.contains(kind)) {
        if kind == Kind::Oci {
            made.push(oci::build(programs, out)?);
            continue;
        }
        for (arch, program) in programs {
            let program = (*arch, program.as_path());
            made.push(match kind {
                Kind::Deb => {
                    let version = deb::version(VERSION);
                    let file = out.join(format!("taskscope_{version}_{}.deb", arch.debian()));
                    deb::build(program, generated, VERSION, &file)?;
                    file
                }
                Kind::Rpm => rpm::build(program, generated, VERSION, out)?,
                Kind::Tarball => tarball::build(program, generated, out)?,
                Kind::Sbom => sbom::build(program, out)?,
                Kind::Oci => bail!("an image is made of all programs"),
            });
        }
    }
    Ok(made)
}

/// Writes SHA256SUMS, which `sha256sum --check` reads, beside the packages that were made; returns its path.
fn checksums(out: &Path, made: &[PathBuf]) -> Result<PathBuf> {
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
    Ok(file)
}

/// Creates a Debian package with this static binary for this machine.
pub(crate) fn package(binary: &Path, version: &str, file: &Path) -> Result<()> {
    let arch = Arch::native()?;
    let program = binary::stripped(arch, binary, &file.with_extension("bin"))?;
    let generated = Generated::by(&program, file.with_extension("generated"))?;
    deb::build((arch, &program), &generated, version, file)
}

/// Creates an OCI image with this static binary for this machine in `out`.
pub(crate) fn image(binary: &Path, out: &Path) -> Result<PathBuf> {
    oci::build(&[(Arch::native()?, binary.to_owned())], out)
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

/// Returns the time of the last commit in a format of git; outside of a clone, the present time in the same format of date(1).
fn committed(format: &str, now: &str) -> String {
    let mut git = Command::new("git");
    git.current_dir(shell::workspace()).arg("log").arg("-1").arg(format!("--format={format}"));
    let date = shell::answer(&mut git).or_else(|| shell::answer(Command::new("date").arg(now)));
    date.unwrap_or_default().trim().to_owned()
}
