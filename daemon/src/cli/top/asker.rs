//! Asks a daemon: each query at intervals, and one stream of events.

use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::{
    select,
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

use super::{
    channels::{Ends, Moment, Reply, Request, Wants, runtime},
    daemon::{AskError, Daemon},
};
use crate::{
    answer::{death::Deaths, explain::Explanation, text},
    cli::{client, query::QueryPath, terminal, whole_lines::WholeLines},
    service::Status,
    view::{Event, Health, Input, PastAnswer},
};

/// Time between two attempts to reach a daemon that is gone.
const AGAIN: Duration = Duration::from_millis(500);

/// How far back the stream of events begins.
const SINCE: &str = "60s";

/// The most deaths of one answer.
const DEATHS: u32 = 200;

/// The most events of one piece of the stream that are read; the view would not show more.
const EVENTS: usize = 1000;

/// The queries and their intervals.
const QUESTIONS: [(Question, Duration); 6] = [
    (Question::Status, Duration::from_secs(1)),
    (Question::Zombies, Duration::from_secs(1)),
    (Question::Deaths, Duration::from_secs(1)),
    (Question::Tree, Duration::from_secs(2)),
    (Question::Limits, Duration::from_secs(3)),
    (Question::Blocked, Duration::from_secs(5)),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Status,
    Zombies,
    Deaths,
    Tree,
    Limits,
    Blocked,
}

/// Asks until the view ends.
pub(super) fn run(daemon: &Daemon, ends: Ends) {
    let Ends { inputs, wants, mut requests, replies } = ends;
    let Ok(runtime) = runtime() else { return };
    let mut gone = wants.clone();
    runtime.block_on(async {
        let ended = async { while gone.changed().await.is_ok() {} };
        select! {
            () = ended => {}
            () = ask(daemon, &inputs, &wants) => {}
            () = follow(daemon, &inputs) => {}
            () = reply(daemon, &mut requests, &replies) => {}
        }
    });
}

/// Sends each query when it is due.
async fn ask(daemon: &Daemon, inputs: &mpsc::Sender<Input>, wants: &tokio::sync::watch::Receiver<Wants>) {
    let mut due = QUESTIONS.map(|_| Instant::now());
    let mut newest_death = 0;
    let mut is_away = false;
    loop {
        let (now, mut is_back) = (Instant::now(), false);
        let Wants { paused, tree, past } = *wants.borrow();
        for ((question, every), due) in QUESTIONS.into_iter().zip(&mut due) {
            let is_wanted =
                !paused && (tree || question != Question::Tree) && (!past || question == Question::Status);
            // While no daemon answers, only the first query is sent.
            if *due > now || !is_wanted || (is_away && question != Question::Status) {
                continue;
            }
            let (input, lasts) = match answer(daemon, question, &mut newest_death).await {
                Ok(answer) => answer,
                // The daemon is busy, so the view keeps what it shows.
                Err(AskError::Refused(message)) => {
                    log::debug!("{message}");
                    *due = Instant::now() + every.max(AGAIN);
                    continue;
                }
                Err(AskError::Gone(message)) => {
                    is_away = true;
                    if inputs.send(Input::Disconnected(message)).await.is_err() {
                        return;
                    }
                    *due = Instant::now() + AGAIN;
                    continue;
                }
            };
            // The daemon repeats an expensive answer for longer: asking earlier would give the same one.
            *due = Instant::now() + every.max(lasts);
            if std::mem::take(&mut is_away) {
                is_back = true;
                if inputs.send(Input::Connected).await.is_err() {
                    return;
                }
            }
            if inputs.send(input).await.is_err() {
                return;
            }
        }
        // The view still shows answers of the daemon that is gone.
        if is_back {
            due = QUESTIONS.map(|_| Instant::now());
        }
        // What the view wants may change meanwhile.
        let next = due.into_iter().min().unwrap_or(now);
        sleep_until(next.max(Instant::now() + Duration::from_millis(100))).await;
    }
}

/// Asks; also returns for how long the daemon will repeat the answer.
async fn answer(
    daemon: &Daemon,
    question: Question,
    newest_death: &mut u64,
) -> Result<(Input, Duration), AskError> {
    async fn of<T: DeserializeOwned>(
        daemon: &Daemon,
        path: &str,
        input: impl FnOnce(T) -> Input,
    ) -> Result<(Input, Duration), AskError> {
        daemon.shared(path).await.map(|(answer, lasts)| (input(answer), lasts))
    }
    match question {
        Question::Status => {
            let input = |status: Status| Input::Health(health(status, daemon.host()));
            of(daemon, "/v1/status", input).await
        }
        Question::Zombies => of(daemon, "/v1/zombies", Input::Zombies).await,
        Question::Deaths => {
            let path = format!("/v1/deaths?limit={DEATHS}&after={newest_death}");
            of(daemon, &path, |deaths: Deaths| {
                *newest_death = deaths.deaths.first().map_or(*newest_death, |death| death.boottime_ns);
                Input::Deaths(deaths)
            })
            .await
        }
        Question::Tree => of(daemon, "/v1/tree?usage=true", Input::Tree).await,
        Question::Limits => of(daemon, "/v1/limits", Input::Limits).await,
        Question::Blocked => of(daemon, "/v1/blocked", Input::Blocked).await,
    }
}

fn health(status: Status, host: Option<&str>) -> Health {
    let host = host.map_or_else(String::new, |host| format!("{host}: "));
    Health {
        observer: format!("{host}taskscope {}, pid {}", status.version, status.pid),
        uptime_ns: status.uptime_ns,
        tasks: status.tasks,
        processes: status.processes,
        zombies: status.zombies,
        zombies_unconfirmed: status.zombies_unconfirmed,
        lost: status.records_lost,
        repaired: status.repaired.values().sum(),
        drift: status.drift.values().sum(),
        canary_age_ns: status.canary_age_ns,
        not_ready: status.not_ready_because,
        ready_but: status.ready_but,
        degraded: status.degraded,
    }
}

/// Follows the stream. After a restart of the daemon it resumes, and the daemon reports the gap.
async fn follow(daemon: &Daemon, inputs: &mpsc::Sender<Input>) {
    let mut place: Option<(String, u64)> = None;
    loop {
        let from = match &place {
            Some((instance, sequence)) => format!("after={sequence}&instance={instance}"),
            None => format!("since={SINCE}"),
        };
        let path = format!("/v1/events?{from}&action={}", Event::ACTIONS);
        match daemon.stream(&path).await {
            Ok((instance, body)) => {
                let sequence = read(body, inputs).await;
                let Some(sequence) = sequence else { return };
                let before = place.as_ref().map_or(0, |(_, sequence)| *sequence);
                place = Some((instance, if sequence == 0 { before } else { sequence }));
            }
            Err(error) => log::debug!("{}", error.message()),
        }
        sleep(AGAIN).await;
    }
}

/// Passes events to the view until the stream ends. Returns the sequence number of the last event, or `None` if the view has
/// ended.
async fn read(mut body: hyper::body::Incoming, inputs: &mpsc::Sender<Input>) -> Option<u64> {
    let mut lines = WholeLines::default();
    let mut sequence = 0;
    while let Ok(Some(piece)) = client::piece(&mut body, drop).await {
        let whole = lines.push(&piece);
        let text = String::from_utf8_lossy(&whole);
        let surplus = text.lines().count().saturating_sub(EVENTS);
        if let Some(last) = text.lines().last().and_then(|line| number(line, "\"sequence\":")) {
            sequence = last;
        }
        let events: Vec<Event> = text.lines().skip(surplus).filter_map(Event::of_line).collect();
        if !events.is_empty() && inputs.send(Input::Events(events)).await.is_err() {
            return None;
        }
    }
    Some(sequence)
}

/// Returns the number after a key in a line of JSON.
fn number(line: &str, key: &str) -> Option<u64> {
    let rest = line.split_once(key)?.1;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..digits)?.parse().ok()
}

