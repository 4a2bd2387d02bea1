//! Runs a private apt beside the system's, with other suites of the same mirror and the same signatures. It shares only the
//! addresses and the settings of the connection (proxies, credentials, retries).

pub(super) mod index;
pub(in crate::vm) mod sources;
pub(super) mod version;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, bail};

use self::index::Package;
use self::sources::Mirror;
use super::cache::{Cache, Scratch};
use crate::arch::Arch;

const KEYRINGS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"];

/// Returns the keyring with the keys with which Debian signs its archive.
pub(in crate::vm) fn keyring() -> anyhow::Result<&'static str> {
    KEYRINGS.into_iter().find(|path| Path::new(path).exists()).with_context(|| {
        format!("no {}: apt-get install debian-archive-keyring, it verifies the kernels", KEYRINGS[0])
    })
}

/// A private apt state, removed when this is dropped, because indexes of the archive are large and stale within hours.
pub(super) struct Apt {
    scratch: Scratch,
    arch: Arch,
}

impl Apt {
    /// Fetches and verifies the indexes of `suites`. A suite that the mirror does not have is reported and left out, so its
    /// packages are not found.
    pub(in crate::vm) fn open(cache: &Cache, suites: &[&str], arch: Arch) -> anyhow::Result<Self> {
        let apt = Self { scratch: cache.scratch("apt")?, arch };
        apt.write_configuration(suites)?;
        eprintln!("vm: fetching package indexes of {}", suites.join(", "));
        let output = apt.get().arg("update").output().context("running apt-get update")?;
        if !output.status.success() {
            eprintln!("vm: apt-get update was not complete:\n{}", complaints(&output));
        }
        Ok(apt)
    }

    /// Returns all packages of the opened suites that match, newest first.
    pub(super) fn find(&self, patterns: &[String]) -> anyhow::Result<Vec<Package>> {
        let mut command = self.get();
        command.args(["indextargets", "--format", "$(FILENAME)", "Created-By: Packages"]);
        let output = command.output().context("running apt-get indextargets")?;
        if !output.status.success() {
            bail!("apt-get indextargets: {}", complaints(&output));
        }
        let mut found = Vec::new();
        for path in String::from_utf8_lossy(&output.stdout).lines() {
            // apt also names the targets of a suite whose fetch failed.
            if Path::new(path).exists() {
                let bytes = fs::read(path).with_context(|| format!("reading {path}"))?;
                found.append(&mut index::matching(&String::from_utf8_lossy(&bytes), patterns));
            }
        }
        Ok(index::newest_first(found, patterns))
    }

    /// Downloads one package; apt checks it against the signed index.
    pub(super) fn download(&self, package: &Package) -> anyhow::Result<PathBuf> {
        let dir = self.path("debs");
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir).with_context(|| format!("making {}", dir.display()))?;
        let Package { name, version } = package;
        let mut command = self.get();
        command.current_dir(&dir).arg("download").arg(format!("{name}:{}={version}", self.arch.debian()));
        let output = command.output().context("running apt-get download")?;
        let deb = files(&dir)?.pop();
        match deb {
            Some(deb) if output.status.success() => Ok(deb),
            _ => bail!("apt-get download {name}={version}: {}", complaints(&output)),
        }
    }

    /// Downloads a package and `more` packages, with their dependencies that are not installed on this machine. Installs nothing.
    pub(super) fn download_with_dependencies(
        &self,
        package: &Package,
        more: &[&str],
        suite: &str,
    ) -> anyhow::Result<Vec<PathBuf>> {
        let Package { name, version } = package;
        let mut command = self.get();
        command
            .args(["install", "--download-only", "--yes", "--no-install-recommends", "-t", suite])
            .arg(format!("{name}={version}"))
            .args(more);
        let output = command.output().context("running apt-get install --download-only")?;
        if !output.status.success() {
            bail!("apt-get install --download-only {name}={version}: {}", complaints(&output));
        }
        files(&self.path("cache/archives"))
    }

    fn get(&self) -> Command {
        let mut command = Command::new("apt-get");
        command
            .env("APT_CONFIG", self.path("apt.conf"))
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("LC_ALL", "C");
        command
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.scratch.path().join(relative)
    }

    fn write_configuration(&self, suites: &[&str]) -> anyhow::Result<()> {
        let keyring = keyring()?;
        let mirror = Mirror::of_system(Path::new("/etc/apt"))?;
        let mut list = String::new();
        for suite in suites {
            match mirror.uri(suite) {
                Some(uri) => writeln!(
                    list,
                    "deb [signed-by={keyring} arch={}] {uri} {suite} main",
                    self.arch.debian()
                )?,
                None => eprintln!("vm: no security source on this machine, going on without {suite}"),
            }
        }
        for dir in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(self.path(dir)).context("making apt's private directories")?;
        }
        fs::write(self.path("sources.list"), list).context("writing the private sources.list")?;
        // This is a copy, because apt locks the directory of this file, and the system's belongs to root.
        let status = Path::new("/var/lib/dpkg/status");
        fs::copy(status, self.path("state/status"))
            .with_context(|| format!("reading {}", status.display()))?;
        fs::write(self.path("apt.conf"), configuration(self.scratch.path(), &inherited()?, self.arch))
            .context("writing the private apt.conf")
    }
}

/// Returns the system's `Acquire` settings. The rest of its configuration is left out, because hooks of the system's apt must not
/// run in a private one.
fn inherited() -> anyhow::Result<String> {
    let output = Command::new("apt-config").arg("dump").output().context("running apt-config dump")?;
    let mut settings = String::new();
    for line in String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.starts_with("Acquire::")) {
        settings.push_str(line);
        settings.push('\n');
    }
    Ok(settings)
}

fn configuration(root: &Path, inherited: &str, arch: Arch) -> String {
    let (root, arch) = (root.display(), arch.debian());
    // The sandbox user of apt cannot enter a cache below a home directory.
    format!(
        r#"{inherited}Acquire::GzipIndexes "false";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "{root}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "{root}/state";
Dir::State::status "{root}/state/status";
Dir::Cache "{root}/cache";
Dir::Log "{root}";
APT::Sandbox::User "root";
APT::Architectures {{ "{arch}"; }};
"#
    )
}

fn files(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))?;
    let mut paths: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .collect();
    paths.sort();
    Ok(paths)
}

/// Returns the lines of apt's output with errors and warnings.
fn complaints(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> =
        text.lines().filter(|line| ["E:", "W:", "Err:"].iter().any(|mark| line.starts_with(mark))).collect();
    if lines.is_empty() { text.trim().to_owned() } else { lines.join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_private_apt_reads_nothing_of_the_systems_state() {
        let text = configuration(
            Path::new("/c"),
            "Acquire::http::Proxy \"http://p.example:3128\";\n",
            Arch::Aarch64,
        );
        for line in [
            "APT::Architectures { \"arm64\"; };",
            "Dir::State \"/c/state\";",
            "Dir::Etc::parts \"/dev/null\";",
            "Dir::Cache \"/c/cache\";",
        ] {
            assert!(text.contains(line), "{line} not in\n{text}");
        }
        assert!(text.starts_with("Acquire::http::Proxy"), "the proxy is not that of the system");
    }
}
