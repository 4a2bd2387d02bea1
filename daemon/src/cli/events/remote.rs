//! Events from the daemon. If the daemon restarts, waits for it and reports the gap.

use std::{io, time::Duration};

use hyper::body::Incoming;
use tokio::{select, time::sleep};

use super::{Args, Format, reader_gone};
use crate::{
    cli::{
        client::{Client, ClientError},
        exit::Exit,
        query::QueryPath,
        signals,
        stdout::Stdout,
        whole_lines::WholeLines,
    },
    service::INSTANCE,
};

/// Pause between two attempts to connect to a daemon that went away.
const AGAIN: Duration = Duration::from_millis(250);

/// The most bytes of a line: more than any event with all its arguments has.
const MOST_BYTES: usize = 16 << 20;

/// The position in the stream.
#[derive(Default)]
struct Position {
    instance: String,
    sequence: Option<u64>,
    written: u64,
}

/// Why reading ended.
enum End {
    Stopped,
    Full,
    Away,
}

/// Prints what the daemon sends until the limit, a signal, or a reader of standard output that is gone.
pub(super) async fn follow(args: &Args) -> Result<Exit, ClientError> {
    let client = Client::at(&args.socket.socket);
    let mut stdout = Stdout::new();
    let mut position = Position { sequence: args.follow_from, ..Position::default() };
    let mut body = connect(&client, args, &mut position, true).await?;
    let stop = match signals::stop() {
        Ok(stop) => stop,
        Err(error) => return Ok(Exit::failed_at("preparing for signals", error)),
    };
    tokio::pin!(stop);
    log::info!("reading from the daemon on {}", args.socket.socket.display());
    loop {
        let end = select! {
            () = &mut stop => End::Stopped,
            () = reader_gone() => End::Full,
            end = copy(&client, args, &mut body, &mut position, &mut stdout) => end?,
        };
        match end {
            End::Stopped | End::Full => return Ok(Exit::Success),
            End::Away => log::warn!("the daemon has stopped; waiting until it is back"),
        }
        body = loop {
            select! {
                () = &mut stop => return Ok(Exit::Success),
                () = sleep(AGAIN) => {}
            }
            match connect(&client, args, &mut position, false).await {
                Ok(body) => break body,
                Err(ClientError::NotThere(_) | ClientError::Broken { .. }) => {}
                Err(error) => return Err(error),
            }
        };
        log::info!("the daemon is back");
    }
}

async fn connect(
    client: &Client,
    args: &Args,
    position: &mut Position,
    is_first: bool,
) -> Result<Incoming, ClientError> {
    let answer = client.get(&path(args, position, is_first), "text/event-stream").await?;
    let instance = answer.headers().get(INSTANCE).and_then(|value| value.to_str().ok());
    instance.unwrap_or_default().clone_into(&mut position.instance);
    Ok(answer.into_body())
}

/// Returns the request that resumes at the stream's position.
fn path(args: &Args, position: &Position, is_first: bool) -> String {
    let selection = args.selection();
    let mut query = QueryPath::new("/v1/events");
    if args.lives {
        query.add("format", "life");
    } else if args.format == Format::Text {
        query.add("format", if args.is_coloured() { "colour" } else { "text" });
    }
    args.schema.add_to(&mut query);
    query.add_all("action", &selection.actions).add_all("comm", &selection.comms);
    query.add_all("unit", &selection.units).add_all("container", &selection.containers);
    query.add_all("pid", &selection.pids);
    if let Some(pid) = selection.subtree {
        query.add("subtree", pid);
    }
    if let Some(limit) = args.limit {
        query.add("limit", limit.saturating_sub(position.written));
    }
    if args.lives {
        // Lives are created only while a client reads them, so there are none from before.
    } else if let Some(sequence) = position.sequence {
        query.add("after", sequence);
        if !position.instance.is_empty() {
            query.add("instance", &position.instance);
        }
    } else if !is_first {
        // Nothing came before the daemon went away: all events of the next one are new.
        query.add("after", 0).add("instance", &position.instance);
    } else if let Some(since) = args.since {
        query.add("since", format_args!("{}ms", since.as_millis()));
    }
    query.into_path()
}

/// Prints the data of server-sent events, and keeps their ids.
async fn copy(
    client: &Client,
    args: &Args,
    body: &mut Incoming,
    position: &mut Position,
    stdout: &mut Stdout,
) -> Result<End, ClientError> {
    let mut lines = WholeLines::default();
    let mut is_event = false;
    loop {
        let piece = match client.piece(body).await {
            Ok(Some(piece)) => piece,
            Ok(None) if args.limit.is_some_and(|limit| position.written >= limit) => return Ok(End::Full),
            Ok(None) | Err(_) => return Ok(End::Away),
        };
        let whole = lines.push(&piece);
        if whole.is_empty() && lines.pending() > MOST_BYTES {
            return Err(client.broken(&format!("a line of more than {MOST_BYTES} bytes is not an event")));
        }
        let mut text = String::new();
        for line in String::from_utf8_lossy(&whole).lines() {
            if let Some(id) = line.strip_prefix("id: ") {
                position.sequence =
                    id.rsplit('-').next().and_then(|id| id.parse().ok()).or(position.sequence);
                is_event = true;
            } else if line.is_empty() {
                // The end of an event, or of a heartbeat: an id without data.
                is_event = false;
            } else if let Some(data) = line.strip_prefix("data: ") {
                text.push_str(data);
                text.push('\n');
                position.written += u64::from(std::mem::take(&mut is_event));
            }
        }
        match stdout.write(text.as_bytes()).await {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(End::Full),
            Err(error) => {
                return Err(ClientError::Broken {
                    socket: "standard output".into(),
                    what: error.to_string(),
                });
            }
        }
    }
}
