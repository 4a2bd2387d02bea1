//! `taskscope deaths`: which processes ended, and why.

use std::{thread::sleep, time::Duration};

use super::{
    ask::{self, Format, Looker, Source},
    exit::Exit,
    terminal,
};
use crate::{
    answer::{
        death::{DeathFilter, Deaths, DeathsDraft},
        text,
    },
    lineage::id::Ktime,
};

/// Arguments of `deaths`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskscope deaths                       recent ends, the last first, with who sent the signal
  taskscope deaths --follow              and go on
  taskscope deaths --cause oom --cause fault
  taskscope deaths --comm 'nginx*' --format json | jq '.deaths[] | [.process.pid, .cause, .summary]'
  taskscope deaths --observe 10s         without a daemon

Processes that exited with code 0 are left out unless --all is given. docs/deaths.md lists the causes.")]
pub(super) struct Args {
    /// Output format; with --follow one JSON object for each poll that found something
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Also processes that exited with code 0
    #[arg(long)]
    all: bool,
    /// Only this cause, such as killed, oom or fault
    #[arg(long, value_name = "CAUSE")]
    cause: Vec<String>,
    /// Only this process
    #[arg(long, value_name = "PID")]
    pid: Vec<u32>,
    /// Only processes with this name; * and ? as in a shell
    #[arg(long, value_name = "GLOB")]
    comm: Vec<String>,
    /// Only processes in this systemd unit; * and ? as in a shell
    #[arg(long, value_name = "GLOB")]
    unit: Vec<String>,
    /// Only processes in this container, by the beginning of its id
    #[arg(long, value_name = "ID")]
    container: Vec<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Show the ends so far, oldest first, and then each as it comes; needs a daemon
    #[arg(long, conflicts_with_all = ["alone", "observe"])]
    follow: bool,
    #[command(flatten)]
    source: Source,
}

/// How often a daemon is asked for more.
const POLL: Duration = Duration::from_millis(500);

/// Runs `deaths`.
pub(super) fn run(args: &Args) -> Exit {
    let filter = filter(args);
    if let Err(error) = filter.check() {
        log::error!("{error}");
        return Exit::Usage;
    }
    let outcome = if args.follow { follow(args) } else { once(args, filter) };
    outcome.map_or_else(|exit| exit, |()| Exit::Success)
}

fn filter(args: &Args) -> DeathFilter {
    DeathFilter {
        all: args.all,
        causes: args.cause.clone(),
        pids: args.pid.clone(),
        comms: args.comm.clone(),
        units: args.unit.clone(),
        containers: args.container.clone(),
        after: Ktime(0),
        limit: args.limit,
    }
}

/// The same question to a daemon.
fn path(args: &Args, after: u64) -> String {
    let mut path = format!("/v1/deaths?limit={}&all={}&after={after}", args.limit, args.all);
    let mut add = |key: &str, value: &str| {
        path.push('&');
        path.push_str(key);
        path.push('=');
        path.extend(value.bytes().map(ask::escaped));
    };
    args.cause.iter().for_each(|value| add("cause", value));
    args.pid.iter().for_each(|value| add("pid", &value.to_string()));
    args.comm.iter().for_each(|value| add("comm", value));
    args.unit.iter().for_each(|value| add("unit", value));
    args.container.iter().for_each(|value| add("container", value));
    path
}

fn once(args: &Args, filter: DeathFilter) -> Result<(), Exit> {
    let answer = ask::ask(&args.source, &path(args, 0), |looker: &mut Looker| {
        looker.answer(|scene, _| ask::always(DeathsDraft::of(scene, filter)), DeathsDraft::finish)
    })?;
    show(args, &answer)
}

fn show(args: &Args, answer: &Deaths) -> Result<(), Exit> {
    ask::show(answer, args.format, |answer| text::deaths(answer, terminal::style()))
}

fn follow(args: &Args) -> Result<(), Exit> {
    let mut after = 0;
    loop {
        let Some(mut answer) = ask::from_daemon::<Deaths>(&args.source, &path(args, after))? else {
            log::error!(
                "no taskscope daemon answers on {}: taskscope run",
                args.source.socket.socket.display()
            );
            return Err(Exit::Failure);
        };
        if let Some(last) = answer.deaths.iter().map(|death| death.boottime_ns).max() {
            after = last;
            answer.deaths.reverse();
            show(args, &answer)?;
        }
        sleep(POLL);
    }
}
