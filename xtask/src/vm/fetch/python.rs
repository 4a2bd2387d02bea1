//! A program of the Python Package Index that tests compare with, in a virtual environment in the cache.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

use super::cache::Cache;
use crate::shell;

/// The interpreter of a virtual environment that has this version of a package; it is made if need be.
pub(crate) fn environment(package: &str, version: &str) -> anyhow::Result<PathBuf> {
    let cache = Cache::open()?;
    let place = format!("tools/{package}-{version}");
    let python = cache.path(&place).join("bin/python");
    if python.exists() {
        return Ok(python);
    }
    eprintln!(
        "python: making an environment with {package} {version} in {}; this takes a minute, once",
        cache.path(&place).display()
    );
    // Renamed when complete: its interpreter works at any place.
    let scratch = cache.scratch(package)?;
    let remedy = "the tests need Python 3 with venv and pip (apt-get install python3-venv) and the Python Package Index";
    shell::run(Command::new("python3").args(["-m", "venv"]).arg(scratch.path())).context(remedy)?;
    let wanted = format!("{package}=={version}");
    let mut pip = Command::new(scratch.path().join("bin/python"));
    shell::run(pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", &wanted]))
        .context(remedy)?;
    cache.settle(scratch.path(), &place)?;
    // The scratch directory was moved; an empty one in its place keeps its removal honest.
    std::fs::create_dir_all(scratch.path()).context("closing the scratch directory")?;
    Ok(python)
}
