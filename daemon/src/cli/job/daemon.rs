//! A job whose events come from the daemon.

use hyper::body::Incoming;
use tokio::select;

use super::{Args, Observed, Shared, command::JobCommand, is_absent, until_settled};
use crate::{
    cli::{client::Client, exit::Exit},
    job::{ACTIONS, Fact},
    pidns,
};

/// The most bytes of a line: more than any event with all its arguments has.
const MOST_BYTES: usize = 16 << 20;

/// The events of this process's descendants.
pub(super) struct EventLines {
    client: Client,
    body: Incoming,
    rest: Vec<u8>,
}

/// Asks the daemon for the events of all that this process starts from now on; `None` if there is no daemon.
pub(super) async fn connect(args: &Args) -> Result<Option<EventLines>, Exit> {
    let client = Client::at(&args.socket.socket);
    let path = format!("/v1/events?subtree={}&action={ACTIONS}", std::process::id());
    match client.get(&path, "application/x-ndjson").await {
        Ok(answer) => {
            // The daemon knows processes by other numbers than this one where that is not so.
            pidns::check().map_err(Exit::failed)?;
            Ok(Some(EventLines { client, body: answer.into_body(), rest: Vec::new() }))
        }
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error.exit()),
    }
}

/// Reads events until the command has ended and its last events have come.
pub(super) async fn follow(
    args: &Args,
    mut lines: EventLines,
    command: JobCommand,
    shared: &Shared,
) -> Observed {
    let mut settled = Box::pin(until_settled(args, command, shared));
    loop {
        select! {
            biased;
            observed = &mut settled => return observed,
            is_open = lines.next(shared) => if !is_open { break },
        }
    }
    log::warn!(
        "the daemon has ended, or closed the connection: what the command does from now on is not in its report"
    );
    {
        let mut collector = shared.borrow_mut();
        collector.has_ended = true;
        collector.take(Fact::lost("restart".into(), None));
    }
    settled.await
}

impl EventLines {
    /// Takes the next lines; returns whether there can be more. Cancelling the wait loses nothing.
    async fn next(&mut self, shared: &Shared) -> bool {
        let Ok(Some(piece)) = self.client.piece(&mut self.body).await else { return false };
        self.rest.extend_from_slice(&piece);
        let whole = self.rest.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let mut collector = shared.borrow_mut();
        for line in self.rest.get(..whole).unwrap_or_default().split(|&byte| byte == b'\n') {
            if !line.is_empty() {
                collector.take_line(line);
            }
        }
        self.rest.drain(..whole);
        self.rest.len() <= MOST_BYTES
    }
}
