//! Packages of npm that tests use, in a `node_modules` folder in the cache.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

use super::cache::Cache;
use crate::shell;

/// The `node_modules` folder that has these versions of packages; it is made if need be. Their scripts are not run.
pub(crate) fn modules(packages: &[(&str, &str)]) -> anyhow::Result<PathBuf> {
    let cache = Cache::open()?;
    let wanted: Vec<String> = packages.iter().map(|(name, version)| format!("{name}@{version}")).collect();
    let place = format!("tools/npm-{}", wanted.join("-").replace('@', "-"));
    let modules = cache.path(&place).join("node_modules");
    if modules.exists() {
        return Ok(modules);
    }
    eprintln!(
        "npm: installing {} in {}; this takes some seconds, once",
        wanted.join(" "),
        cache.path(&place).display()
    );
    // Renamed when complete.
    let scratch = cache.scratch("npm")?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--loglevel", "error"]);
    npm.arg("--prefix").arg(scratch.path()).args(&wanted);
    shell::run(&mut npm).context("the tests of the web page need npm and its registry")?;
    cache.settle(scratch.path(), &place)?;
    // The scratch directory was moved away. Create an empty one, so that its removal does not fail.
    std::fs::create_dir_all(scratch.path()).context("closing the scratch directory")?;
    Ok(modules)
}
