//! `taskscope explain`: the history of one process, and what is wrong with it.

use super::{
    ask::{self, Format, Source},
    client::encoded,
    exit::Exit,
    selector::Selector,
    terminal,
};
use crate::answer::{
    ExplainDraft,
    explain::Explanation,
    stop::{StopFilter, Stops},
    text,
};

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskscope explain 4711                 why it is a zombie, stuck or stopped, and what to do
  taskscope explain nginx.service        the same for the topmost process of a unit, or of a name (nginx)
  taskscope explain --observe 10s 4711   the same, after observing for 10 s how its parent reaps children
  taskscope explain web.service          for a unit that has stopped: signals, exits and kills
  taskscope explain --format json 1 | jq -r .verdict.code

For a zombie it names the parent that has not waited; for a parent it lists its zombies. Only a running daemon (`taskscope run`) \
remembers processes that have ended.")]
pub(super) struct Args {
    /// A pid, a tid, an entity id from an event, or the name of a present process or systemd unit
    #[arg(value_name = "PID|ENTITY_ID|NAME|UNIT")]
    selector: Selector,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    source: Source,
}

/// Runs `explain`.
pub(super) fn run(args: &Args) -> Exit {
    if let Some(exit) = stopped(args) {
        return exit;
    }
    let answer: Result<Explanation, Exit> =
        args.selector.resolve(args.source.daemon()).and_then(|selector| {
            ask::ask(&args.source, &format!("/v1/explain/{selector}"), |local| {
                let draft = ExplainDraft::asked(&selector, &local.lineage_at(), local.stamp())?;
                let figures = local.doing(draft.key());
                local.answer(|_, _| Ok(draft.doing(&figures)), ExplainDraft::explain)
            })
        });
    let shown = answer.and_then(|answer| {
        ask::show(&answer, args.format, |answer| text::explanation(answer, terminal::style()))
    });
    shown.map_or_else(|exit| exit, |()| Exit::Success)
}

/// Shows how a unit or container stopped, if the name is not that of a present process or unit. Returns `None` if the daemon
/// knows no such stop.
fn stopped(args: &Args) -> Option<Exit> {
    let (Selector::Name(name), Some(socket)) = (&args.selector, args.source.daemon()) else { return None };
    if args.selector.is_there(Some(socket)) {
        return None;
    }
    let filter = StopFilter::named(name);
    let mut path = format!("/v1/stops?limit={}", filter.limit);
    let keys = filter
        .units
        .iter()
        .map(|unit| ("unit", unit))
        .chain(filter.containers.iter().map(|id| ("container", id)));
    for (key, value) in keys {
        path.push('&');
        path.push_str(key);
        path.push('=');
        path.push_str(&encoded(value));
    }
    let answer = ask::get::<Stops>(socket, &path).ok().flatten().filter(|answer| !answer.stops.is_empty())?;
    let shown = ask::show(&answer, args.format, |answer| text::stops(answer, terminal::style()));
    Some(shown.map_or_else(|exit| exit, |()| Exit::Success))
}
