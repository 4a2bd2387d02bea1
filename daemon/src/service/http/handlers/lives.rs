//! /v1/lives: ended lives, one line each, the oldest first.
//!
//! They are sent page by page. The owner of the lineage returns the lives of a page between two batches of records, a worker
//! thread makes lines of them, and the next page follows when the connection has taken this one.

use std::{
    collections::HashMap,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::{RawQuery, State},
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use hyper::body::{Body as HttpBody, Frame};
use tokio::sync::mpsc;

use super::extract::check_conditions;
use crate::{
    answer::{
        death::DeathFilter,
        life::{LifeFilter, LifeRecord},
        place::Place,
    },
    duration,
    export::Stamp,
    kernel::clock,
    lineage::{Life, id::Ktime},
    runtime::Pipeline,
    service::{
        KNOWN_SINCE, Service,
        http::{api::Api, error::ApiError},
    },
};

/// The most lives of a page: the owner collects them in less than a millisecond.
const PAGE: usize = 512;

const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// The query of `/v1/lives`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::service::http) struct Query {
    filter: LifeFilter,
    since: Option<Duration>,
    limit: Option<u64>,
}

/// Some lives, and what is needed to make records of them.
struct Page {
    lives: Vec<Life>,
    next: u64,
    stamp: Stamp,
    places: HashMap<u64, Place>,
}

/// The progress of an answer.
struct Progress {
    query: Query,
    /// Serial of the next life.
    next: u64,
    /// Serial after the last life at the time of the query.
    until: u64,
    /// Lives that were released before this time are left out.
    after: Ktime,
    left: u64,
}

pub(in crate::service::http) async fn lives(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let query = Query::parse(query.as_deref().unwrap_or_default())?;
    let after =
        query.since.map_or(Ktime(0), |age| Ktime(clock::boottime().0.saturating_sub(duration::ns(age))));
    let (page, until, known_since) = api
        .ask(|pipeline, service| {
            let until = pipeline.lineage.next_ended_life();
            let known = pipeline.lineage.forgotten_until().unwrap_or(service.started);
            let known = service.wall.stamp().timestamp(known.max(service.started));
            (Page::of(pipeline, service, 0, until), until, known)
        })
        .await?;
    let left = query.limit.unwrap_or(u64::MAX);
    let mut progress = Progress { query, next: page.next, until, after, left };
    let (sender, pieces) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut page = page;
        loop {
            let Ok((bytes, again)) = api.workers.run(move || progress.lines(&page)).await else { return };
            progress = again;
            // The client may be gone.
            if !bytes.is_empty() && sender.send(bytes).await.is_err() {
                return;
            }
            if progress.left == 0 || progress.next >= progress.until {
                return;
            }
            let (next, until) = (progress.next, progress.until);
            let asked =
                api.ask_first(move |pipeline, service| Page::of(pipeline, service, next, until)).await;
            let Ok(more) = asked else { return };
            progress.next = more.next;
            page = more;
        }
    });
    let known_since =
        HeaderValue::from_str(&known_since).map_err(|error| ApiError::internal(error.to_string()))?;
    let mut answer = Body::new(Pieces(pieces)).into_response();
    answer.headers_mut().insert(header::CONTENT_TYPE, NDJSON);
    answer.headers_mut().insert(HeaderName::from_static(KNOWN_SINCE), known_since);
    Ok(answer)
}

impl Page {
    fn of(pipeline: &Pipeline, service: &mut Service, from: u64, until: u64) -> Self {
        let most = usize::try_from(until.saturating_sub(from)).unwrap_or(PAGE).min(PAGE);
        let (lives, next) = pipeline.lineage.ended_lives(from, most);
        let now_ns = clock::boottime().0;
        let mut places = HashMap::new();
        for id in lives.iter().filter_map(|life| life.cgroup_id) {
            if !places.contains_key(&id)
                && let Some(place) = service.cgroups.place(id, now_ns)
            {
                places.insert(id, Place::from(&**place));
            }
        }
        Self { lives, next, stamp: service.wall.stamp().clone(), places }
    }
}

impl Progress {
    /// Returns the lines of a page.
    fn lines(mut self, page: &Page) -> (Bytes, Self) {
        let mut out = Vec::new();
        for life in page.lives.iter().filter(|life| life.since >= self.after) {
            if self.left == 0 {
                break;
            }
            let place = life.cgroup_id.and_then(|id| page.places.get(&id).cloned());
            let record = LifeRecord::of(life, &page.stamp, place, &mut |_| None);
            if self.query.filter.wants(&record) {
                record.write(&mut out);
                self.left -= 1;
            }
        }
        (out.into(), self)
    }
}

impl Query {
    pub(in crate::service::http) fn parse(text: &str) -> Result<Self, ApiError> {
        let mut query = Self::default();
        for (key, value) in form_urlencoded::parse(text.as_bytes()) {
            let value = value.into_owned();
            match &*key {
                "pid" => {
                    for pid in value.split(',') {
                        let pid = pid.parse();
                        let pid =
                            pid.map_err(|_| ApiError::bad_request(format!("pid={value}: not a number")))?;
                        query.filter.pids.push(pid);
                    }
                }
                "comm" => query.filter.comms.push(value),
                "unit" => query.filter.units.push(value),
                "container" => query.filter.containers.push(value),
                "cause" => query.filter.causes.push(value),
                "since" => {
                    let age = duration::parse(&value);
                    let age = age.map_err(|error| ApiError::bad_request(format!("since: {error}")))?;
                    query.since = Some(age);
                }
                "limit" => {
                    let limit = value.parse();
                    let limit =
                        limit.map_err(|_| ApiError::bad_request(format!("limit={value}: not a number")))?;
                    query.limit = Some(limit);
                }
                _ => {
                    return Err(ApiError::bad_request(format!(
                        "{key}: no such parameter; there are: pid, comm, unit, container, cause, since, limit"
                    )));
                }
            }
        }
        let LifeFilter { comms, units, containers, causes, .. } = &query.filter;
        check_conditions(&[comms.len(), units.len(), containers.len(), causes.len()])?;
        let causes = DeathFilter { causes: query.filter.causes.clone(), ..DeathFilter::default() };
        causes.check().map_err(|error| ApiError::bad_request(format!("cause: {error}")))?;
        Ok(query)
    }
}

/// A body that is sent piece by piece.
struct Pieces(mpsc::Receiver<Bytes>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_and_what_does_not_exist_is_refused() {
        let query = Query::parse("pid=1,2&comm=a*&cause=killed&since=5m&limit=3").unwrap();
        assert_eq!(query.filter.pids, [1, 2]);
        assert_eq!((query.limit, query.since), (Some(3), Some(Duration::from_secs(300))));
        for wrong in ["pid=x", "cause=nothing", "since=soon", "limit=-1", "action=released", "limit="] {
            assert!(Query::parse(wrong).is_err(), "{wrong}");
        }
    }
}
