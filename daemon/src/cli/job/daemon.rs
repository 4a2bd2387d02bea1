//! A job whose events come from the daemon.

use std::{
    future::pending,
    pin::Pin,
    time::{Duration, Instant},
};

use hyper::body::Incoming;
use tokio::{select, time::sleep};

use super::{Args, Observed, Shared, command::JobCommand, is_absent, lives, until_settled};
use crate::{
    cli::{client::Client, exit::Exit, whole_lines::WholeLines},
    job::{ACTIONS, Fact},
    pidns,
};

/// The most bytes of a line: more than any event with all its arguments has.
const MOST_BYTES: usize = 16 << 20;

/// How often figures are completed while the command runs: the daemon does not remember lives for ever.
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(5);

/// How long the last figures are waited for: a last switch follows within microseconds, on emulated CPUs within milliseconds.
const LAST_FIGURES: Duration = Duration::from_secs(2);

/// The pause between two questions for them.
const PAUSE: Duration = Duration::from_millis(20);

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
            // The daemon knows processes by other numbers than this one where that is not so.
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
    let mut settled = Box::pin(until_settled(args, command, shared));
    let client = Client::at(&args.socket.socket);
    // What is asked for meanwhile runs beside the stream, so that the daemon never waits for its reader.
    let mut asked: Option<Pin<Box<_>>> = None;
    let mut next = Instant::now() + BETWEEN_QUESTIONS;
    loop {
        select! {
            biased;
            observed = &mut settled => {
                drop(asked);
                complete_all(&client, shared).await;
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
        let count = || shared.borrow().members().map_or(0, |members| members.pending().count());
        if asked.is_none() && Instant::now() >= next && count() > 0 {
            asked = Some(Box::pin(lives::complete(&client, shared)));
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

/// Completes the figures of all processes, or gives up: then the report says so.
async fn complete_all(client: &Client, shared: &Shared) {
    let until = Instant::now() + LAST_FIGURES;
    loop {
        if let Err(error) = lives::complete(client, shared).await {
            log::debug!("asking for figures: {error}");
            return;
        }
        let is_complete = shared.borrow().members().is_none_or(|members| members.pending().next().is_none());
        if is_complete || Instant::now() >= until {
            return;
        }
        sleep(PAUSE).await;
    }
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
