//! /v1/lives: ended lives, one line each, the oldest first.
//!
//! They are sent page by page. The owner of the lineage returns the lives of a page between two batches of records, a worker
//! thread makes lines of them, and the next page follows when the connection has taken this one.
//!
//! If the query reaches further back than memory, the lives of the history come first. The owner asks the writer of the history to
//! write all queued lines; a worker thread then reads the segments, piece by piece. A recent life can be both in memory and in the
//! history; it is sent once. If memory forgets further lives while the client reads, the history is read again from where the last
//! reading ended.

mod query;

use std::{
    collections::{HashMap, HashSet},
    io,
    ops::ControlFlow,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes},
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use hyper::body::{Body as HttpBody, Frame};
use tokio::sync::mpsc;

pub(in crate::service::http) use self::query::LivesQuery;
use super::past;
use crate::{
    answer::{life::LifeRecord, place::AnswerPlace, time_arg},
    duration,
    export::{Stamp, schema::Schema},
    history::{
        HistoryReading,
        read::{LifeSearch, ReadError, Times},
    },
    kernel::clock,
    lineage::{Life, id::Ktime},
    runtime::Pipeline,
    service::{
        DAMAGE, KNOWN, KNOWN_SINCE, Service,
        http::{api::Api, error::ApiError},
    },
};

/// The most lives of a page: the owner collects them in less than a millisecond.
const PAGE: usize = 512;

const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// Some lives, and what is needed to make records of them.
struct Page {
    lives: Vec<Life>,
    next: u64,
    stamp: Stamp,
    places: HashMap<u64, AnswerPlace>,
    /// Lives that were released up to this time may be forgotten.
    forgotten_until: Ktime,
    /// The history, if lives were forgotten since the page before.
    reading: Option<HistoryReading>,
}

/// What identifies a life: its pid, and when it began; if that is not known, when it ended.
type Identity = (u32, u64);

/// The part of an answer that comes from the history: all lives that were released up to `seam`. Later lives that the history has
/// too are in `sent`, so that they are not sent twice.
struct FromHistory {
    search: LifeSearch,
    schema: Schema,
    /// The lives of the history that were released after `seam` and are in the answer; memory may have them too.
    sent: HashSet<Identity>,
    boot: String,
    /// The history has every life that was released up to this time.
    seam: Ktime,
    /// The history was read when memory had forgotten lives up to this time.
    forgotten_until: Ktime,
}

/// The progress of an answer.
struct Progress {
    query: LivesQuery,
    /// Serial of the next life.
    next: u64,
    /// Serial after the last life at the time of the query.
    until: u64,
    /// Lives that were released before this time are left out.
    after: Ktime,
    left: u64,
    history: Option<FromHistory>,
}

/// What the owner of the lineage knows when the question arrives.
struct First {
    page: Page,
    until: u64,
    after: Ktime,
    known_since: String,
}

