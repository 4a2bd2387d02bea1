//! `taskscope job`: runs a command and reports what it and all its descendants did, cost and left behind.

mod alone;
mod collector;
mod command;
mod daemon;
mod last_figures;
mod leftovers;
mod lives;
mod output;
mod past;
mod signals;
mod terminal;

use std::{cell::RefCell, ffi::OsString, path::PathBuf, process::ExitCode, rc::Rc, time::Duration};

use self::{
    collector::Collector,
    command::{JobCommand, Started},
    leftovers::Ending,
    output::Reports,
    signals::Signals,
};
use super::{Attach, client::ClientError, client::Socket, exit::Exit};
use crate::{duration, event_loop, kernel::clock};

/// Arguments of `job`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskscope job -- make -j8                                  runs it, then reports to standard error
  taskscope job --report build.html -- make -j8              HTML; .md (for the summary of a CI job) and .json by the suffix
  taskscope job --baseline last.json --report now.json -- make test
                                                             what grew since the run that wrote last.json
  taskscope job --fail-on leftovers,zombies -- ./test.sh     exit code 1 if a process is left
  taskscope job --timeline build.svg -- make                 a picture of all lives
  taskscope job --pid 4711 --since 10m                       the same report on processes that ran already, from the daemon's history
  taskscope job --unit nightly.service --since 1d --until 03:00 --report night.html
  taskscope job --pid 4711 --since 2d --from ./copy          from a copy of a history; needs no daemon and no privileges

The events come from the daemon, if one runs: members of the group taskscope need no root. Otherwise taskscope job observes the kernel \
itself, which needs root. The command keeps its standard streams, terminal and process group: signals, Ctrl-C and Ctrl-Z work as without \
taskscope. A report from the history names the figures that records of lives do not contain. docs/job.md describes the figures, and has \
steps for GitHub Actions, GitLab and Jenkins.

Exit codes: that of the command, or 128 plus the number of the signal that killed it; 126 if it cannot be executed, 127 if it is not found; \
1 if it exited with 0 and --fail-on found something or the report could not be written; 3 without the right to observe.")]
pub(super) struct Args {
    /// The command with its arguments
    #[arg(last = true, value_name = "COMMAND", required_unless_present_any = ["pid", "unit"])]
    command: Vec<OsString>,
    #[command(flatten)]
    past: past::PastArgs,
    /// The job's name in the report [default: the name of the program]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Write the report to this file, as JSON, Markdown or HTML by its suffix, and one line to standard error
    #[arg(long, value_name = "FILE.{json,md,html}")]
    report: Vec<PathBuf>,
    /// Compare with this earlier report
    #[arg(long, value_name = "FILE.json")]
    baseline: Option<PathBuf>,
    /// Exit with 1 if the command exited with 0 and any of these were found
    #[arg(long, value_enum, value_name = "WHAT", value_delimiter = ',')]
    fail_on: Vec<FailOn>,
    /// Kill the processes that are left when the command has exited: SIGTERM, and SIGKILL after five seconds
    #[arg(long, conflicts_with_all = past::SELECTORS)]
    kill_leftovers: bool,
    /// Write a picture with the lives of all processes
    #[arg(long, value_name = "FILE.svg")]
    timeline: Option<PathBuf>,
    /// Report command lines, which can contain secrets. A daemon has them if it runs with --args
    #[arg(long = "args", conflicts_with_all = past::SELECTORS)]
    argument_vectors: bool,
    /// Minimum age of the zombies that are reported
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "1s")]
    zombie_after: Duration,
    /// Observe without the daemon even if one runs
    #[arg(long, conflicts_with_all = past::SELECTORS)]
    alone: bool,
    /// Attach each hook only by this kind of program, without a daemon
    #[arg(long, value_enum, hide_short_help = true)]
    attach: Option<Attach>,
    /// Size of the ring between kernel and taskscope, in KiB, without a daemon [default: by the number of CPUs]
    #[arg(long, value_name = "KIB", value_parser = clap::value_parser!(u32).range(4..=1_048_576), hide_short_help = true)]
    ring_kib: Option<u32>,
    /// Use this eBPF object instead of the embedded one, for development of the programs
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    object: Option<PathBuf>,
    #[command(flatten)]
    socket: Socket,
}

