//! `taskscope events`: prints what the kernel's tasks do, as it happens; from the daemon if there is one, otherwise observed
//! here.

pub(super) mod alone;
pub(super) mod lines;
mod remote;
mod sched;

use std::{
    ffi::OsStr,
    io::{self, IsTerminal as _},
    os::fd::AsFd as _,
    path::PathBuf,
    time::Duration,
};

use clap::{
    Arg, Command, ValueEnum,
    builder::{PossibleValue, StringValueParser, TypedValueParser},
};
use tokio::io::Interest;

use super::{
    Attach,
    client::{ClientError, Socket},
    exit::Exit,
    schema_name::SchemaName,
    selector::Selector,
};
use crate::{
    event_loop,
    export::{EventSelection, SCHED_ACTIONS},
    fd::watch,
    lineage::ActionKind,
};

/// Arguments of `events`.
#[derive(Clone, Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(after_help = "\
Examples:
  taskscope events | jq 'select(.event.action == \"exited\")'   every task that dies
  taskscope events --action reaped,zombie_flagged               children that are reaped, and zombies that are not
  taskscope events --format text --subtree 4711                 one process and its descendants, as text
  taskscope events --subtree nginx.service                      the same for the topmost process of a unit
  taskscope events --sched --pid 4711 --format text             each switch and wakeup of a process
  taskscope events --unit 'nginx*' --since 5m                   the last 5 minutes of a service, then new events; needs a daemon
  taskscope events --lives | jq .usage                          CPU time and faults of each process that has ended
  taskscope events --schema ecs --action execed,group_exited    documents for Elasticsearch or OpenSearch

Events come from a running daemon. Without a daemon, or with one of the options for observing without a daemon, this command observes the kernel itself, from now on.")]
pub(super) struct Args {
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Names of the fields of JSON: docs/events.md
    #[arg(long, value_enum, default_value_t, value_name = "SCHEMA")]
    schema: SchemaName,
    /// Only events with these actions (docs/events.md lists them)
    #[arg(long, value_delimiter = ',', value_name = "ACTION", value_parser = ActionName, hide_possible_values = true)]
    action: Vec<String>,
    /// Only events of these processes: pids, or names of present processes or systemd units
    #[arg(long = "pid", value_delimiter = ',', value_name = "PID|NAME|UNIT")]
    pid_selectors: Vec<Selector>,
    /// `--pid` as pids.
    #[arg(skip)]
    pid: Vec<u32>,
    /// Only events of this process and of all its descendants
    #[arg(long = "subtree", value_name = "PID|NAME|UNIT")]
    subtree_selector: Option<Selector>,
    /// `--subtree` as a pid.
    #[arg(skip)]
    subtree: Option<u32>,
    /// Only events of processes or threads with this name; * and ? as in a shell
    #[arg(long, value_name = "GLOB")]
    comm: Vec<String>,
    /// Only events in this systemd unit; * and ? as in a shell
    #[arg(long, value_name = "GLOB")]
    unit: Vec<String>,
    /// Only events in this container, by the beginning of its id
    #[arg(long, value_name = "ID")]
    container: Vec<String>,
    /// Start with events this old, as far as the daemon still has them
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse)]
    since: Option<Duration>,
    /// Start after the event with this sequence number, as far as the daemon still has it
    #[arg(long, value_name = "SEQ", conflicts_with = "since")]
    follow_from: Option<u64>,
    /// Stop after this many events
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Print only lives, one line for each process when it is released (docs/lives.md). `taskscope lives` shows those that were
    /// released before
    #[arg(long, conflicts_with_all = ["action", "since", "follow_from", "sched"])]
    lives: bool,
    #[expect(clippy::doc_markdown, reason = "the text of --help")]
    /// Print only the context switches and wakeups of the processes of --pid: switched_out, woken, switched_in. This command
    /// observes them itself, with extra eBPF programs, whether a daemon runs or not; it ends when all these processes have ended
    #[arg(long, conflicts_with_all = ["subtree_selector", "comm", "unit", "container", "since", "follow_from",
        "argument_vectors", "zombie_after", "blocked_after", "audit_every", "canary_every", "no_iterator", "object"])]
    sched: bool,
    /// When to colour text
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    color: Color,
    #[command(flatten)]
    socket: Socket,
    /// Observe the kernel directly, and do not ask a daemon
    #[arg(long, help_heading = ALONE, conflicts_with_all = ["since", "follow_from"])]
    alone: bool,
    /// Attach each hook only by this kind of program
    #[arg(long, value_enum, help_heading = ALONE)]
    attach: Option<Attach>,
    /// Read argument vectors of execs; they can hold secrets
    #[arg(long = "args", help_heading = ALONE)]
    argument_vectors: bool,
    /// Age at which a zombie is flagged, such as 500ms, 10s or 2m [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse, help_heading = ALONE)]
    zombie_after: Option<Duration>,
    /// Duration at which an uninterruptible sleep (state D) is flagged; 0s is never [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse, help_heading = ALONE)]
    blocked_after: Option<Duration>,
    /// Size of the ring between kernel and taskscope, in KiB; rounded up to a power of two [default: by the number of CPUs]
    #[arg(long, value_name = "KIB", value_parser = clap::value_parser!(u32).range(4..=1_048_576), help_heading = ALONE)]
    ring_kib: Option<u32>,
    /// How often the tree is compared with the kernel's tasks even if no loss is known; 0s is never [default: 5m]
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse, help_heading = ALONE)]
    audit_every: Option<Duration>,
    /// Interval of canaries, short-lived processes by which taskscope checks itself; they are not shown; 0s is never [default: 15s]
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse, help_heading = ALONE)]
    canary_every: Option<Duration>,
    /// Do not use the kernel's task iterator, only /proc
    #[arg(long, hide_short_help = true, help_heading = ALONE)]
    no_iterator: bool,
    /// Use this eBPF object instead of the embedded one, for development of the programs
    #[arg(long, value_name = "FILE", hide_short_help = true, help_heading = ALONE)]
    object: Option<PathBuf>,
}