pub(in crate::service::http) async fn lives(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let mut query = LivesQuery::parse(query.as_deref().unwrap_or_default())?;
    let (since, at) = (query.since, query.at.clone());
    let first = api
        .ask(move |pipeline, service| {
            let (now, stamp) = (clock::boottime(), service.wall.stamp().clone());
            let after = since.map(|age| Ktime(now.0.saturating_sub(duration::ns(age))));
            let at_ms = at.map(|text| time_arg::past_ms(&text, now, &stamp)).transpose()?;
            let until = pipeline.lineage.next_ended_life();
            let known = pipeline.lineage.forgotten_until().unwrap_or(service.started).max(service.started);
            let reaches_back = at_ms.is_some_and(|at| i128::from(at) * 1_000_000 < stamp.wall_ns(known))
                || since.is_some_and(|age| duration::ns(age) > now.0.saturating_sub(known.0));
            let mut page = Page::of(pipeline, service, 0, until, None);
            page.forgotten_until = known;
            if reaches_back {
                page.reading = service.read_history(pipeline);
            }
            let known_since = stamp.timestamp(known);
            let after = after.unwrap_or(Ktime(0));
            Ok((First { page, until, after, known_since }, at_ms))
        })
        .await?;
    let (First { mut page, until, after, mut known_since }, at_ms) =
        first.map_err(|error: String| ApiError::bad_request(format!("at: {error}")))?;
    query.filter.at_ms = at_ms;
    let (mut known_header, mut history) = (None, None);
    if let Some(reading) = page.reading.take() {
        let now_ms = past::now_ms(&page.stamp);
        let age_ms = query.since.map(|age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        let from_ms = at_ms.unwrap_or_else(|| age_ms.map_or(i64::MIN, |age| now_ms.saturating_sub(age)));
        let (directory, known) = past::ready(&api, &reading, from_ms, &page.stamp).await?;
        if let Some(since) = &known.known_since {
            known_since.clone_from(since);
        }
        let search = LifeSearch::new(directory, Times { from_ms, to_ms: now_ms }, query.filter.clone());
        let boot = page.stamp.boot().to_owned();
        let seam = page.forgotten_until;
        let (schema, sent) = (query.schema, HashSet::new());
        history = Some(FromHistory { search, schema, sent, boot, seam, forgotten_until: seam });
        known_header = Some(known);
    }
    let left = query.limit.unwrap_or(u64::MAX);
    let progress = Progress { query, next: page.next, until, after, left, history };
    let (sender, pieces) = mpsc::channel(1);
    tokio::spawn(async move {
        if let Err(error) = send(&api, progress, page, &sender).await {
            // The client sees that the body ends too early.
            let error = io::Error::other(error.into_message());
            let _ = sender.send(Err(error)).await;
        }
    });
    let header =
        |text: &str| HeaderValue::from_str(text).map_err(|error| ApiError::internal(error.to_string()));
    let mut answer = Body::new(Pieces(pieces)).into_response();
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, NDJSON);
    headers.insert(HeaderName::from_static(KNOWN_SINCE), header(&known_since)?);
    if let Some(known) = known_header {
        let text = serde_json::to_string(&known).map_err(|error| ApiError::internal(error.to_string()))?;
        headers.insert(HeaderName::from_static(KNOWN), header(&text)?);
        headers.insert(header::TRAILER, HeaderValue::from_static(DAMAGE));
    }
    Ok(answer)
}

/// A piece of the body, or why it ends too early.
type Piece = Result<Frame<Bytes>, io::Error>;

/// Sends the lives of the history and then those of memory. Returns early if the client is gone.
async fn send(
    api: &Api,
    mut progress: Progress,
    mut page: Page,
    sender: &mpsc::Sender<Piece>,
) -> Result<(), ApiError> {
    if progress.history.is_some() && !send_history(api, &mut progress, sender).await? {
        return Ok(());
    }
    loop {
        if let Some(reading) = page.reading.take() {
            // Memory has forgotten lives while the client was reading. They are on disk by now.
            past::written(&reading).await;
            if !send_history(api, &mut progress, sender).await? {
                return Ok(());
            }
        }
        let (bytes, again) = api.workers.run(move || progress.lines(&page)).await?;
        progress = again;
        // The client may be gone.
        if !bytes.is_empty() && sender.send(Ok(Frame::data(bytes))).await.is_err() {
            return Ok(());
        }
        if progress.left == 0 || progress.next >= progress.until {
            break;
        }
        let (next, until) = (progress.next, progress.until);
        let forgotten = progress.history.as_ref().map(|history| history.forgotten_until);
        page = api
            .ask_first(move |pipeline, service| Page::of(pipeline, service, next, until, forgotten))
            .await?;
        progress.next = page.next;
        if let Some(history) = &mut progress.history {
            history.forgotten_until = page.forgotten_until;
        }
    }
    if let Some(history) = progress.history {
        let damage = history.search.finish();
        if damage.is_any() {
            let text =
                serde_json::to_string(&damage).map_err(|error| ApiError::internal(error.to_string()))?;
            let text = HeaderValue::from_str(&text).map_err(|error| ApiError::internal(error.to_string()))?;
            let trailers = HeaderMap::from_iter([(HeaderName::from_static(DAMAGE), text)]);
            let _ = sender.send(Ok(Frame::trailers(trailers))).await;
        }
    }
    Ok(())
}

