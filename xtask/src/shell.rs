//! Runs other programs. Prints each command on stderr, names a command that fails, and leaves stdout to taskscope.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// Returns the top directory of the workspace.
pub(crate) fn workspace() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// Returns the directory of cargo's artifacts.
pub(crate) fn target_dir() -> PathBuf {
    // A relative path is relative to the directory in which the user called cargo; we run cargo in another directory.
    match env::var_os("CARGO_TARGET_DIR").filter(|dir| !dir.is_empty()) {
        Some(dir) => env::current_dir().unwrap_or_default().join(dir),
        None => workspace().join("target"),
    }
}

/// Returns the cargo that runs this xtask, in the workspace, with [`target_dir`] as its target directory.
pub(crate) fn cargo() -> Command {
    let mut cmd = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cmd.current_dir(workspace()).env("CARGO_TARGET_DIR", target_dir()).env_remove("CARGO_BUILD_TARGET");
    cmd
}

/// Runs `cmd` to its end with our stderr as its stdout; a status other than 0 is an error.
pub(crate) fn run(cmd: &mut Command) -> Result<()> {
    cmd.stdout(stderr()?);
    run_with_stdout(cmd)
}

/// Runs `cmd` like [`run`], but with our stdout, for test runners.
pub(crate) fn run_with_stdout(cmd: &mut Command) -> Result<()> {
    eprintln!("+ {}", line(cmd));
    let status = cmd.stdin(Stdio::null()).status().with_context(|| format!("starting {}", line(cmd)))?;
    if !status.success() {
        bail!("{} failed: {status}", line(cmd));
    }
    Ok(())
}

/// Returns what `cmd` writes to stdout, or `None` if it cannot be run or fails.
pub(crate) fn answer(cmd: &mut Command) -> Option<String> {
    let output = cmd.env("LC_ALL", "C").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns the first file named `program` on `PATH`.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// How this user can run a command as root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    /// We are root.
    Already,
    /// We can use sudo.
    Sudo,
    /// Neither is possible.
    No,
}

/// Returns how this user can run a command as root.
pub(crate) fn root() -> Root {
    let already = std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    match (already, which("sudo")) {
        (true, _) => Root::Already,
        (false, Some(_)) => Root::Sudo,
        (false, None) => Root::No,
    }
}

/// Returns the words before a command that make it run as root with these variables, which sudo would otherwise drop.
pub(crate) fn root_prefix(why: &str, env: &[(&str, &OsStr)]) -> Result<Vec<OsString>> {
    let mut words: Vec<OsString> = match root() {
        Root::Already => Vec::new(),
        Root::Sudo => vec!["sudo".into(), "--".into()],
        Root::No => bail!("{why} needs root, and there is no sudo: run this command as root"),
    };
    if !env.is_empty() {
        words.push("env".into());
        for (key, value) in env {
            let mut pair = OsString::from(key);
            pair.push("=");
            pair.push(value);
            words.push(pair);
        }
    }
    Ok(words)
}

/// Returns a command that runs `program` as root.
pub(crate) fn as_root(why: &str, env: &[(&str, &OsStr)], program: &OsStr) -> Result<Command> {
    let mut words = root_prefix(why, env)?.into_iter().chain([program.to_owned()]);
    let mut cmd = Command::new(words.next().unwrap_or_default());
    cmd.args(words);
    Ok(cmd)
}

/// Returns our stderr, for a child's stdout.
fn stderr() -> Result<Stdio> {
    Ok(Stdio::from(io::stderr().as_fd().try_clone_to_owned().context("duplicating stderr")?))
}

/// Returns `cmd` as a shell command line.
pub(crate) fn line(cmd: &Command) -> String {
    let program = Path::new(cmd.get_program()).file_name().unwrap_or(cmd.get_program());
    std::iter::once(program).chain(cmd.get_args()).map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
