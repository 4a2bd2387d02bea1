//! `taskscope tree`: the process tree.

use std::path::Path;

use super::{
    ask::{self, Source},
    exit::Exit,
    output,
    past::{self, FromDirectory},
    query::QueryPath,
    selector::Selector,
    terminal,
};
use crate::{
    answer::{
        TaskSelector, text, time_arg,
        tree::{Tree, TreeOptions},
    },
    export::Zone,
    kernel::clock,
    view::picture,
};

/// `--format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs: one JSON object
    Json,
    /// A picture for reports; equal processes are one row
    Svg,
    /// For Graphviz: taskscope tree --format dot | dot -Tsvg
    Dot,
}

/// Arguments of `tree`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskscope tree                  every process; marks zombies and other problems
  taskscope tree --threads 4711   one process with its threads, and its descendants
  taskscope tree nginx.service    the topmost process of a unit, or of a name (nginx), and its descendants
  taskscope tree --now            what each process is doing, and its CPU time
  taskscope tree --usage          CPU time of each process, including its ended children
  taskscope tree --at 10m         the tree of ten minutes ago, from a daemon that was running then, or from its history
  taskscope tree --format svg > tree.svg    a picture; `dot` for Graphviz
  taskscope tree --format json | jq '.processes[] | select(.state == \"zombie\") | .pid'

After the name and the pid a line can have these marks: `vpid`, the pid in its own pid namespace; `zombie` with its age; `dead leader`, \
the main thread has ended and others run; `exiting`; `has not waited for`, with the number of its zombies; `subreaper`, orphans were reparented \
to it; its pid namespace, unit or container, if its parent is in another one.

Columns of --usage are CPU times as the kernel counts them. TOTAL: the process, its ended children and its descendants. OWN: its own \
threads, running and ended. CHILDREN: its ended children and their ended children, including those that no process waited for, \
which the kernel does not add up. ENDED: the number of these. `>` marks a lower bound: the process is older than taskscope, or a \
record was lost. Without a daemon (taskscope run) only children that end during --observe are counted. With --format json: \
user and system time, waiting for a CPU, switches and page faults, too.")]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(super) struct Args {
    /// Show only this process and its descendants: a pid, a tid, an entity id, or the name of a process or systemd unit
    #[arg(value_name = "PID|NAME|UNIT")]
    pid: Option<Selector>,
    /// Show threads
    #[arg(long)]
    threads: bool,
    /// Show kernel threads
    #[arg(long)]
    kernel: bool,
    /// Show every zombie, however many there are
    #[arg(long)]
    all: bool,
    /// Show what each process is doing now, and its CPU time
    #[arg(long, conflicts_with = "at")]
    now: bool,
    /// Show the CPU time of each process and of its ended children, the largest first
    #[arg(long, conflicts_with = "at")]
    usage: bool,
    /// Show the tree of an earlier time: 10m (ago), 14:30:05 or 2026-11-20T14:30:05 in local time, 2026-11-20T14:30:05Z in UTC
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    #[command(flatten)]
    directory: FromDirectory,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    source: Source,
}

/// Runs `tree`.
pub(super) fn run(args: &Args) -> Exit {
    let shown = ask(args).and_then(|answer| {
        for missing in &answer.missing {
            log::warn!("not known: {}; this needs {}", missing.fact, missing.needs);
        }
        if let Some(known) = &answer.history {
            past::report(known);
            log::info!("processes that lived then and have not ended yet are known only to a daemon that has run since then");
        }
        let text = |answer: &Tree| text::tree(answer, terminal::style(), args.all);
        match args.format {
            Format::Text => ask::show(&answer, ask::Format::Text, text),
            Format::Json => ask::show(&answer, ask::Format::Json, text),
            Format::Svg => output::answer(&picture::tree_svg(answer)),
            Format::Dot => output::answer(&picture::tree_dot(&answer)),
        }
    });
    shown.map_or_else(|exit| exit, |()| Exit::Success)
}

/// Creates the tree from a directory: processes that existed then and have ended since.
fn from_directory(args: &Args, directory: &Path) -> Result<Tree, Exit> {
    let Some(at) = &args.at else {
        log::error!("--from needs --at: the history has processes that have ended");
        return Err(Exit::Usage);
    };
    let (_, at_ms) = past::moment("--at", at)?;
    let root = match &args.pid {
        None => None,
        Some(Selector::Id(TaskSelector::Pid(pid))) => Some(*pid),
        Some(_) => {
            log::error!("--from needs a pid; taskscope lives --from DIR --at TIME --comm NAME lists pids");
            return Err(Exit::Usage);
        }
    };
    past::tree_of(directory, at_ms, root)
}

fn ask(args: &Args) -> Result<Tree, Exit> {
    if let Some(directory) = &args.directory.from {
        return from_directory(args, directory);
    }
    let root = args.pid.as_ref().map(|pid| pid.pid(args.source.daemon())).transpose()?;
    let now_ns = i128::from(clock::boottime().0) + clock::wall_offset_ns();
    // The API refuses a text that is not a time, and names the parameter.
    let utc = |text: &String| time_arg::to_utc(text, now_ns, Zone::Local).unwrap_or_else(|| text.clone());
    let at = args.at.as_ref().map(utc);
    match ask::from_daemon(&args.source, &path(args, root, at.as_deref()))? {
        Some(answer) => Ok(answer),
        None => observe(args, root, at.as_deref()),
    }
}

/// The request to a daemon.
fn path(args: &Args, root: Option<u32>, at: Option<&str>) -> String {
    let mut query = QueryPath::new("/v1/tree");
    query.add("threads", args.threads).add("kernel", args.kernel);
    if let Some(pid) = root {
        query.add("pid", pid);
    }
    if args.now {
        query.add("now", true);
    }
    if args.usage {
        query.add("usage", true);
    }
    if let Some(at) = at {
        query.add("at", at);
    }
    query.into_path()
}

fn observe(args: &Args, root: Option<u32>, at: Option<&str>) -> Result<Tree, Exit> {
    if at.is_some() && args.source.observe.is_none() {
        log::error!(
            "--at needs a daemon that was running at that time: start one (taskscope run) and ask again later"
        );
        return Err(Exit::Failure);
    }
    let mut local = ask::LocalObserver::start(&args.source)?;
    let lineage_at = local.lineage_at();
    let at = match at {
        Some(text) => Some(time_arg::parse(text, lineage_at.now, local.stamp()).map_err(|error| {
            log::error!("--at: {error}");
            Exit::Usage
        })?),
        None => None,
    };
    if args.usage && local.observed_since.is_none() {
        log::info!(
            "--usage needs a daemon for children that have ended: start one (taskscope run), or count from now on with --observe 10s"
        );
    }
    let Args { threads, kernel, now, usage, .. } = *args;
    let options = TreeOptions { root, threads, kernel, at, has_history: false, now, usage };
    local.tree(options).map_err(Exit::failed)
}
