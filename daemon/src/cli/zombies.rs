//! `taskscope zombies`: which parents have not waited for their zombies, and why.

use std::time::Duration;

use tokio::{
    select,
    sync::{mpsc, oneshot},
};

use super::{
    ask::{self, Format, LocalObserver, Nobody, Source},
    client::Client,
    exit::Exit,
    past::{self, FromDirectory},
    query::QueryPath,
    signals, terminal,
};
use crate::{
    answer::{
        LineageAt,
        place::AnswerPlace,
        text,
        zombies::{PastZombies, ZombieFilter, Zombies, ZombiesDraft},
    },
    cgroup::Cgroups,
    duration, event_loop,
    kernel::clock,
    runtime::Question,
};

/// Arguments of `zombies`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskscope zombies                      parents that have not waited for their zombies, why, and what to do
  taskscope zombies --watch 2s           repeat this every 2 s, with ages and rates
  taskscope zombies --unit 'nginx*'       only parents in these systemd units
  taskscope zombies --observe 1s --min-age 500ms   only zombies that are at least 500 ms old
  taskscope zombies --at 2h              the zombies of two hours ago, from a daemon that was running then, or from its history
  taskscope zombies --at '2026-11-20 14:30' --from ./copy   from a copy of a history (docs/lives.md)
  taskscope zombies --format json | jq '.parents[] | [.process.pid, .verdict.code]'

Exit codes: 0 no zombies, 9 a parent has not waited for its zombies; others as in `taskscope --help`.")]
pub(super) struct Args {
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Repeat the list this often until Ctrl-C; every 2 s without a value
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "2s", value_parser = duration::parse)]
    watch: Option<Duration>,
    /// Only zombies that have been zombies for at least this long
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration::parse)]
    min_age: Duration,
    /// Only zombies of parents in this systemd unit; * and ? as in a shell
    #[arg(long, value_name = "GLOB")]
    unit: Option<String>,
    /// Show the zombies of this time, and the parents that had not waited for them: 10m (ago), 14:30:05 or 2026-11-20T14:30:05 in local
    /// time, 2026-11-20T14:30:05Z in UTC
    #[arg(long, value_name = "TIME", conflicts_with_all = ["watch", "observe", "alone"])]
    at: Option<String>,
    #[command(flatten)]
    directory: FromDirectory,
    #[command(flatten)]
    source: Source,
}

/// The shortest interval at which anything can be read.
const WATCH_AT_LEAST: Duration = Duration::from_millis(100);

/// Runs `zombies`.
pub(super) fn run(args: &Args) -> Exit {
    let outcome = match (&args.at, args.watch) {
        (Some(at), _) => at_time(args, at),
        (None, _) if args.directory.from.is_some() => {
            log::error!("--from needs --at: the history has processes that have ended");
            Err(Exit::Usage)
        }
        (None, None) => once(args),
        (None, Some(every)) => watch(args, every.max(WATCH_AT_LEAST)),
    };
    match outcome {
        Ok(0) => Exit::Success,
        Ok(_) => Exit::Zombies,
        Err(exit) => exit,
    }
}

fn filter(args: &Args) -> ZombieFilter {
    ZombieFilter { min_age_ns: crate::duration::ns(args.min_age), unit: args.unit.clone() }
}

/// The request to a daemon.
pub(super) fn query(min_age: Duration, unit: Option<&str>) -> QueryPath {
    let mut query = QueryPath::new("/v1/zombies");
    query.add("min_age", format_args!("{}ms", min_age.as_millis()));
    if let Some(unit) = unit {
        query.add("unit", unit);
    }
    query
}

fn path(args: &Args) -> String {
    query(args.min_age, args.unit.as_deref()).into_path()
}

fn once(args: &Args) -> Result<u64, Exit> {
    let at_least = (!args.min_age.is_zero()).then(|| args.min_age + WATCH_AT_LEAST);
    let answer = ask::ask_or_observe(&args.source, &path(args), at_least, |local| now(local, &filter(args)))?;
    show(args, &answer)?;
    Ok(answer.overdue())
}

/// Shows the zombies of an earlier time. Returns how many a parent should have reaped by then.
fn at_time(args: &Args, at: &str) -> Result<u64, Exit> {
    let (utc, at_ms) = past::moment("--at", at)?;
    let answer = if let Some(directory) = &args.directory.from {
        PastZombies::of(past::tree_of(directory, at_ms, None)?, &filter(args))
    } else {
        let mut query = query(args.min_age, args.unit.as_deref());
        query.add("at", &utc);
        ask::from_daemon::<PastZombies>(&args.source, &query.into_path())?.ok_or_else(|| {
            log::error!(
                "--at needs a daemon that was running at that time: start one (taskscope run) and ask again later"
            );
            Exit::Failure
        })?
    };
    if let Some(known) = &answer.history {
        past::report(known);
        log::info!(
            "processes that lived then and have not ended yet are known only to a daemon that has run since then"
        );
    }
    ask::show(&answer, args.format, |answer| text::past_zombies(answer, terminal::style()))?;
    Ok(answer.overdue())
}

