//! `taskscope deaths`: which processes ended, and why.

use std::{path::Path, time::Duration};

use tokio::time::sleep;

use super::{
    ask::{self, Format, LocalObserver, Source},
    client::{Client, ClientError},
    conditions::Conditions,
    exit::Exit,
    past::{self, FromDirectory},
    query::QueryPath,
    selector::Selector,
    terminal,
};
use crate::{
    answer::{
        death::{DeathFilter, Deaths, DeathsDraft},
        life::LifeFilter,
        text,
    },
    event_loop,
    history::read::{LatestSearch, Times},
    kernel::clock,
    lineage::id::Ktime,
};

/// Arguments of `deaths`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskscope deaths                       processes that ended recently, the latest first, and why
  taskscope deaths --follow              the same, then each end as it happens
  taskscope deaths --cause oom --cause fault
  taskscope deaths --comm 'nginx*' --format json | jq '.deaths[] | [.process.pid, .cause, .summary]'
  taskscope deaths --since 2d            further back than memory: from the daemon's history (docs/lives.md)
  taskscope deaths --at 10m              the last processes that ended up to ten minutes ago
  taskscope deaths --from ./copy         from a copy of a history; needs no daemon and no privileges
  taskscope deaths --observe 10s         without a daemon

Only --all shows processes that exited with code 0. docs/deaths.md lists the causes.")]
pub(super) struct Args {
    /// Output format; with --follow, json prints one object for the ends that arrive together
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Also show processes that exited with code 0
    #[arg(long)]
    all: bool,
    /// Only this cause, such as killed, oom or fault
    #[arg(long, value_name = "CAUSE")]
    cause: Vec<String>,
    /// Only this process
    #[arg(long = "pid", value_name = "PID|NAME|UNIT")]
    pid_selectors: Vec<Selector>,
    /// Only this process and its descendants; a name or a unit must be that of a living process
    #[arg(long = "subtree", value_name = "PID|NAME|UNIT")]
    subtree_selectors: Vec<Selector>,
    /// `--pid` as pids.
    #[arg(skip)]
    pid: Vec<u32>,
    /// `--subtree` as pids.
    #[arg(skip)]
    subtree: Vec<u32>,
    #[command(flatten)]
    conditions: Conditions,
    /// Only processes that ended within this time, including those in the history on disk
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse, conflicts_with_all = ["follow", "subtree_selectors"])]
    since: Option<Duration>,
    /// Only processes that ended up to this time, including those in the history on disk: 10m (ago), 14:30:05 in local time, 2026-11-20T14:30:05Z
    #[arg(long, value_name = "TIME", conflicts_with_all = ["follow", "since", "alone", "observe"])]
    at: Option<String>,
    /// `--at` in UTC, and as ms since the epoch.
    #[arg(skip)]
    until: Option<(String, i64)>,
    #[command(flatten)]
    directory: FromDirectory,
    /// How many ends to show at most; with --follow, how many of those before it started
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Show the ends so far, oldest first, then each new end; needs a daemon
    #[arg(long, conflicts_with_all = ["alone", "observe"])]
    follow: bool,
    #[command(flatten)]
    source: Source,
}

/// Delay after an event before the daemon is asked: ends in this time are asked for together.
const BATCH: Duration = Duration::from_millis(50);
/// Pause between two attempts to reach a daemon that has stopped.
const AGAIN: Duration = Duration::from_millis(250);
/// The number of ends that a daemon keeps.
const ALL: usize = 4_096;

/// Runs `deaths`.
pub(super) fn run(args: &Args) -> Exit {
    match resolved(args) {
        Ok(args) => run_resolved(&args),
        Err(exit) => exit,
    }
}

/// Returns the arguments with pids in place of names.
fn resolved(args: &Args) -> Result<Args, Exit> {
    let pids = |selectors: &[Selector]| -> Result<Vec<u32>, Exit> {
        selectors.iter().map(|selector| selector.pid(args.source.daemon())).collect()
    };
    let until = args.at.as_deref().map(|at| past::moment("--at", at)).transpose()?;
    Ok(Args {
        until,
        pid: pids(&args.pid_selectors)?,
        subtree: pids(&args.subtree_selectors)?,
        ..args.clone()
    })
}

fn run_resolved(args: &Args) -> Exit {
    let filter = filter(args);
    if let Err(error) = filter.check() {
        log::error!("{error}");
        return Exit::Usage;
    }
    let outcome = match &args.directory.from {
        Some(_) if args.follow || !args.subtree.is_empty() => {
            log::error!("--from cannot be combined with --follow or --subtree");
            return Exit::Usage;
        }
        Some(directory) => from_directory(args, &filter, directory),
        None if args.follow => follow(args),
        None => once(args, filter),
    };
    outcome.map_or_else(|exit| exit, |()| Exit::Success)
}

fn filter(args: &Args) -> DeathFilter {
    DeathFilter {
        all: args.all,
        causes: args.cause.clone(),
        pids: args.pid.clone(),
        subtrees: args.subtree.clone(),
        comms: args.conditions.comm.clone(),
        units: args.conditions.unit.clone(),
        containers: args.conditions.container.clone(),
        after: args
            .since
            .map_or(Ktime(0), |since| Ktime(clock::boottime().0.saturating_sub(crate::duration::ns(since)))),
        until: None,
        limit: args.limit,
    }
}

