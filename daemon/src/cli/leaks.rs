//! `taskscope leaks`: leaks other than zombies, each with the process that causes it.

use std::time::Duration;

use super::{
    ask::{self, Format, LocalObserver, Source},
    exit::Exit,
    terminal,
};
use crate::{
    answer::{
        leaks::{Leaks, LeaksDraft, SHORT},
        text,
    },
    duration,
    lineage::leaks::Thresholds,
};

/// Arguments of `leaks`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskscope leaks                        leaks now, from the running daemon
  taskscope leaks --format json | jq '.leaks[] | [.kind, .process.pid, .per_hour]'
  taskscope leaks --observe 60s          without a daemon: observes for 60 s, and looks for leaks over that time

A leak is a process whose number of threads only grows, a program that is started again and again and ends quickly, a process or a family of \
processes that forks too fast, or a process that has outlived its session. docs/leaks.md defines each kind and its exceptions.")]
pub(super) struct Args {
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    source: Source,
}

/// For how long to observe without a daemon, if `--observe` does not say.
const OBSERVE: Duration = SHORT;

/// Runs `leaks`.
pub(super) fn run(args: &Args) -> Exit {
    let answer: Result<Leaks, Exit> =
        ask::ask_or_observe(&args.source, "/v1/leaks", Some(OBSERVE), |local: &mut LocalObserver| {
            let leaks = local.pipeline.leaks.flagged();
            let observed = args.source.observe.unwrap_or(OBSERVE);
            let answer = local
                .answer(|lineage_at, _| ask::always(LeaksDraft::of(leaks, lineage_at)), LeaksDraft::finish)?;
            Ok(answer.observed_for(observed, thresholds(Some(observed))))
        });
    let shown = answer
        .and_then(|answer| ask::show(&answer, args.format, |answer| text::leaks(answer, terminal::style())));
    shown.map_or_else(|exit| exit, |()| Exit::Success)
}

/// Returns the thresholds for an observation of this duration.
pub(super) fn thresholds(observe: Option<Duration>) -> Thresholds {
    let default = Thresholds::default();
    let is_long = observe.is_none_or(|observe| duration::ns(observe) >= duration::ns(default.window));
    let window = observe.filter(|_| !is_long).unwrap_or(default.window);
    Thresholds { window, ..default }
}