/// Options that only make sense without a daemon.
const ALONE: &str = "Options for observing without a daemon";

/// `--format` of `events`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// One JSON object a line
    #[default]
    Json,
    /// One aligned line an event
    Text,
}

/// `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Accepts any text as the name of an action, and offers the known names for completion. Which names are allowed depends on
/// `--sched`.
#[derive(Clone)]
struct ActionName;

impl TypedValueParser for ActionName {
    type Value = String;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let names = ActionKind::ALL.map(ActionKind::name).into_iter().chain(SCHED_ACTIONS);
        Some(Box::new(names.map(PossibleValue::new)))
    }
}

impl Args {
    fn selection(&self) -> EventSelection {
        EventSelection {
            actions: self.action.clone(),
            pids: self.pid.clone(),
            subtree: self.subtree,
            comms: self.comm.clone(),
            units: self.unit.clone(),
            containers: self.container.clone(),
            lives: self.lives,
        }
    }

    fn lines(&self) -> lines::LineOptions {
        lines::LineOptions {
            selection: self.selection(),
            format: self.format,
            schema: self.schema.into(),
            colour: self.is_coloured(),
            limit: self.limit,
        }
    }

    /// Whether an option is given that a running daemon has decided already.
    const fn is_for_alone(&self) -> bool {
        self.alone
            || self.attach.is_some()
            || self.argument_vectors
            || self.zombie_after.is_some()
            || self.blocked_after.is_some()
            || self.ring_kib.is_some()
            || self.audit_every.is_some()
            || self.canary_every.is_some()
            || self.no_iterator
            || self.object.is_some()
    }

    /// <https://no-color.org>: set and not empty.
    fn is_coloured(&self) -> bool {
        match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                std::io::stdout().is_terminal()
                    && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            }
        }
    }
}

/// Runs `events`.
pub(super) fn run(args: &Args) -> Exit {
    if args.sched
        && let Some(mistake) = sched::mistake(args)
    {
        log::error!("{mistake}");
        return Exit::Usage;
    }
    let is_unknown = |name: &&String| !args.sched && ActionKind::from_name(name).is_none();
    if let Some(unknown) = args.action.iter().find(is_unknown) {
        log::error!("--action {unknown}: no such action; there are: {}", ActionKind::list());
        return Exit::Usage;
    }
    if args.lives && args.format == Format::Text {
        log::error!("--lives prints JSON only: leave out --format text");
        return Exit::Usage;
    }
    if args.schema != SchemaName::Native && args.format == Format::Text {
        log::error!("--schema is for JSON only: leave out --format text");
        return Exit::Usage;
    }
    let args = &match resolved(args) {
        Ok(args) => args,
        Err(exit) => return exit,
    };
    let runtime = match event_loop::start() {
        Ok(runtime) => runtime,
        Err(error) => return Exit::failed(error),
    };
    let exit = runtime.block_on(daemon_or_alone(args));
    // A write to a reader that reads nothing would delay the end.
    runtime.shutdown_background();
    exit
}

/// Returns the arguments with pids in place of names.
fn resolved(args: &Args) -> Result<Args, Exit> {
    let socket = (!args.is_for_alone() && !args.sched).then_some(&*args.socket.socket);
    let pid = args.pid_selectors.iter().map(|selector| selector.pid(socket)).collect::<Result<_, _>>()?;
    let subtree = args.subtree_selector.as_ref().map(|selector| selector.pid(socket)).transpose()?;
    Ok(Args { pid, subtree, ..args.clone() })
}

async fn daemon_or_alone(args: &Args) -> Exit {
    if args.sched {
        return sched::observe(args).await;
    }
    // The daemon can still have events of a process that has ended.
    if args.since.is_none() && args.follow_from.is_none() {
        for (option, pid) in
            args.pid.iter().map(|pid| ("--pid", pid)).chain(args.subtree.iter().map(|pid| ("--subtree", pid)))
        {
            if let Some(doubt) = doubt(option, *pid) {
                log::warn!("{doubt}");
            }
        }
    }
    if args.is_for_alone() {
        return Box::pin(alone::observe(args)).await;
    }
    match remote::follow(args).await {
        Ok(exit) => exit,
        Err(ClientError::NotThere(_)) if args.since.is_none() && args.follow_from.is_none() => {
            Box::pin(alone::observe(args)).await
        }
        Err(error) => error.exit(),
    }
}

/// Returns why a process that was asked for may have no events, by what /proc shows now.
fn doubt(option: &str, pid: u32) -> Option<String> {
    match sched::group_of(pid) {
        Some(tgid) if tgid == pid => None,
        Some(tgid) => Some(format!(
            "{option} {pid}: a thread of the process {tgid}, whose events come with {option} {tgid}"
        )),
        None => Some(format!(
            "{option} {pid}: no such process in /proc now; events are shown if one gets this pid"
        )),
    }
}

/// Resolves when standard output is a pipe or socket whose reader is gone; never for other files.
pub(super) async fn reader_gone() {
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    match stdout.and_then(|fd| watch(fd, Interest::ERROR)) {
        // An error on the writing end of a pipe means that the reading end is closed (poll(2), POLLERR).
        Ok(fd) => drop(fd.ready(Interest::ERROR).await),
        Err(_) => std::future::pending().await,
    }
}
