//! Builds the package for Fedora, RHEL, SUSE and their derivatives from a staged tree, by rpmbuild.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, Result};

use super::generated::{Generated, Zsh};
use super::tree::Tree;
use super::{committed, packaging};
use crate::arch::Arch;
use crate::{setup, shell};

const DOCUMENTS: &str = "usr/share/doc/taskscope";
const LICENSES: &str = "usr/share/licenses/taskscope";

/// Returns the name of the package's file.
pub(super) fn name(arch: Arch, version: &str) -> String {
    format!("taskscope-{version}-1.{arch}.rpm")
}

/// Builds `taskscope-VERSION-1.ARCH.rpm` in `out` with this program; returns its path.
pub(super) fn build(
    (arch, program): (Arch, &Path),
    generated: &Generated,
    version: &str,
    out: &Path,
) -> Result<PathBuf> {
    if shell::which("rpmbuild").is_none() {
        setup::install("rpmbuild makes the packages for Fedora and its derivatives", &["rpm"])?;
    }
    let file = out.join(name(arch, version));
    let tree = Tree::new(file.with_extension("tree"))?;
    stage(&tree, program, generated)?;
    // rpmbuild reads macros and options from the home directory, and writes below it.
    let (home, top) = (tree.beside("home")?, tree.beside("top")?);
    let mut command = Command::new("rpmbuild");
    command.env("HOME", &home).env("SOURCE_DATE_EPOCH", committed("%ct", "+%s"));
    // The bytes of the package depend on the locale and the time zone.
    command.env("LC_ALL", "C").env("TZ", "UTC").env("PATH", env::var_os("PATH").unwrap_or_default());
    command.args(["-bb", "--quiet", "--target", arch.name()]);
    for (name, value) in [
        ("_topdir", top.display().to_string()),
        ("_rpmdir", top.display().to_string()),
        ("_rpmfilename", "package.rpm".to_owned()),
        ("upstream", version.to_owned()),
        ("staged", tree.root().display().to_string()),
    ] {
        command.arg("--define").arg(format!("{name} {value}"));
    }
    shell::run(command.arg(packaging("rpm/taskscope.spec")))?;
    let built = top.join("package.rpm");
    fs::rename(&built, &file).with_context(|| format!("rpmbuild left no {}", built.display()))?;
    Ok(file)
}

/// Makes the tree of the package's files.
fn stage(tree: &Tree, program: &Path, generated: &Generated) -> Result<()> {
    tree.copy(program, "usr/bin/taskscope", 0o755)?;
    for (file, place) in [
        ("taskscope.toml", "etc/taskscope/taskscope.toml"),
        ("systemd/taskscope.service", "usr/lib/systemd/system/taskscope.service"),
        ("sysusers.d/taskscope.conf", "usr/lib/sysusers.d/taskscope.conf"),
        ("prometheus/taskscope.rules.yml", "usr/share/taskscope/prometheus/taskscope.rules.yml"),
        ("prometheus/taskscope-fleet.rules.yml", "usr/share/taskscope/prometheus/taskscope-fleet.rules.yml"),
        ("grafana/taskscope.json", "usr/share/taskscope/grafana/taskscope.json"),
        ("kubernetes/daemonset.yaml", "usr/share/doc/taskscope/examples/daemonset.yaml"),
    ] {
        tree.copy_packaging(file, place)?;
    }
    tree.copy_documents(DOCUMENTS)?;
    tree.copy(&shell::workspace().join("CHANGELOG.md"), &format!("{DOCUMENTS}/CHANGELOG.md"), 0o644)?;
    for license in ["LICENSE-MIT", "LICENSE-APACHE"] {
        tree.copy(&shell::workspace().join(license), &format!("{LICENSES}/{license}"), 0o644)?;
    }
    generated.copy(tree, "usr/share", Zsh::Site)?;
    tree.set_directory_modes()
}