/// Sends what the history has now. Returns whether the client is still there.
async fn send_history(
    api: &Api,
    progress: &mut Progress,
    sender: &mpsc::Sender<Piece>,
) -> Result<bool, ApiError> {
    if progress.left == 0 {
        return Ok(true);
    }
    let Some(mut history) = progress.history.take() else { return Ok(true) };
    loop {
        let left = progress.left;
        let (outcome, again) = api
            .workers
            .run(move || {
                let outcome = history.lines(left);
                (outcome, history)
            })
            .await?;
        history = again;
        let (bytes, count, is_done) = outcome?;
        progress.left = progress.left.saturating_sub(count);
        if !bytes.is_empty() && sender.send(Ok(Frame::data(bytes))).await.is_err() {
            return Ok(false);
        }
        if is_done || progress.left == 0 {
            progress.history = Some(history);
            return Ok(true);
        }
    }
}

impl FromHistory {
    /// Returns some lines, their number, and whether these are all. It stops after about [`past::PIECE`].
    fn lines(&mut self, left: u64) -> Result<(Bytes, u64, bool), ReadError> {
        let (mut out, mut count) = (Vec::new(), 0);
        let Self { search, schema, sent, boot, seam, .. } = self;
        let is_done = search.go_on(past::PIECE, &mut |line, life| {
            let id = life.process.entity_id.as_deref();
            let is_of_this_boot = id.is_none_or(|id| id.split('-').next() == Some(boot));
            if is_of_this_boot && life.boottime_ns > seam.0 {
                let start = life.start_boottime_ns.unwrap_or(life.boottime_ns);
                if !sent.insert((life.process.pid, start)) {
                    return ControlFlow::Continue(());
                }
            }
            schema.convert(line, &mut out);
            count += 1;
            if count < left { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok((out.into(), count, is_done))
    }
}

impl Page {
    /// Collects a page. If memory has forgotten lives that were released after `read_until`, the time up to which the history was
    /// read, the page also asks for the history again.
    fn of(
        pipeline: &Pipeline,
        service: &mut Service,
        from: u64,
        until: u64,
        read_until: Option<Ktime>,
    ) -> Self {
        let most = usize::try_from(until.saturating_sub(from)).unwrap_or(PAGE).min(PAGE);
        let (lives, next) = pipeline.lineage.ended_lives(from, most);
        let now_ns = clock::boottime().0;
        let mut places = HashMap::new();
        for id in lives.iter().filter_map(|life| life.cgroup_id) {
            if !places.contains_key(&id)
                && let Some(place) = service.cgroups.place(id, now_ns)
            {
                places.insert(id, AnswerPlace::from(&**place));
            }
        }
        let stamp = service.wall.stamp().clone();
        let forgotten = pipeline.lineage.forgotten_until().unwrap_or(Ktime(0));
        let has_forgotten = read_until.is_some_and(|read| forgotten > read);
        let reading = if has_forgotten { service.read_history(pipeline) } else { None };
        let forgotten_until = forgotten.max(read_until.unwrap_or(Ktime(0)));
        Self { lives, next, stamp, places, forgotten_until, reading }
    }
}

impl Progress {
    /// Returns the lines of a page.
    fn lines(mut self, page: &Page) -> (Bytes, Self) {
        let mut out = Vec::new();
        let after = self.after;
        for life in page.lives.iter().filter(|life| life.since >= after) {
            if self.left == 0 {
                break;
            }
            let place = life.cgroup_id.and_then(|id| page.places.get(&id).cloned());
            let record = LifeRecord::of(life, &page.stamp, place, &mut |_| None);
            if self.query.filter.wants(&record) && !self.is_sent(&record) {
                self.query.schema.write(&mut out, |out| record.write(out));
                self.left -= 1;
            }
        }
        (out.into(), self)
    }

    /// Whether this life was sent already, from the history. If not, notes it as sent.
    fn is_sent(&mut self, record: &LifeRecord) -> bool {
        let Some(history) = &mut self.history else { return false };
        let start = record.start_boottime_ns.unwrap_or(record.boottime_ns);
        let is_forgotten = record.boottime_ns <= history.seam.0;
        is_forgotten || !history.sent.insert((record.process.pid, start))
    }
}

/// A body that is sent piece by piece.
struct Pieces(mpsc::Receiver<Piece>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Piece>> {
        self.0.poll_recv(context)
    }
}