/// Returns the path and query for the daemon.
fn path(args: &Args, after: u64) -> String {
    // The limit applies to the ends so far.
    let limit = if after > 0 { ALL } else { args.limit };
    let mut query = QueryPath::new("/v1/deaths");
    query.add("limit", limit).add("all", args.all).add("after", after);
    if let Some(since) = args.since {
        query.add("since", format_args!("{}ms", since.as_millis()));
    }
    if let Some((at, _)) = &args.until {
        query.add("at", at);
    }
    query.add_all("cause", &args.cause).add_all("pid", &args.pid).add_all("subtree", &args.subtree);
    args.conditions.add_to(&mut query);
    query.into_path()
}

fn once(args: &Args, filter: DeathFilter) -> Result<(), Exit> {
    if args.until.is_some() {
        let Some(answer) = ask::from_daemon::<Deaths>(&args.source, &path(args, 0))? else {
            log::error!(
                "--at needs a daemon that was running at that time (taskscope run), or a history: --from DIR"
            );
            return Err(Exit::Failure);
        };
        return show(args, &answer);
    }
    let answer = ask::ask(&args.source, &path(args, 0), |local: &mut LocalObserver| {
        local.answer(|lineage_at, _| ask::always(DeathsDraft::of(lineage_at, filter)), DeathsDraft::finish)
    })?;
    show(args, &answer)
}

/// Shows ends of a directory.
fn from_directory(args: &Args, filter: &DeathFilter, directory: &Path) -> Result<(), Exit> {
    let ended_by_ms = args.until.as_ref().map(|(_, ms)| *ms);
    let since = Times::since(past::since_ms(args.since));
    let times = ended_by_ms.map_or(since, Times::released_after_end);
    let of_lives = LifeFilter { ended_by_ms, ..filter.of_lives() };
    let (directory, mut known) = past::open(directory, times.from_ms)?;
    let mut search = LatestSearch::new(directory, times, of_lives, args.limit).map_err(Exit::failed)?;
    while !search.go_on(past::PIECE).map_err(Exit::failed)? {}
    let (lives, damage) = search.finish();
    known.damage.add(&damage);
    let (stamp, now) = past::wall_stamp();
    let mut answer = Deaths::of_history(&stamp, now);
    answer.add_history(&lives, known, args.limit);
    show(args, &answer)
}

fn show(args: &Args, answer: &Deaths) -> Result<(), Exit> {
    if let Some(known) = &answer.history {
        past::report(known);
    }
    ask::show(answer, args.format, |answer| text::deaths(answer, terminal::style()))
}

/// Shows the ends so far, and then each new end when its event arrives.
fn follow(args: &Args) -> Result<(), Exit> {
    let runtime = event_loop::start().map_err(Exit::failed)?;
    let socket = &args.source.socket.socket;
    runtime.block_on(follow_events(args, &Client::at(socket))).map_err(|error| match error {
        Stopped::Exit(exit) => exit,
        Stopped::Client(ClientError::NotThere(_)) => {
            log::error!("no taskscope daemon answers on {}: taskscope run", socket.display());
            Exit::Failure
        }
        Stopped::Client(error) => error.exit(),
    })
}

/// Why following ends.
enum Stopped {
    /// The reader of the output is gone.
    Exit(Exit),
    Client(ClientError),
}

impl From<ClientError> for Stopped {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

async fn follow_events(args: &Args, client: &Client) -> Result<(), Stopped> {
    const EVENTS: &str = "/v1/events?action=group_exited&format=text";
    let (mut after, mut was_there) = (0, false);
    loop {
        match client.get(EVENTS, "text/event-stream").await {
            Ok(answer) => {
                was_there = true;
                let mut body = answer.into_body();
                while let Some(last) = news(args, client, after).await? {
                    after = last;
                    match client.piece(&mut body).await {
                        Ok(Some(_)) => sleep(BATCH).await,
                        Ok(None) | Err(_) => break,
                    }
                }
                log::warn!("the daemon has stopped; waiting until it is back");
            }
            Err(ClientError::NotThere(_) | ClientError::Broken { .. }) if was_there => {}
            Err(error) => return Err(error.into()),
        }
        sleep(AGAIN).await;
    }
}

/// Shows the ends after a given time, the oldest first. Returns when the last one was; `None` if the daemon is gone.
async fn news(args: &Args, client: &Client, after: u64) -> Result<Option<u64>, Stopped> {
    let mut answer: Deaths = match client.json(&path(args, after)).await {
        Ok(answer) => answer,
        Err(ClientError::NotThere(_) | ClientError::Broken { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Some(last) = answer.deaths.iter().map(|death| death.boottime_ns).max() else {
        return Ok(Some(after));
    };
    answer.deaths.reverse();
    // Reported once, at the end of an answer.
    if after > 0 {
        answer.crash_loops.clear();
    }
    show(args, &answer).map_err(Stopped::Exit)?;
    Ok(Some(last))
}
