//! A job whose events come from the daemon.

use std::{
    future::pending,
    pin::Pin,
    time::{Duration, Instant},
};

use hyper::body::Incoming;
use tokio::select;

use super::{Args, Observed, Shared, command::JobCommand, is_absent, last_figures, lives, until_settled};
use crate::{
    cli::{client::Client, exit::Exit, whole_lines::WholeLines},
    job::{ACTIONS, Fact},
    pidns,
};

/// The most bytes of a line: more than any event with all its arguments has.
const MOST_BYTES: usize = 16 << 20;

/// How often figures are completed while the command runs: the daemon does not remember lives for ever.
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(5);

/// The events of this process's descendants.
pub(super) struct EventLines {
    client: Client,
    body: Incoming,
    lines: WholeLines,
}

/// Asks the daemon for the events of all that this process starts from now on; `None` if there is no daemon.
pub(super) async fn connect(args: &Args) -> Result<Option<EventLines>, Exit> {
    let client = Client::at(&args.socket.socket);
    let path = format!("/v1/events?subtree={}&action={ACTIONS}", std::process::id());
    match client.get(&path, "application/x-ndjson").await {
        Ok(answer) => {
            // In another pid namespace, this process sees pids that differ from those of the daemon.
            pidns::check().map_err(Exit::failed)?;
            Ok(Some(EventLines { client, body: answer.into_body(), lines: WholeLines::default() }))
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
    let mut settled = Box::pin(until_settled(args, command, shared, async || {}));
    let client = Client::at(&args.socket.socket);
    // Questions run concurrently with the stream, so that events are read while a question waits for its answer.
    let mut asked: Option<Pin<Box<_>>> = None;
    let mut next = Instant::now() + BETWEEN_QUESTIONS;
    loop {
        select! {
            biased;
            observed = &mut settled => {
                drop(asked);
                last_figures::wait(shared, async |from_ns| lives::complete(&client, shared, from_ns).await).await;
                return observed;
            }
            is_open = lines.next(shared) => if !is_open { break },
            outcome = async { match &mut asked {
                Some(asked) => asked.await,
                None => pending().await,
            } } => {
                asked = None;
                next = Instant::now() + BETWEEN_QUESTIONS;
                if let Err(error) = outcome {
                    log::debug!("asking for figures: {error}");
                }
            }
        }
        if asked.is_none() && Instant::now() >= next && last_figures::are_due(shared) {
            asked = Some(Box::pin(lives::complete(&client, shared, last_figures::due_since_ns())));
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
        let mut collector = shared.borrow_mut();
        for line in self.lines.push(&piece).split(|&byte| byte == b'\n') {
            if !line.is_empty() {
                collector.take_line(line);
            }
        }
        self.lines.pending() <= MOST_BYTES
    }
}
