//! Answers that viewers share. A request with `Cache-Control: max-age=N` accepts an answer that is up to N seconds old: so the daemon
//! makes an answer once a second, however many viewers ask for it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    body::{self, Body, Bytes, HttpBody as _},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, uri::PathAndQuery},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::error::ApiError;

/// Paths whose answers are shared: those that take a walk over the tasks or a turn of the owner.
const PATHS: [&str; 6] = ["/v1/status", "/v1/zombies", "/v1/limits", "/v1/blocked", "/v1/tree", "/v1/deaths"];

/// The oldest answer that is given, whatever a request accepts.
const OLDEST: Duration = Duration::from_secs(5);

/// The most answers that are kept, and their bytes. Larger ones are given to those who ask at the same time only.
const MOST: usize = 16;
const MOST_BYTES: usize = 8 << 20;

/// A longer query is not shared.
const KEY_BYTES: usize = 256;

/// An answer with the time at which it was made.
struct Kept {
    made: Instant,
    head: HeaderMap,
    body: Bytes,
}

/// The place of an answer. Whoever holds the lock makes it, and others wait.
type Slot = Arc<tokio::sync::Mutex<Option<Kept>>>;

/// The answers by path and query.
#[derive(Clone, Default)]
pub(super) struct SharedAnswers(Arc<Mutex<HashMap<String, Slot>>>);

impl SharedAnswers {
    /// Drops answers that are too old; returns the others, and their bytes.
    fn young(&self) -> (MutexGuard<'_, HashMap<String, Slot>>, usize) {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = 0;
        slots.retain(|_, slot| {
            // A locked one is being made.
            let Ok(kept) = slot.try_lock() else { return true };
            let young = kept.as_ref().filter(|kept| kept.made.elapsed() <= OLDEST);
            bytes += young.map_or(0, |kept| kept.body.len());
            young.is_some()
        });
        (slots, bytes)
    }

    /// Returns the place of an answer, or `None` if there is no room.
    fn slot(&self, key: &str) -> Option<Slot> {
        let (mut slots, bytes) = self.young();
        if let Some(slot) = slots.get(key) {
            return Some(Arc::clone(slot));
        }
        if slots.len() >= MOST || bytes >= MOST_BYTES {
            return None;
        }
        Some(Arc::clone(slots.entry(key.to_owned()).or_default()))
    }
}

/// Returns how old an answer may be.
fn accepts(request: &Request) -> Option<Duration> {
    if request.method() != Method::GET || !PATHS.contains(&request.uri().path()) {
        return None;
    }
    let value = request.headers().get(header::CACHE_CONTROL)?.to_str().ok()?;
    let age = value.split(',').find_map(|part| part.trim().strip_prefix("max-age="))?.parse().ok()?;
    let age = Duration::from_secs(age).min(OLDEST);
    (!age.is_zero()).then_some(age)
}

/// Gives a kept answer to a request that accepts it, or makes one.
pub(super) async fn share(State(shared): State<SharedAnswers>, request: Request, next: Next) -> Response {
    let Some(age) = accepts(&request) else {
        // The last viewer's answers are dropped by the next request of anybody.
        drop(shared.young());
        return next.run(request).await;
    };
    let key = request.uri().path_and_query().map(PathAndQuery::as_str).unwrap_or_default();
    let Some(slot) = (key.len() <= KEY_BYTES).then(|| shared.slot(key)).flatten() else {
        return next.run(request).await;
    };
    let mut kept = slot.lock().await;
    if let Some(kept) = kept.as_ref().filter(|kept| kept.made.elapsed() <= age) {
        let mut answer = Response::new(Body::from(kept.body.clone()));
        answer.headers_mut().extend(kept.head.clone());
        answer.headers_mut().insert(header::AGE, HeaderValue::from(kept.made.elapsed().as_secs()));
        return answer;
    }
    let made = Instant::now();
    let answer = next.run(request).await;
    let size = answer.body().size_hint().exact().and_then(|size| usize::try_from(size).ok());
    if answer.status() != StatusCode::OK || size.is_none_or(|size| size > MOST_BYTES) {
        return answer;
    }
    let (parts, body) = answer.into_parts();
    match body::to_bytes(body, MOST_BYTES).await {
        Ok(body) => {
            *kept = Some(Kept { made, head: parts.headers.clone(), body: body.clone() });
            Response::from_parts(parts, Body::from(body))
        }
        Err(error) => ApiError::internal(format!("keeping an answer: {error}")).into_response(),
    }
}
