//! `taskscope limits`: how full each limit on pids is, and which processes fill it.

use super::{
    ask::{self, Format, Source},
    exit::Exit,
    selector::Selector,
    terminal,
};
use crate::answer::{
    limits::{Limits, LimitsDraft},
    text,
};

/// Arguments of `limits`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskscope limits                       limits on pids of the whole host, the fullest first
  taskscope limits 4711                  the limits that apply to forks of one process
  taskscope limits nginx.service         the same for the topmost process of a systemd unit, or for a process of that name
  taskscope limits --format json | jq '.limits[] | select(.full)'

Limits are pids.max of cgroups (v1 and v2), RLIMIT_NPROC by user, kernel.threads-max, kernel.pid_max, and a pid namespace whose \
init has ended. Zombies count against all of them.")]
pub(super) struct Args {
    /// A pid, a tid, an entity id from an event, or the name of a process or systemd unit
    #[arg(value_name = "PID|ENTITY_ID|NAME|UNIT")]
    selector: Option<Selector>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    source: Source,
}

/// Runs `limits`.
pub(super) fn run(args: &Args) -> Exit {
    let selector =
        match args.selector.as_ref().map(|selector| selector.resolve(args.source.daemon())).transpose() {
            Ok(selector) => selector,
            Err(exit) => return exit,
        };
    let path = selector.as_ref().map_or("/v1/limits".into(), |selector| format!("/v1/limits?pid={selector}"));
    let answer: Result<Limits, Exit> = ask::ask(&args.source, &path, |local| {
        let draft = match &selector {
            Some(selector) => LimitsDraft::asked(selector, &local.lineage_at(), local.stamp())?,
            None => LimitsDraft::of(&local.lineage_at()),
        };
        let draft = draft.with_leaks(local.pipeline.leaks.flagged());
        local.answer(|_, _| Ok(draft), LimitsDraft::finish)
    });
    let shown = answer
        .and_then(|answer| ask::show(&answer, args.format, |answer| text::limits(answer, terminal::style())));
    shown.map_or_else(|exit| exit, |()| Exit::Success)
}
