//! `taskscope tree`: the process tree.

use super::{
    ask::{self, Format, Source},
    client::encoded,
    exit::Exit,
    selector::Selector,
    terminal,
};
use crate::{
    answer::{
        text, time_arg,
        tree::{Tree, TreeOptions},
    },
    export::Zone,
    kernel::clock,
};

/// Arguments of `tree`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskscope tree                  every process, zombies and other trouble marked
  taskscope tree --threads 4711   one process with its threads, and all below it
  taskscope tree nginx.service    the topmost process of a unit, or of a name (nginx), and all below it
  taskscope tree --now            what each is doing, and the CPU time it has used
  taskscope tree --usage          who used the CPUs, dead children included
  taskscope tree --at 10m         as it was ten minutes ago, by a daemon that was running then
  taskscope tree --format json | jq '.processes[] | select(.state == \"zombie\") | .pid'

What a line says behind the name and the pid: `vpid`, the pid in its own pid namespace; `zombie` with its age; `dead leader`, \
the main thread ended and others live; `exiting`; `owes`, zombies that wait for it; `subreaper`, seen to take in orphans; a \
pid namespace or cgroup, unit or container that is not its parent's.

Columns of --usage, CPU time by the kernel's own count: TOTAL, of the process, its dead children and all below it; OWN, of its own \
threads, living and ended; CHILDREN, of its children that ended, and of theirs, also of those that nobody waited for and that \
the kernel forgets; ENDED, how many these were. `>` is at least: it was there before taskscope looked, or a record was lost. A \
daemon (taskscope run) sees children end; without one there are only those that end while --observe lasts. With --format json: \
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
    /// Show what each process is doing now, and the CPU time that it has used
    #[arg(long, conflicts_with = "at")]
    now: bool,
    /// Show what each process has used so far, with its ended children; the heaviest first
    #[arg(long, conflicts_with = "at")]
    usage: bool,
    /// Show the tree of an earlier time: 10m (ago), 14:30:05 or 2026-11-20T14:30:05 in local time, 2026-11-20T14:30:05Z in UTC
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
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
            log::warn!("it is not known {}; it takes {}", missing.fact, missing.needs);
        }
        ask::show(&answer, args.format, |answer| text::tree(answer, terminal::style(), args.all))
    });
    shown.map_or_else(|exit| exit, |()| Exit::Success)
}

fn ask(args: &Args) -> Result<Tree, Exit> {
    let root = args.pid.as_ref().map(|pid| pid.pid(args.source.daemon())).transpose()?;
    let now_ns = i128::from(clock::boottime().0) + clock::wall_offset_ns();
    // A text that is not a moment is refused by the API with its name.
    let utc = |text: &String| time_arg::to_utc(text, now_ns, Zone::Local).unwrap_or_else(|| text.clone());
    let at = args.at.as_ref().map(utc);
    match ask::from_daemon(&args.source, &path(args, root, at.as_deref()))? {
        Some(answer) => Ok(answer),
        None => observe(args, root, at.as_deref()),
    }
}

/// The request to a daemon.
fn path(args: &Args, root: Option<u32>, at: Option<&str>) -> String {
    let mut path = format!("/v1/tree?threads={}&kernel={}", args.threads, args.kernel);
    if let Some(pid) = root {
        path.push_str("&pid=");
        path.push_str(&pid.to_string());
    }
    if args.now {
        path.push_str("&now=true");
    }
    if args.usage {
        path.push_str("&usage=true");
    }
    if let Some(at) = at {
        path.push_str("&at=");
        path.push_str(&encoded(at));
    }
    path
}

fn observe(args: &Args, root: Option<u32>, at: Option<&str>) -> Result<Tree, Exit> {
    if at.is_some() && args.source.observe.is_none() {
        log::error!(
            "--at: no daemon is there to remember what was: run one (taskscope run) and ask again later"
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
            "no daemon is there to have seen children end: run one (taskscope run), or count from now on by --observe 10s"
        );
    }
    let Args { threads, kernel, now, usage, .. } = *args;
    let options = TreeOptions { root, threads, kernel, at, now, usage };
    local.tree(options).map_err(Exit::failed)
}
