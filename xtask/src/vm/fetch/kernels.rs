//! Kernel images: found in the cache, or fetched as the newest of their line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::apt::index::Package;
use super::apt::{Apt, version};
use super::cache::Cache;
use crate::arch::Arch;
use crate::vm::kernels::table::{Line, candidates};

const SUFFIX: &str = "vmlinuz";
/// How many packages of a line are tried, because a package may have been removed since the index was made.
const TRIES: usize = 6;
/// How many lines of the table "newest" may go back.
const NEWEST_TRIES: usize = 3;

/// A bootable kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vm) struct Kernel {
    /// The line's name, or the file's for `--kernel`.
    pub(in crate::vm) name: String,
    pub(in crate::vm) arch: Arch,
    /// Debian's version of the package.
    pub(in crate::vm) version: String,
    pub(in crate::vm) image: PathBuf,
}

/// A requested kernel, or the error.
pub(in crate::vm) type Found = (String, anyhow::Result<Kernel>);

/// Returns the newest cached kernel of a line.
pub(in crate::vm) fn cached(cache: &Cache, name: &str, arch: Arch) -> Option<Kernel> {
    let entries = fs::read_dir(cache.path(&directory(name))).ok()?;
    entries
        .filter_map(|entry| kernel_of(name, arch, &entry.ok()?.path()))
        .max_by(|left, right| version::compare(&left.version, &right.version))
}

/// Returns every kernel of `names`, from the cache unless `refresh` requests the newest of the archive.
pub(in crate::vm) fn obtain(
    cache: &Cache,
    lines: &[Line],
    names: &[String],
    refresh: bool,
) -> anyhow::Result<Vec<Found>> {
    let mut wanted = Vec::new();
    for name in names {
        wanted.push((name, candidates(lines, name, NEWEST_TRIES)?));
    }
    let missing =
        |candidates: &[&Line]| refresh || candidates.iter().all(|l| cached(cache, &l.name, l.arch).is_none());
    let mut apts = Vec::new();
    for arch in Arch::ALL {
        let mut suites: Vec<&str> = wanted
            .iter()
            .filter(|(_, candidates)| missing(&candidates[..1]))
            .flat_map(|(_, candidates)| candidates.iter())
            .filter(|line| line.arch == arch)
            .flat_map(|line| line.suites.iter().map(String::as_str))
            .collect();
        suites.sort_unstable();
        suites.dedup();
        if !suites.is_empty() {
            apts.push((arch, Apt::open(cache, &suites, arch)));
        }
    }
    let apt_of = |candidates: &[&Line]| {
        let arch = candidates.first()?.arch;
        apts.iter().find_map(|(other, apt)| (*other == arch).then_some(apt))
    };
    Ok(wanted
        .into_iter()
        .map(|(name, candidates)| {
            (name.clone(), first(cache, apt_of(&candidates), name, &candidates, refresh))
        })
        .collect())
}

fn first(
    cache: &Cache,
    apt: Option<&anyhow::Result<Apt>>,
    name: &str,
    candidates: &[&Line],
    refresh: bool,
) -> anyhow::Result<Kernel> {
    let mut reasons = Vec::new();
    for line in candidates {
        match one(cache, apt, line, refresh) {
            Ok(kernel) => {
                if !reasons.is_empty() {
                    eprintln!("vm: {name} is {}, because {}", kernel.name, reasons.join("; "));
                }
                return Ok(kernel);
            }
            Err(error) => reasons.push(format!("{}: {error:#}", line.name)),
        }
    }
    bail!("{}", reasons.join("; "))
}

fn one(
    cache: &Cache,
    apt: Option<&anyhow::Result<Apt>>,
    line: &Line,
    refresh: bool,
) -> anyhow::Result<Kernel> {
    let old = cached(cache, &line.name, line.arch);
    match (old, apt) {
        (Some(old), None) => Ok(old),
        (Some(old), _) if !refresh => Ok(old),
        (None, None) => bail!("not in the cache"),
        (old, Some(Err(error))) => fall_back(old, &line.name, error),
        (old, Some(Ok(apt))) => match fetch(cache, apt, line) {
            Ok(kernel) => {
                drop_others(cache, &kernel)?;
                Ok(kernel)
            }
            Err(error) => fall_back(old, &line.name, &error),
        },
    }
}

fn fall_back(old: Option<Kernel>, name: &str, reason: &anyhow::Error) -> anyhow::Result<Kernel> {
    let Some(old) = old else { bail!("{reason:#}") };
    eprintln!("vm: {name} stays at {}: {reason:#}", old.version);
    Ok(old)
}

fn fetch(cache: &Cache, apt: &Apt, line: &Line) -> anyhow::Result<Kernel> {
    let packages = apt.find(&line.patterns)?;
    if packages.is_empty() {
        bail!("no package {} in {}", line.patterns.join(" or "), line.suites.join(", "));
    }
    let mut reasons = Vec::new();
    for package in packages.iter().take(TRIES) {
        let place = format!("{}/{}_{}.{SUFFIX}", directory(&line.name), package.name, package.version);
        if let Some(kernel) =
            kernel_of(&line.name, line.arch, &cache.path(&place)).filter(|k| k.image.exists())
        {
            return Ok(kernel);
        }
        eprintln!("vm: fetching {} {}", package.name, package.version);
        match fetch_package(cache, apt, package, &place) {
            Ok(image) => {
                return kernel_of(&line.name, line.arch, &image).context("the cached name cannot be parsed");
            }
            Err(error) => {
                eprintln!("vm: {error:#}");
                reasons.push(format!("{error:#}"));
            }
        }
    }
    bail!("{}", reasons.join("; "))
}

