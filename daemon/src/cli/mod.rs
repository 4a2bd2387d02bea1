//! The command line: one file for each subcommand. `common/` has shared code; `manual` writes man pages and completions.

mod blocked;
mod common;
mod deaths;
mod diff;
mod doctor;
mod events;
mod explain;
mod export;
mod fleet;
mod job;
mod leaks;
mod limits;
mod lives;
mod manual;
#[cfg(feature = "mcp")]
mod mcp;
mod record;
mod replay;
mod run;
mod schema;
mod status;
mod timeline;
#[cfg(feature = "top")]
mod top;
mod tree;
mod zombies;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

pub use self::common::exit;
#[cfg(feature = "top")]
use self::common::full_screen;
use self::common::{
    ask, client, conditions, logging, output, past, query, schema_name, selector, signals, stdout, terminal,
    whole_lines,
};
use crate::{
    kernel::{hooks::Family, ladder::Choice},
    panics,
};

#[expect(clippy::doc_markdown, reason = "the text of --help")]
/// Watches every Linux task from copy_process() to release_task()
#[derive(Debug, Parser)]
#[command(name = "taskscope", version, about, after_help = exit::HELP, arg_required_else_help = true)]
struct Cli {
    /// Log debugging messages on standard error; -vv logs everything, also messages of libraries
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run as a daemon: metrics for Prometheus, an API on a Unix socket
    Run(run::Args),
    /// Print the events of all tasks as they happen, one JSON object per line
    Events(events::Args),
    /// Show the process tree: zombies, dead leaders, stuck exits, namespaces, containers
    Tree(tree::Args),
    /// Show parents that have not waited for their zombies, why, and what to do
    Zombies(zombies::Args),
    /// Show tasks in uninterruptible sleep (state D): for how long, where, and what they wait for
    Blocked(blocked::Args),
    /// Show which processes ended, and why: who sent the signal, out of memory, a fault, a limit
    Deaths(deaths::Args),
    /// Print the life of each released process, one JSON object per line
    Lives(lives::Args),
    /// Show what changed between two times: new, gone and reparented processes, and the CPU time used
    Diff(diff::Args),
    /// Draw the lives of processes as an SVG picture: parents, zombies, signals, orphans
    Timeline(timeline::Args),
    /// Record what all tasks do, in a file, until Ctrl-C or until a command ends
    Record(record::Args),
    /// Run a command and report what it and its descendants did, cost and left behind, and why it took that long
    Job(job::Args),
    /// Replay a recording: its events, or the tree, a process, zombies, deaths and more at a time in it
    Replay(replay::Args),
    /// Write a trace for Perfetto: lives, zombies, signals; from a recording, the history or the daemon
    Export(export::Args),
    /// Show the history of one process, what is wrong with it, and what to do
    Explain(explain::Args),
    /// Show leaks other than zombies: growing threads, programs that are restarted in a loop, fork storms, orphans
    Leaks(leaks::Args),
    /// Show how full each limit on pids is, and which processes fill it
    Limits(limits::Args),
    /// Show a live view in the terminal: zombies, deaths, blocked tasks, limits, the tree, events
    #[cfg(feature = "top")]
    Top(top::Args),
    /// Ask the daemons of many hosts at once: zombies, deaths, status, one process
    Fleet(fleet::Args),
    /// Serve the daemon's answers to an AI assistant: tools of the Model Context Protocol on standard input and output
    #[cfg(feature = "mcp")]
    Mcp(mcp::Args),
    /// Show the daemon's health: hooks, losses, repairs, memory, readers
    Status(status::Args),
    /// Show what this kernel supports, how each hook would be attached, and what cannot be reported
    Doctor(doctor::Args),
    /// Print the JSON Schema of lines that other commands print
    Schema(schema::Args),
    /// Write man pages
    #[command(hide = true)]
    Man(manual::ManArgs),
    /// Write completions for a shell
    #[command(hide = true)]
    Completions(manual::CompletionArgs),
}

/// `--attach`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Attach {
    /// For each hook: kprobe, else fentry, else tracepoint
    #[default]
    Auto,
    /// kprobes and kretprobes only
    Kprobe,
    /// fentry and fexit only
    Fentry,
    /// btf and raw tracepoints only
    Tracepoint,
}

impl From<Attach> for Choice {
    fn from(attach: Attach) -> Self {
        match attach {
            Attach::Auto => Self::Auto,
            Attach::Kprobe => Self::Only(Family::Kprobe),
            Attach::Fentry => Self::Only(Family::Fentry),
            Attach::Tracepoint => Self::Only(Family::Tracepoint),
        }
    }
}

/// Runs the command line and returns one of [`exit::Exit`].
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` come here too, with success. If printing fails, nothing can be reported.
            let _ = error.print();
            return if error.use_stderr() { exit::Exit::Usage.into() } else { exit::Exit::Success.into() };
        }
    };
    let waits = match cli.command {
        Command::Run(_) => logging::DAEMON_WAITS,
        _ => logging::COMMAND_WAITS,
    };
    logging::init(cli.verbose, waits);
    crate::failpoint::follow();
    panics::install_hook();
    // The hook has logged the panic; the caller learns it from the exit code.
    panics::catch(|| run(cli.command)).unwrap_or_else(|_| exit::Exit::Failure.into())
}

fn run(command: Command) -> ExitCode {
    let exit = match command {
        Command::Record(args) => return record::run(&args),
        Command::Job(args) => return job::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Events(args) => events::run(&args),
        Command::Tree(args) => tree::run(&args),
        Command::Zombies(args) => zombies::run(&args),
        Command::Blocked(args) => blocked::run(&args),
        Command::Deaths(args) => deaths::run(&args),
        Command::Lives(args) => lives::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Timeline(args) => timeline::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Leaks(args) => leaks::run(&args),
        Command::Limits(args) => limits::run(&args),
        #[cfg(feature = "top")]
        Command::Top(args) => top::run(&args),
        Command::Fleet(args) => fleet::run(&args),
        #[cfg(feature = "mcp")]
        Command::Mcp(args) => mcp::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Man(args) => manual::man(&args),
        Command::Completions(args) => manual::completions(&args),
    };
    exit.into()
}
