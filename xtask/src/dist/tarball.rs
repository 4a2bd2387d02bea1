//! Creates the tarball: the static binary, documentation and packaging files, for any Linux.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::VERSION;
use super::generated::{Generated, Zsh};
use super::tree::Tree;
use crate::arch::Arch;
use crate::shell;

/// Packs `taskscope-VERSION-ARCH-linux.tar.gz`.
pub(super) fn build((arch, program): (Arch, &Path), generated: &Generated, out: &Path) -> Result<PathBuf> {
    let name = format!("taskscope-{VERSION}-{arch}-linux");
    let tree = Tree::new(out.join(format!("{name}.tree")))?;
    tree.copy(program, &format!("{name}/bin/taskscope"), 0o755)?;
    for (file, place) in [
        ("taskscope.toml", "etc/taskscope/taskscope.toml"),
        ("systemd/taskscope.service", "lib/systemd/system/taskscope.service"),
        ("sysusers.d/taskscope.conf", "lib/sysusers.d/taskscope.conf"),
        ("prometheus/taskscope.rules.yml", "share/taskscope/prometheus/taskscope.rules.yml"),
        ("grafana/taskscope.json", "share/taskscope/grafana/taskscope.json"),
        ("kubernetes/daemonset.yaml", "share/taskscope/kubernetes/daemonset.yaml"),
    ] {
        tree.copy_packaging(file, &format!("{name}/{place}"))?;
    }
    tree.copy_documents(&format!("{name}/share/doc/taskscope"))?;
    for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
        tree.copy(&shell::workspace().join(licence), &format!("{name}/{licence}"), 0o644)?;
    }
    generated.copy(&tree, &format!("{name}/share"), Zsh::Site)?;
    let file = out.join(format!("{name}.tar.gz"));
    pack(&tree.root(), &name, &file, "--use-compress-program=gzip -9n")?;
    Ok(file)
}

/// Packs an archive whose bytes depend on names and contents only.
pub(super) fn pack(directory: &Path, what: &str, file: &Path, compress: &str) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.args([
        "--create",
        "--format=ustar",
        "--sort=name",
        "--mtime=@0",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
    ]);
    tar.arg("--mode=u+rwX,go+rX,go-w");
    if !compress.is_empty() {
        tar.arg(compress);
    }
    shell::run(tar.arg("--file").arg(file).arg("--directory").arg(directory).arg(what))
}
