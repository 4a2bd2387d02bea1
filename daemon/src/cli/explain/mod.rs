//! `taskscope explain`: the history of one process, and what is wrong with it.

mod at;

use super::{
    ask::{self, Format, Source},
    exit::Exit,
    past::FromDirectory,
    query::QueryPath,
    selector::Selector,
    terminal,
};
use crate::{
    answer::{
        ExplainDraft, LineageAt,
        explain::Explanation,
        scope::{ScopeStory, Scopes},
        stop::{StopFilter, Stops},
        text::{self, Style},
    },
    export::Stamp,
};

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskscope explain 4711                 why it is a zombie, stuck or stopped, and what to do
  taskscope explain nginx.service        the same for the topmost process of a unit, or of a name (nginx)
  taskscope explain --observe 10s 4711   the same, after observing for 10 s how its parent reaps children
  taskscope explain web.service          for a unit that has stopped: signals, exits and kills
  taskscope explain 4711 --at 14:30      the process that had this pid then, its ancestors, and how it ended (docs/lives.md)
  taskscope explain --format json 1 | jq -r .verdict.code

For a zombie it names the parent that has not waited; for a parent it lists its zombies. Only a running daemon (`taskscope run`) \
remembers processes that have ended.")]
pub(super) struct Args {
    /// A pid, a tid, an entity id from an event, or the name of a present process or systemd unit
    #[arg(value_name = "PID|ENTITY_ID|NAME|UNIT")]
    selector: Selector,
    /// Explain the process of an earlier time: 10m (ago), 14:30:05 or 2026-11-20T14:30:05 in local time, 2026-11-20T14:30:05Z in UTC
    #[arg(long, value_name = "TIME", conflicts_with_all = ["alone", "observe"])]
    at: Option<String>,
    #[command(flatten)]
    directory: FromDirectory,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    source: Source,
}

/// Runs `explain`.
pub(super) fn run(args: &Args) -> Exit {
    if let Some(at) = &args.at {
        return at::run(args, at).map_or_else(|exit| exit, |()| Exit::Success);
    }
    if args.directory.from.is_some() {
        log::error!("--from needs --at: the history has processes that have ended");
        return Exit::Usage;
    }
    if let Some(exit) = stopped(args) {
        return exit;
    }
    let answer: Result<Explanation, Exit> =
        args.selector.resolve(args.source.daemon()).and_then(|selector| {
            ask::ask(&args.source, &format!("/v1/explain/{selector}"), |local| {
                let draft = ExplainDraft::asked(&selector, &local.lineage_at(), local.stamp())?;
                let figures = local.doing(draft.key());
                let leaks = local.pipeline.leaks.flagged();
                let draft = |at: &LineageAt<'_>, _: &Stamp| Ok(draft.doing(&figures).with_leaks(leaks, at));
                local.answer(draft, ExplainDraft::explain)
            })
        });
    let shown = answer.and_then(|answer| {
        ask::show(&answer, args.format, |answer| text::explanation(answer, terminal::style()))
    });
    shown.map_or_else(|exit| exit, |()| Exit::Success)
}

/// What the daemon remembers of a unit or container that has ended.
#[derive(Debug, serde::Serialize)]
struct GoneUnit {
    #[serde(flatten)]
    stops: Stops,
    scopes: Vec<ScopeStory>,
}

impl GoneUnit {
    fn text(&self, style: Style) -> String {
        let mut text: String = self.scopes.iter().map(|story| text::scope(story, style)).collect();
        if !self.stops.stops.is_empty() {
            text.push_str(&text::stops(&self.stops, style));
        }
        text
    }
}

/// Shows the stops and scopes of a unit or container that has ended; `None` if the daemon remembers none of that name.
fn stopped(args: &Args) -> Option<Exit> {
    let (Selector::Name(name), Some(socket)) = (&args.selector, args.source.daemon()) else { return None };
    if args.selector.is_there(Some(socket)) {
        return None;
    }
    let filter = StopFilter::named(name);
    let path = |path: &str| {
        let mut query = QueryPath::new(path);
        query
            .add("limit", filter.limit)
            .add_all("unit", &filter.units)
            .add_all("container", &filter.containers);
        query.into_path()
    };
    let stops = ask::get::<Stops>(socket, &path("/v1/stops")).ok().flatten();
    let scopes = ask::get::<Scopes>(socket, &path("/v1/scopes")).ok().flatten();
    let gone = GoneUnit { stops: stops?, scopes: scopes.map_or_else(Vec::new, |answer| answer.scopes) };
    if gone.stops.stops.is_empty() && gone.scopes.is_empty() {
        return None;
    }
    let shown = ask::show(&gone, args.format, |gone| gone.text(terminal::style()));
    Some(shown.map_or_else(|exit| exit, |()| Exit::Success))
}
