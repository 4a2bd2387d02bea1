//! Builds the Debian package from a staged tree, without debhelper; the maintainer scripts follow its snippets.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::tree::{Tree, gzip};
use super::{binary, packaging};
use crate::shell;

pub(super) const ARCHITECTURE: &str = "amd64";
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];
const CONFIGURATION: &str = "etc/taskscope/taskscope.toml";
const DOCUMENTS: &str = "usr/share/doc/taskscope";

/// Returns upstream's version with Debian's revision.
pub(super) fn version(upstream: &str) -> String {
    format!("{upstream}-1")
}

/// Builds the package `file`.
pub(super) fn build(tree: &Tree, program: &Path, upstream: &str, file: &Path) -> Result<()> {
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
    tree.generate(program, "usr/share")?;
    let changes =
        tree.copy(&shell::workspace().join("CHANGELOG.md"), &format!("{DOCUMENTS}/changelog"), 0o644)?;
    gzip(&changes)?;
    let date = committed("%cD", "--rfc-email");
    let changes = format!(
        "taskscope ({version}) unstable; urgency=medium\n\n  * Version {upstream}; changelog.gz has what is new.\n\n -- {}  {date}\n",
        maintainer()?
    );
    gzip(&tree.write(&format!("{DOCUMENTS}/changelog.Debian"), 0o644, changes.as_bytes())?)?;
    modes(&tree.root())?;
    control(tree, program, &version)?;
    let mut command = Command::new("dpkg-deb");
    // The times of files are at most that of the commit, so that the same commit gives the same package.
    command.env("SOURCE_DATE_EPOCH", committed("%ct", "+%s"));
    command.args(["--root-owner-group", "-Zxz", "--build"]).arg(tree.root()).arg(file);
    shell::run(&mut command).context("dpkg-deb comes with dpkg: packages for Debian are made on Debian")
}

fn control(tree: &Tree, program: &Path, version: &str) -> Result<()> {
    let text = fs::read_to_string(packaging("debian/control")).context("reading packaging/debian/control")?;
    let c_library = binary::c_library(program)?
        .with_context(|| format!("{} names no version of the C library", program.display()))?;
    let size = tree.kib()?.to_string();
    let text =
        [("@VERSION@", version), ("@ARCHITECTURE@", ARCHITECTURE), ("@LIBC@", &c_library), ("@SIZE@", &size)]
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

/// Returns the time of the last commit in a format of git, or outside of a clone the present time in the same format of date(1).
fn committed(format: &str, now: &str) -> String {
    let mut git = Command::new("git");
    git.current_dir(shell::workspace()).arg("log").arg("-1").arg(format!("--format={format}"));
    let date = shell::answer(&mut git).or_else(|| shell::answer(Command::new("date").arg(now)));
    date.unwrap_or_default().trim().to_owned()
}

/// Sets the modes of directories, which otherwise depend on the umask here.
fn modes(directory: &Path) -> Result<()> {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("setting the mode of {}", directory.display()))?;
    for entry in fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            modes(&path)?;
        }
    }
    Ok(())
}
