//! `cargo xtask run`: sets up, builds, and replaces itself by taskscope.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;

use anyhow::{Context as _, Result};

use crate::{build, shell};

/// What `cargo xtask run` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build with optimization, which takes three times as long. The daemon (`-- run`) is always optimized.
    #[arg(long)]
    release: bool,
    /// Arguments for `taskscope events`; if the first is a word, such as `doctor`, arguments for `taskscope`.
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<OsString>,
}

/// Replaces this process by taskscope, so that signals and closed pipes reach it directly.
pub(crate) fn main(args: &Args) -> Result<()> {
    let why = "observing the kernel";
    // This check comes before the build, so that a user without the privileges gets the error at once.
    shell::root_prefix(why, &[])?;
    let words = words(&args.args);
    let binary = if args.release || is_whole(&words) {
        build::release()?
    } else {
        eprintln!("building without optimization, for a quick start; --release optimizes");
        build::quick()?
    };
    let mut cmd = shell::as_root(why, &[], binary.as_os_str())?;
    cmd.args(words);
    eprintln!("+ {}", shell::line(&cmd));
    Err(cmd.exec()).with_context(|| format!("starting {}", shell::line(&cmd)))
}

/// Whether the words need the release build: the daemon runs long, so the longer build pays; the quick build has neither `mcp` nor a
/// view named `top`, and `fleet` asks no name servers.
fn is_whole(words: &[OsString]) -> bool {
    words.first().is_some_and(|word| word == "run" || word == "mcp" || word == "fleet")
        || words.iter().any(|word| word == "top")
}

/// Returns the arguments of taskscope: `events` is added unless a subcommand is named.
fn words(args: &[OsString]) -> Vec<OsString> {
    let named = args.first().is_some_and(|first| !first.as_bytes().starts_with(b"-"));
    let job = (!named).then(|| OsString::from("events"));
    job.into_iter().chain(args.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> Vec<String> {
        let args: Vec<_> = args.iter().map(OsString::from).collect();
        words(&args).into_iter().map(|word| word.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn options_alone_are_for_events() {
        assert_eq!(run(&[]), ["events"]);
        assert_eq!(run(&["--format", "text"]), ["events", "--format", "text"]);
    }

    #[test]
    fn what_the_quick_build_lacks_is_built_whole() {
        let whole = |args: &[&str]| is_whole(&args.iter().map(OsString::from).collect::<Vec<_>>());
        assert!(whole(&["top"]) && whole(&["fleet", "top"]) && whole(&["run"]) && whole(&["mcp"]));
        assert!(!whole(&["events"]) && !whole(&["job", "--", "run"]));
    }

    #[test]
    fn a_word_first_is_a_subcommand() {
        assert_eq!(run(&["doctor"]), ["doctor"]);
        assert_eq!(run(&["events", "--format", "text"]), ["events", "--format", "text"]);
    }
}
