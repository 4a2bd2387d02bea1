//! `taskscope lives`: one line for each process that has ended and that the daemon still stores.

use std::{fmt::Write as _, io, time::Duration};

use super::{
    client::{Client, ClientError, Socket, encoded},
    exit::Exit,
    stdout::Stdout,
};
use crate::{answer::death::DeathFilter, event_loop, service::KNOWN_SINCE};

/// Arguments of `lives`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  taskscope lives                                 released processes that the daemon remembers, the oldest first
  taskscope lives --since 5m --unit 'nginx*'      processes of a service that ended in the last five minutes
  taskscope lives | jq -c '[.process.name, .usage.exec_runtime_ns]'
  taskscope events --lives                        processes that end from now on

Each line is one JSON object; docs/lives.md and `taskscope schema lives` describe it. Standard error says since when all ends are
known.")]
pub(super) struct Args {
    /// Only lives that ended within this time
    #[arg(long, value_name = "AGE", value_parser = crate::duration::parse)]
    since: Option<Duration>,
    /// Only this process
    #[arg(long, value_name = "PID", value_delimiter = ',')]
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
    /// Only processes that ended by this cause, such as killed, oom or fault
    #[arg(long, value_name = "CAUSE")]
    cause: Vec<String>,
    /// The most lives to show, the oldest first
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
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
    let runtime = match event_loop::start() {
        Ok(runtime) => runtime,
        Err(error) => return Exit::failed(error),
    };
    runtime.block_on(ask(args)).map_err(|error| error.exit()).into()
}

async fn ask(args: &Args) -> Result<(), ClientError> {
    let client = Client::at(&args.socket.socket);
    let answer = client.get(&path(args), "application/x-ndjson").await?;
    if let Some(known) = answer.headers().get(KNOWN_SINCE).and_then(|value| value.to_str().ok()) {
        log::info!("processes that ended before {known} are not known");
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
    Ok(())
}

/// Returns the path and query for the daemon. Writing to a String does not fail.
fn path(args: &Args) -> String {
    let mut path = String::from("/v1/lives?");
    let mut add = |key: &str, value: &str| {
        let _ = write!(path, "{key}={}&", encoded(value));
    };
    for (key, values) in
        [("comm", &args.comm), ("unit", &args.unit), ("container", &args.container), ("cause", &args.cause)]
    {
        for value in values {
            add(key, value);
        }
    }
    for pid in &args.pid {
        add("pid", &pid.to_string());
    }
    if let Some(since) = args.since {
        add("since", &format!("{}ms", since.as_millis()));
    }
    if let Some(limit) = args.limit {
        add("limit", &limit.to_string());
    }
    path.pop();
    path
}
