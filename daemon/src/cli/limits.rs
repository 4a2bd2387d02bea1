//! `taskscope limits`: which limit on pids is how full, and who fills it.

use super::{
    ask::{self, Format, Source},
    exit::Exit,
    terminal,
};
use crate::answer::{
    TaskSelector,
    limits::{Limits, LimitsDraft},
    text,
};

/// Arguments of `limits`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskscope limits                       limits on pids of the whole host, those that are used most first
  taskscope limits 4711                  those that the forks of one process are held to
  taskscope limits --format json | jq '.limits[] | select(.full)'

Limits are pids.max of cgroups (v1 and v2), RLIMIT_NPROC by user, kernel.threads-max, kernel.pid_max, and a pid namespace whose \
init has ended. Zombies count against all of them.")]
pub(super) struct Args {
    /// A pid, a tid, or an entity id as events have it
    #[arg(value_name = "PID|ENTITY_ID")]
    selector: Option<TaskSelector>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    source: Source,
}

/// Runs `limits`.
pub(super) fn run(args: &Args) -> Exit {
    let path =
        args.selector.as_ref().map_or("/v1/limits".into(), |selector| format!("/v1/limits?pid={selector}"));
    let answer: Result<Limits, Exit> = ask::ask(&args.source, &path, |local| {
        let draft = match &args.selector {
            Some(selector) => LimitsDraft::asked(selector, &local.lineage_at(), local.stamp())?,
            None => LimitsDraft::of(&local.lineage_at()),
        };
        local.answer(|_, _| Ok(draft), LimitsDraft::finish)
    });
    let shown = answer
        .and_then(|answer| ask::show(&answer, args.format, |answer| text::limits(answer, terminal::style())));
    shown.map_or_else(|exit| exit, |()| Exit::Success)
}