fn now(local: &mut LocalObserver, filter: &ZombieFilter) -> Result<Zombies, crate::answer::NotFound> {
    local.answer(
        |lineage_at, _| {
            ask::always(ZombiesDraft::of(
                lineage_at,
                filter,
                &mut places(&mut Cgroups::of_host(), lineage_at),
            ))
        },
        ZombiesDraft::finish,
    )
}

fn places(cgroups: &mut Cgroups, lineage_at: &LineageAt<'_>) -> impl FnMut(u64) -> Option<AnswerPlace> {
    let now_ns = lineage_at.now.0;
    move |id| cgroups.place(id, now_ns).map(|place| (&**place).into())
}

fn show(args: &Args, answer: &Zombies) -> Result<(), Exit> {
    ask::show(answer, args.format, |answer| text::zombies(answer, terminal::style()))
}

/// Repeats the list until a signal. Returns the number of zombies in the last one.
fn watch(args: &Args, every: Duration) -> Result<u64, Exit> {
    match ask::from_daemon::<Zombies>(&args.source, &path(args))? {
        Some(first) => ask_again(args, every, ask::merged_with_local_facts(&args.source, first)),
        None => watch_alone(args, every),
    }
}

/// Asks a daemon repeatedly.
fn ask_again(args: &Args, every: Duration, mut answer: Zombies) -> Result<u64, Exit> {
    let runtime = event_loop::start().map_err(Exit::failed)?;
    runtime.block_on(async {
        let signal = signals::stop().map_err(|error| Exit::failed_at("preparing for signals", error))?;
        tokio::pin!(signal);
        let client = Client::at(&args.source.socket.socket);
        let mut due = event_loop::every(every);
        // The first tick is due at once, and there is an answer already.
        due.tick().await;
        loop {
            terminal::clear();
            show(args, &answer)?;
            select! {
                () = &mut signal => return Ok(answer.overdue()),
                _ = due.tick() => {}
            }
            let next = client.json(&path(args)).await.map_err(Exit::failed)?;
            answer = ask::merged_with_local_facts(&args.source, next);
        }
    })
}

/// Observes here, and shows the list.
fn watch_alone(args: &Args, every: Duration) -> Result<u64, Exit> {
    let LocalObserver { mut pipeline, mut context, observed_since } = LocalObserver::attach(&args.source)?;
    let runtime = event_loop::start().map_err(Exit::failed)?;
    let filter = filter(args);
    let mut last = Ok(0);
    let outcome = runtime.block_on(async {
        let signal = signals::stop().map_err(|error| Exit::failed_at("preparing for signals", error))?;
        let (ask, mut questions) = mpsc::channel::<Question<Nobody>>(1);
        let showing = async {
            let mut due = event_loop::every(every);
            loop {
                due.tick().await;
                let (answer, draft) = oneshot::channel();
                let filter = filter.clone();
                let question: Question<Nobody> = Box::new(move |pipeline, _| {
                    let mut cgroups = Cgroups::of_host();
                    let lineage_at =
                        LineageAt { lineage: &pipeline.lineage, now: clock::boottime(), observed_since };
                    // The receiver is gone if it was stopped in the meantime.
                    let _ = answer.send(ZombiesDraft::of(
                        &lineage_at,
                        &filter,
                        &mut places(&mut cgroups, &lineage_at),
                    ));
                });
                if ask.send(question).await.is_err() {
                    return Ok(0);
                }
                let Ok(draft) = draft.await else { return Ok(0) };
                let zombies = context.with(|host_facts| draft.finish(host_facts));
                last = Ok(zombies.overdue());
                terminal::clear();
                show(args, &zombies)?;
            }
        };
        let stop = async {
            let failed: Result<u64, Exit> = select! {
                () = signal => return None,
                failed = showing => failed,
            };
            failed.err()
        };
        let mut stopped = None;
        let outcome = pipeline.serve(&mut Nobody, &mut questions, async { stopped = stop.await }).await;
        outcome.map_err(|error| Exit::failed_at("watching", error))?;
        stopped.map_or(Ok(()), Err)
    });
    outcome.and(last)
}
