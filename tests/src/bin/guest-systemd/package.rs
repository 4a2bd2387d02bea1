//! Installs, upgrades and removes the package.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::daemon;
use crate::programs;
use crate::run::{Run, until};
use crate::systemctl::{main_pid, property, sh, unit};

/// Where the archive is unpacked.
pub(crate) const DEB: &str = "/opt/taskscope.deb";
const UPGRADE: &str = "/opt/taskscope-upgrade.deb";
pub(crate) const CONFIGURATION: &str = "/etc/taskscope/taskscope.toml";

const FILES: [&str; 7] = [
    "/usr/bin/taskscope",
    CONFIGURATION,
    "/usr/lib/systemd/system/taskscope.service",
    "/usr/lib/sysusers.d/taskscope.conf",
    "/usr/share/taskscope/prometheus/taskscope.rules.yml",
    "/usr/share/taskscope/grafana/taskscope.json",
    "/usr/share/doc/taskscope/copyright",
];

/// Installs the package: the user exists, and the service is enabled and running, as usual in Debian.
pub(crate) fn installs(run: &mut Run) -> anyhow::Result<()> {
    run.programs_before = Some(programs::observing()?);
    sh("dpkg", &["--force-unsafe-io", "--install", DEB])?;
    for file in FILES {
        ensure!(Path::new(file).exists(), "the package did not bring {file}");
    }
    sh("getent", &["passwd", "taskscope"])?;
    sh("getent", &["group", "taskscope"])?;
    ensure!(sh("taskscope", &["--version"])?.starts_with("taskscope "), "--version prints no version");
    ensure!(unit("is-enabled")?.trim() == "enabled", "the service is not enabled");
    ensure!(unit("is-active")?.trim() == "active", "the service is not active");
    run.report("service.status", property("StatusText")?)
}

/// Upgrades the package: a newer version restarts the service and keeps the configuration.
pub(crate) fn upgrades(run: &mut Run) -> anyhow::Result<()> {
    unit("start")?;
    let old = main_pid()?;
    let configuration = fs::read_to_string(CONFIGURATION).context("reading the configuration")?;
    fs::write(CONFIGURATION, format!("{configuration}\nzombie_after = \"5s\"\n"))
        .context("changing the configuration")?;
    sh("dpkg", &["--force-unsafe-io", "--install", UPGRADE])?;
    let new = main_pid()?;
    ensure!(new != old, "the daemon of the old version still runs");
    ensure!(unit("is-active")?.trim() == "active", "the service is not active");
    let kept = fs::read_to_string(CONFIGURATION).context("reading the configuration")?;
    ensure!(kept.contains("zombie_after = \"5s\""), "the operator's configuration is gone");
    until("the new one answers", || daemon::get("/metrics"))?;
    let version = sh("dpkg-query", &["--show", "--showformat=${Version}", "taskscope"])?;
    run.report("package.upgraded_to", version)
}

/// Removes the package: the service is stopped, and the configuration stays.
pub(crate) fn removes(run: &mut Run) -> anyhow::Result<()> {
    sh("dpkg", &["--force-unsafe-io", "--remove", "taskscope"])?;
    ensure!(!Path::new("/usr/bin/taskscope").exists(), "the binary is still there");
    ensure!(property("ActiveState")? == "inactive", "the service is {}", property("ActiveState")?);
    ensure!(property("LoadState")? == "not-found", "systemd still knows the unit");
    ensure!(Path::new(CONFIGURATION).exists(), "removing the package removed the configuration");
    gone(run)
}

/// Purges the package: only the user stays, because it may own files.
pub(crate) fn purges(run: &mut Run) -> anyhow::Result<()> {
    sh("dpkg", &["--force-unsafe-io", "--purge", "taskscope"])?;
    ensure!(!Path::new("/etc/taskscope").exists(), "/etc/taskscope is still there");
    let links = sh("find", &["/etc/systemd", "/var/lib/systemd", "-name", "taskscope.service*"])?;
    ensure!(links.trim().is_empty(), "purging left {}", links.trim());
    gone(run)
}

/// Checks that no eBPF program and no socket is left.
pub(crate) fn gone(run: &Run) -> anyhow::Result<()> {
    let before = run.programs_before.context("the first step did not count programs")?;
    // The kernel frees them after a grace period.
    until("its eBPF programs are gone", || {
        let now = programs::observing()?;
        ensure!(now == before, "{now} programs observe, {before} before the package was installed");
        Ok(())
    })?;
    ensure!(!Path::new("/run/taskscope").exists(), "/run/taskscope is still there");
    Ok(())
}