fn fetch_package(cache: &Cache, apt: &Apt, package: &Package, place: &str) -> anyhow::Result<PathBuf> {
    let deb = apt.download(package)?;
    let scratch = cache.scratch("kernel")?;
    unpack(&deb, scratch.path(), Some("vmlinuz*"))?;
    let mut images = Vec::new();
    find_images(scratch.path(), &mut images)?;
    match images.as_slice() {
        [image] => cache.settle(image, place),
        others => bail!("{} holds {} files called vmlinuz*, not one", package.name, others.len()),
    }
}

/// Unpacks what matches `pattern` (or all) of a .deb into `dir`, with directories as in the package.
pub(super) fn unpack(deb: &Path, dir: &Path, pattern: Option<&str>) -> anyhow::Result<()> {
    let mut source = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(deb)
        .stdout(Stdio::piped())
        .spawn()
        .context("running dpkg-deb")?;
    let pipe = source.stdout.take().context("dpkg-deb has no output")?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--no-same-owner", "--directory"]).arg(dir).stdin(pipe);
    if let Some(pattern) = pattern {
        tar.args(["--wildcards", "--no-anchored", pattern]);
    }
    let status = tar.status().context("running tar")?;
    let source = source.wait().context("waiting for dpkg-deb")?;
    if !status.success() || !source.success() {
        bail!("unpacking {}: tar {status}, dpkg-deb {source}", deb.display());
    }
    Ok(())
}

/// Finds `/boot/vmlinuz-*`, or `/usr/lib/modules/*/vmlinuz*` in newer packages.
fn find_images(dir: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let path = entry?.path();
        let kind = path.symlink_metadata()?.file_type();
        if kind.is_dir() {
            find_images(&path, found)?;
        } else if kind.is_file() {
            found.push(path);
        }
    }
    Ok(())
}

fn drop_others(cache: &Cache, kernel: &Kernel) -> anyhow::Result<()> {
    let dir = cache.path(&directory(&kernel.name));
    for entry in fs::read_dir(&dir).with_context(|| format!("reading {}", dir.display()))? {
        let path = entry?.path();
        if path != kernel.image {
            fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

fn directory(name: &str) -> String {
    format!("kernels/{name}")
}

/// Parses the name `PACKAGE_VERSION.vmlinuz`; neither part can contain an underscore.
fn kernel_of(name: &str, arch: Arch, image: &Path) -> Option<Kernel> {
    if image.extension()? != SUFFIX {
        return None;
    }
    let (_, version) = image.file_stem()?.to_str()?.rsplit_once('_')?;
    Some(Kernel { name: name.to_owned(), arch, version: version.to_owned(), image: image.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::kernels::table::{self, NEWEST};

    fn cache(purpose: &str) -> Cache {
        let path = std::env::temp_dir().join(format!("taskscope-kernels-{purpose}-{}", std::process::id()));
        Cache::at(path).unwrap()
    }

    fn put(cache: &Cache, line: &str, file: &str) {
        fs::create_dir_all(cache.path(&directory(line))).unwrap();
        fs::write(cache.path(&format!("kernels/{line}/{file}")), "").unwrap();
    }

    #[test]
    fn a_cached_kernel_needs_no_network_and_the_newest_file_counts() {
        let cache = cache("cached");
        put(&cache, "6.12", "linux-image-6.12.9+deb13-cloud-amd64_6.12.9-1.vmlinuz");
        put(&cache, "6.12", "linux-image-6.12.10+deb13-cloud-amd64_6.12.10-1.vmlinuz");
        put(&cache, "6.12", "notes.txt");
        let lines = table::lines().unwrap();
        let found = obtain(&cache, &lines, &["6.12".to_owned()], false).unwrap();
        assert_eq!(found[0].1.as_ref().unwrap().version, "6.12.10-1");
        fs::remove_dir_all(cache.path("")).unwrap();
    }

    #[test]
    fn newest_is_the_last_available_row() {
        let lines = table::lines().unwrap();
        let candidates = candidates(&lines, NEWEST, NEWEST_TRIES).unwrap();
        assert_eq!(candidates[0], lines.iter().rfind(|line| line.arch == Arch::X86_64).unwrap());
        assert_eq!(candidates.len(), NEWEST_TRIES);

        let cache = cache("newest");
        let second = candidates[1];
        put(&cache, &second.name, "linux-binary-x_7.2.1-1.vmlinuz");
        let kernel = first(&cache, None, NEWEST, &candidates, false).unwrap();
        assert_eq!(kernel.name, second.name);
        fs::remove_dir_all(cache.path("")).unwrap();
    }

    #[test]
    fn an_unavailable_line_has_a_reason() {
        let cache = cache("none");
        let lines = table::lines().unwrap();
        let apt = Err(anyhow::anyhow!("no mirror"));
        let error =
            first(&cache, Some(&apt), "5.10", &candidates(&lines, "5.10", 1).unwrap(), false).unwrap_err();
        assert!(error.to_string().contains("no mirror"), "{error}");
        fs::remove_dir_all(cache.path("")).unwrap();
    }
}
