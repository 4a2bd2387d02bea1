//! `taskscope blocked`: tasks in uninterruptible sleep, where they sleep and what they wait for.

use std::time::Duration;

use super::{
    ask::{self, Format, LocalObserver, Source},
    exit::Exit,
    terminal,
};
use crate::{
    answer::{
        blocked::{BlockedFilter, BlockedTasks, FirstPoll},
        now::AllFigures,
        text,
    },
    duration,
    kernel::figures::Want,
};

/// Arguments of `blocked`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskscope blocked                  tasks in state D: since when, where in the kernel, and what they wait for
  taskscope blocked --min-age 10s    only tasks that have slept for at least 10 s
  taskscope blocked --format json | jq '.tasks[] | [.process.pid, .task.wchan]'

Without a daemon the tasks are polled twice, a tenth of a second apart; a task that ran in between is not listed. A running daemon polls all the time \
(--blocked-after), so it knows for how long a task has slept already.")]
pub(super) struct Args {
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Only sleeps that have lasted for at least this long
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration::parse)]
    min_age: Duration,
    #[command(flatten)]
    source: Source,
}

/// Time between the two polls.
const BETWEEN: Duration = Duration::from_millis(100);

/// Runs `blocked`.
pub(super) fn run(args: &Args) -> Exit {
    let path = format!("/v1/blocked?min_age={}ms", args.min_age.as_millis());
    let answer: Result<BlockedTasks, Exit> =
        ask::ask(&args.source, &path, |local| ask::always(observe(local, args)));
    let shown = answer.and_then(|answer| {
        ask::show(&answer, args.format, |answer| text::blocked(answer, terminal::style()))
    });
    shown.map_or_else(|exit| exit, |()| Exit::Success)
}

fn observe(local: &mut LocalObserver, args: &Args) -> BlockedTasks {
    let first = match local.pipeline.observer.figures(Want::Blocked) {
        Ok(figures) => FirstPoll::of(&figures),
        Err(why) => {
            return BlockedTasks::unknown(&local.lineage_at(), local.stamp(), why.to_string());
        }
    };
    // Without a daemon, polling has to go on for that long.
    std::thread::sleep(args.min_age + BETWEEN);
    let figures = AllFigures::new(local.pipeline.observer.doing(Want::Blocked));
    let filter = BlockedFilter { min_age_ns: duration::ns(args.min_age) };
    local.blocked(&first, &figures, filter)
}
