//! Builds the Debian package from a staged tree, without debhelper; the maintainer scripts follow its snippets.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::generated::{Generated, Zsh};
use super::tree::{Tree, gzip};
use super::{committed, packaging};
use crate::arch::Arch;
use crate::shell;

const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];
const CONFIGURATION: &str = "etc/taskscope/taskscope.toml";
const DOCUMENTS: &str = "usr/share/doc/taskscope";

/// Returns upstream's version with Debian's revision.
pub(super) fn version(upstream: &str) -> String {
    format!("{upstream}-1")
}

/// Builds the package `file` for `arch` with this program.
pub(super) fn build(
    (arch, program): (Arch, &Path),
    generated: &Generated,
    upstream: &str,
    file: &Path,
) -> Result<()> {
    let tree = &Tree::new(file.with_extension("tree"))?;
    let version = version(upstream);
    tree.copy(program, "usr/bin/taskscope", 0o755)?;
    tree.copy_packaging("taskscope.toml", CONFIGURATION)?;
    tree.copy_packaging("systemd/taskscope.service", "usr/lib/systemd/system/taskscope.service")?;
    tree.copy_packaging("sysusers.d/taskscope.conf", "usr/lib/sysusers.d/taskscope.conf")?;
    let share = "usr/share/taskscope";
    for rules in ["prometheus/taskscope.rules.yml", "prometheus/taskscope-fleet.rules.yml"] {
        tree.copy_packaging(rules, &format!("{share}/{rules}"))?;
    }
    tree.copy_packaging("grafana/taskscope.json", &format!("{share}/grafana/taskscope.json"))?;
    tree.copy_packaging("kubernetes/daemonset.yaml", &format!("{DOCUMENTS}/examples/daemonset.yaml"))?;
    tree.copy_packaging("debian/copyright", &format!("{DOCUMENTS}/copyright"))?;
    tree.copy_packaging("debian/lintian-overrides", "usr/share/lintian/overrides/taskscope")?;
    tree.copy_documents(DOCUMENTS)?;
    generated.copy(tree, "usr/share", Zsh::Vendor)?;
    let changes =
        tree.copy(&shell::workspace().join("CHANGELOG.md"), &format!("{DOCUMENTS}/changelog"), 0o644)?;
    gzip(&changes)?;
    let date = committed("%cD", "--rfc-email");
    let changes = format!(
        "taskscope ({version}) unstable; urgency=medium\n\n  * Version {upstream}; changelog.gz has what is new.\n\n -- {}  {date}\n",
        maintainer()?
    );
    gzip(&tree.write(&format!("{DOCUMENTS}/changelog.Debian"), 0o644, changes.as_bytes())?)?;
    tree.set_directory_modes()?;
    control(tree, arch, &version)?;
    let mut command = Command::new("dpkg-deb");
    // The times of files are at most that of the commit, so that the same commit gives the same package.
    command.env("SOURCE_DATE_EPOCH", committed("%ct", "+%s"));
    command.args(["--root-owner-group", "-Zxz", "--build"]).arg(tree.root()).arg(file);
    shell::run(&mut command).context("dpkg-deb comes with dpkg: packages for Debian are made on Debian")
}

fn control(tree: &Tree, arch: Arch, version: &str) -> Result<()> {
    let text = fs::read_to_string(packaging("debian/control")).context("reading packaging/debian/control")?;
    let size = tree.kib()?.to_string();
    let text = [("@VERSION@", version), ("@ARCHITECTURE@", arch.debian()), ("@SIZE@", &size)]
        .iter()
        .fold(text, |text, (mark, value)| text.replace(mark, value));
    tree.write("DEBIAN/control", 0o644, text.as_bytes())?;
    tree.write("DEBIAN/conffiles", 0o644, format!("/{CONFIGURATION}\n").as_bytes())?;
    for script in SCRIPTS {
        tree.copy(&packaging(&format!("debian/{script}")), &format!("DEBIAN/{script}"), 0o755)?;
    }
    let sums = Command::new("sh")
        .args(["-c", "find . -path ./DEBIAN -prune -o -type f ! -path './etc/*' -printf '%P\\0' | sort -z | xargs -0 md5sum"])
        .current_dir(tree.root())
        .output()
        .context("running md5sum")?;
    anyhow::ensure!(sums.status.success(), "md5sum: {}", sums.status);
    tree.write("DEBIAN/md5sums", 0o644, &sums.stdout)?;
    Ok(())
}

fn maintainer() -> Result<String> {
    let text = fs::read_to_string(packaging("debian/control")).context("reading packaging/debian/control")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Maintainer: "));
    Ok(line.context("packaging/debian/control has no Maintainer")?.to_owned())
}