/// Answers the questions that the view asks once.
async fn reply(daemon: &Daemon, requests: &mut mpsc::Receiver<Request>, replies: &mpsc::Sender<Reply>) {
    while let Some(request) = requests.recv().await {
        let reply = match request {
            Request::Explain(selector) => {
                let answer: Result<Explanation, AskError> =
                    daemon.get(&format!("/v1/explain/{selector}")).await;
                Reply::Story(match answer {
                    Ok(answer) => text::explanation(&answer, style()),
                    Err(error) => text::escape(&error.message()),
                })
            }
            Request::Past(moment) => match past(daemon, &moment).await {
                Ok(answer) => Reply::Past(moment, Box::new(answer)),
                Err(error) => Reply::NoPast(text::escape(&error.message())),
            },
        };
        if replies.send(reply).await.is_err() {
            return;
        }
    }
    std::future::pending::<()>().await;
}

/// Gets the tree and the deaths of a past time.
async fn past(daemon: &Daemon, moment: &Moment) -> Result<PastAnswer, AskError> {
    let (mut tree, mut deaths) = (QueryPath::new("/v1/tree"), QueryPath::new("/v1/deaths"));
    tree.add("at", &moment.utc);
    deaths.add("limit", DEATHS).add("at", &moment.utc);
    let tree = daemon.get(&tree.into_path()).await?;
    let deaths = daemon.get(&deaths.into_path()).await?;
    Ok(PastAnswer { tree, deaths })
}

/// Returns the style of explanations. If the terminal becomes narrower, the text is wrapped again.
pub(super) fn style() -> text::Style {
    text::Style { colour: false, ..terminal::style() }
}