/// `--fail-on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FailOn {
    /// A process of the job still runs, or is a zombie, after the command has exited
    Leftovers,
    /// A process did not wait for a child that had exited
    Zombies,
    /// A process was killed because memory ran out
    Oom,
    /// A process exited with a code other than 0, or was killed
    Failures,
    /// Events were lost, so that figures are lower bounds
    Losses,
}

/// What has been seen of the job so far.
type Shared = Rc<RefCell<Collector>>;

/// What is needed for the report once observing has ended.
struct Observed {
    status: Result<Status, Exit>,
    ending: Ending,
}

/// How the command ended, as wait4(2) says.
#[derive(Clone, Copy, Debug)]
struct Status {
    code: u8,
    rusage: crate::job::Rusage,
}

/// Runs `job`.
pub(super) fn run(args: &Args) -> ExitCode {
    job(args).unwrap_or_else(ExitCode::from)
}

fn job(args: &Args) -> Result<ExitCode, Exit> {
    let selector = args.past.selector()?;
    let reports = Reports::prepare(args)?;
    if let Some(selector) = selector {
        return past::report(args, &selector, &reports);
    }
    // Block the signals before anything creates a thread: a thread that does not block them would get them.
    let signals = Signals::block().map_err(|error| Exit::failed_at("preparing for signals", error))?;
    let runtime = event_loop::start().map_err(Exit::failed)?;
    let outcome = runtime.block_on(Box::pin(observe(args, signals, &reports)));
    runtime.shutdown_background();
    outcome
}

async fn observe(args: &Args, signals: Signals, reports: &Reports) -> Result<ExitCode, Exit> {
    let shared: Shared = Rc::default();
    let started_at = clock::boottime();
    let stream = if args.alone { None } else { daemon::connect(args).await? };
    let pipeline = if stream.is_none() { Some(alone::start(args)?) } else { None };
    let command = match JobCommand::start(&args.command, signals) {
        Started::Running(command) => command,
        Started::Refused(exit) => return Ok(exit),
    };
    shared.borrow_mut().follow(command.pid());
    let observed = match (stream, pipeline) {
        (Some(stream), _) => daemon::follow(args, stream, command, &shared).await,
        (None, Some(pipeline)) => Box::pin(alone::follow(args, pipeline, command, &shared)).await,
        (None, None) => Observed::nothing(),
    };
    let status = observed.status?;
    let outcome = reports.write(args, &shared.borrow(), &observed.ending, status, started_at);
    // The command's failure says more.
    match outcome {
        _ if status.code != 0 => Ok(ExitCode::from(status.code)),
        Ok(true) => Ok(ExitCode::SUCCESS),
        Ok(false) => Ok(Exit::Failure.into()),
        Err(exit) => Err(exit),
    }
}

/// Waits for the command, then for the last events of its processes, and ends those that are left if asked to. Calls
/// `shorten_batch_delay` when the command has exited.
async fn until_settled(
    args: &Args,
    mut command: JobCommand,
    shared: &Shared,
    shorten_batch_delay: impl AsyncFnOnce(),
) -> Observed {
    let status = command.ended().await.map_err(|error| Exit::failed_at("waiting for the command", error));
    shared.borrow_mut().is_settling = true;
    shorten_batch_delay().await;
    let ending = Ending::wait(shared, args.kill_leftovers).await;
    Observed { status, ending }
}

/// Whether the daemon's absence lets taskscope observe alone.
const fn is_absent(error: &ClientError) -> bool {
    matches!(error, ClientError::NotThere(_))
}
