//! `taskscope lives`: one line for each process that has ended and that the daemon still stores.

use std::{io, ops::ControlFlow, path::Path, time::Duration};

use super::{
    client::{Client, ClientError, Socket},
    conditions::Conditions,
    exit::Exit,
    output,
    past::{self, FromDirectory},
    query::QueryPath,
    schema_name::SchemaName,
    stdout::Stdout,
};
use crate::{
    answer::{death::DeathFilter, life::LifeFilter},
    event_loop,
    export::schema::Schema,
    history::read::{LifeSearch, Times},
};

/// Arguments of `lives`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskscope lives                                 released processes that the daemon remembers, the oldest first
  taskscope lives --since 5m --unit 'nginx*'      processes of a service that ended in the last five minutes
  taskscope lives --since 2d --pid 4711           further back than memory: from the daemon's history (docs/lives.md)
  taskscope lives --at '2026-11-20 14:30'         processes that existed then and have ended since
  taskscope lives --from ./copy --since 2d        from a copy of a history; needs no daemon and no privileges
  taskscope lives --schema ecs                    documents for Elasticsearch or OpenSearch
  taskscope lives | jq -c '[.process.name, .usage.exec_runtime_ns]'
  taskscope events --lives                        processes that end from now on

Each line is one JSON object; docs/lives.md and `taskscope schema lives` describe it. Standard error says from which time on all ends are known, and what is missing since then.")]
pub(super) struct Args {
    /// Only lives that ended within this time
    #[arg(long, value_name = "DURATION", value_parser = crate::duration::parse)]
    since: Option<Duration>,
    /// Only processes that existed at this time and have ended since: 10m (ago), 14:30:05 or 2026-11-20T14:30:05 in local time,
    /// 2026-11-20T14:30:05Z in UTC
    #[arg(long, value_name = "TIME", conflicts_with = "since")]
    at: Option<String>,
    /// Only this process
    #[arg(long, value_name = "PID", value_delimiter = ',')]
    pid: Vec<u32>,
    #[command(flatten)]
    conditions: Conditions,
    /// Only processes that ended by this cause, such as killed, oom or fault
    #[arg(long, value_name = "CAUSE")]
    cause: Vec<String>,
    /// Names of the fields: docs/lives.md, docs/events.md
    #[arg(long, value_enum, default_value_t, value_name = "SCHEMA")]
    schema: SchemaName,
    /// How many lives to show at most, the oldest first
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    directory: FromDirectory,
    #[command(flatten)]
    socket: Socket,
}

/// Runs `lives`.
pub(super) fn run(args: &Args) -> Exit {
    let causes = DeathFilter { causes: args.cause.clone(), ..DeathFilter::default() };
    if let Err(error) = causes.check() {
        log::error!("--cause {error}");
        return Exit::Usage;
    }
    let at = match args.at.as_deref().map(|text| past::moment("--at", text)).transpose() {
        Ok(at) => at,
        Err(exit) => return exit,
    };
    if let Some(directory) = &args.directory.from {
        return from_directory(args, directory, at.map(|(_, ms)| ms))
            .map_or_else(|exit| exit, |()| Exit::Success);
    }
    let at = at.map(|(utc, _)| utc);
    let runtime = match event_loop::start() {
        Ok(runtime) => runtime,
        Err(error) => return Exit::failed(error),
    };
    runtime.block_on(ask(args, at.as_deref())).map_err(|error| error.exit()).into()
}

/// Prints lives of a directory.
fn from_directory(args: &Args, directory: &Path, at_ms: Option<i64>) -> Result<(), Exit> {
    let from_ms = at_ms.unwrap_or_else(|| past::since_ms(args.since));
    let (directory, known) = past::open(directory, from_ms)?;
    past::report(&known);
    let filter = LifeFilter {
        pids: args.pid.clone(),
        comms: args.conditions.comm.clone(),
        units: args.conditions.unit.clone(),
        containers: args.conditions.container.clone(),
        causes: args.cause.clone(),
        failed: false,
        at_ms,
        ended_by_ms: None,
    };
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut search = LifeSearch::new(directory, Times::since(from_ms), filter);
    let mut is_done = left == 0;
    while !is_done {
        let mut text = Vec::new();
        is_done = search
            .go_on(past::PIECE, &mut |line, _| {
                Schema::from(args.schema).convert(line, &mut text);
                left -= 1;
                if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .map_err(Exit::failed)?
            || left == 0;
        match output::write_out(&text) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            Err(error) => return Err(Exit::failed_at("writing to standard output", error)),
        }
    }
    past::report_damage(&search.finish());
    Ok(())
}

async fn ask(args: &Args, at: Option<&str>) -> Result<(), ClientError> {
    let client = Client::at(&args.socket.socket);
    let answer = client.get(&path(args, at), "application/x-ndjson").await?;
    if let Some(known) = past::known_since(answer.headers()) {
        log::info!("processes that ended before {known} are not known");
    }
    if let Some(known) = past::known_by(answer.headers()) {
        past::report_gaps(&known);
    }
    let (mut body, mut stdout) = (answer.into_body(), Stdout::new());
    while let Some(piece) = client.piece(&mut body).await? {
        match stdout.write(&piece).await {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            Err(error) => {
                let what = error.to_string();
                return Err(ClientError::Broken { socket: "standard output".into(), what });
            }
        }
    }
    if let Some(damage) = past::damage(&client) {
        past::report_damage(&damage);
    }
    Ok(())
}

/// Returns the path and query for the daemon.
fn path(args: &Args, at: Option<&str>) -> String {
    let mut query = QueryPath::new("/v1/lives");
    args.conditions.add_to(&mut query);
    query.add_all("cause", &args.cause).add_all("pid", &args.pid);
    if let Some(since) = args.since {
        query.add("since", format_args!("{}ms", since.as_millis()));
    }
    if let Some(at) = at {
        query.add("at", at);
    }
    args.schema.add_to(&mut query);
    if let Some(limit) = args.limit {
        query.add("limit", limit);
    }
    query.into_path()
}
