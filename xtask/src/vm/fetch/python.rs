//! Virtual environments in the cache with packages of the Python Package Index that tests need.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

use super::cache::Cache;
use crate::shell;

/// Returns the interpreter of a virtual environment with this version of a package; makes the environment if needed. The package's name
/// can have extras in brackets.
pub(crate) fn environment(package: &str, version: &str) -> anyhow::Result<PathBuf> {
    let cache = Cache::open()?;
    let place = format!("tools/{}-{version}", package.split('[').next().unwrap_or(package));
    let python = cache.path(&place).join("bin/python");
    if python.exists() {
        return Ok(python);
    }
    eprintln!(
        "python: making an environment with {package} {version} in {}; this takes a minute, once",
        cache.path(&place).display()
    );
    // The environment is renamed when complete, because its interpreter works at any path.
    let scratch = cache.scratch(package)?;
    let remedy = "the tests need Python 3 with venv and pip (apt-get install python3-venv) and the Python Package Index";
    shell::run(Command::new("python3").args(["-m", "venv"]).arg(scratch.path())).context(remedy)?;
    let wanted = format!("{package}=={version}");
    let mut pip = Command::new(scratch.path().join("bin/python"));
    shell::run(pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", &wanted]))
        .context(remedy)?;
    cache.settle(scratch.path(), &place)?;
    // The scratch directory was moved, so an empty one is made that can be removed.
    std::fs::create_dir_all(scratch.path()).context("closing the scratch directory")?;
    Ok(python)
}
