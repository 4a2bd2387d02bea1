//! Answers that several clients share. A request with `Cache-Control: max-age=N` accepts an answer that is up to N seconds old. So
//! with `max-age=1` the daemon computes an answer once a second for any number of viewers. An answer that is expensive to compute is
//! repeated for a hundred times the CPU time that it took. So one query takes at most a hundredth of a CPU (if its answer takes at
//! most 0.6 s), however many clients ask. The answer's `max-age` says for how long a new request would get the same answer.

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

use super::{error::ApiError, handlers::tasks::BETWEEN_POLLS};
use crate::kernel::clock::process_cpu_ns;

/// Paths whose answers are shared: those that need a walk over the tasks or the owner of the lineage. With each, the CPU time that does
/// not count as the answer's cost.
const PATHS: [(&str, Duration); 6] = [
    // The health of a busy daemon must not be old.
    ("/v1/status", Duration::MAX),
    ("/v1/zombies", Duration::ZERO),
    ("/v1/limits", Duration::ZERO),
    // The answer waits, and a busy daemon does other work meanwhile.
    ("/v1/blocked", BETWEEN_POLLS),
    ("/v1/tree", Duration::ZERO),
    ("/v1/deaths", Duration::ZERO),
];

/// The largest `max-age` that a request can have.
const OLDEST: Duration = Duration::from_secs(5);

/// An answer is repeated for this many times the CPU time that it took to compute, even to requests that accept only younger answers.
const COST: u32 = 100;

/// The longest time for which an answer is repeated because it was expensive.
const OLDEST_COSTLY: Duration = Duration::from_secs(60);

/// The most answers that are kept, and their bytes.
const MOST: usize = 16;
const MOST_BYTES: usize = 8 << 20;

/// The most bytes of a large answer, such as the tree of 100,000 processes. One large answer is kept, because computing it again
/// for each viewer would take more memory. It is dropped as soon as it is too old.
const LARGE_BYTES: usize = 128 << 20;

/// A longer query is not shared.
const KEY_BYTES: usize = 256;

/// An answer, with the time at which its computation began, and the CPU time that it took.
struct Kept {
    made: Instant,
    cost: Duration,
    head: HeaderMap,
    body: Bytes,
}

impl Kept {
    /// Returns for how long this answer is sent to requests that accept an answer of this age.
    fn lasts(&self, age: Duration) -> Duration {
        age.max((self.cost * COST).min(OLDEST_COSTLY))
    }

    /// Whether a request that arrived at this time gets this answer. It also does if it arrived while the answer was being
    /// computed.
    fn is_for(&self, arrived: Instant, age: Duration) -> bool {
        arrived.saturating_duration_since(self.made) <= self.lasts(age)
    }

    const fn is_large(&self) -> bool {
        self.body.len() > MOST_BYTES
    }

    /// Returns the answer for a request that accepts this age.
    fn answer(&self, age: Duration) -> Response {
        let mut answer = Response::new(Body::from(self.body.clone()));
        let headers = answer.headers_mut();
        headers.extend(self.head.clone());
        let lasts = self.lasts(age).as_millis().div_ceil(1000);
        if let Ok(value) = HeaderValue::from_str(&format!("max-age={lasts}")) {
            headers.insert(header::CACHE_CONTROL, value);
        }
        answer
    }
}

/// The slot of an answer. The request that holds the lock computes it; others wait.
type Slot = Arc<tokio::sync::Mutex<Option<Kept>>>;

/// The answers by path and query.
#[derive(Clone, Default)]
pub(super) struct SharedAnswers(Arc<Mutex<HashMap<String, Slot>>>);

impl SharedAnswers {
    /// Drops answers that are too old; returns the others, and the bytes of those that are not large.
    fn young(&self) -> (MutexGuard<'_, HashMap<String, Slot>>, usize) {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = 0;
        slots.retain(|_, slot| {
            // A locked slot belongs to an answer that is being computed.
            let Ok(kept) = slot.try_lock() else { return true };
            let young = kept.as_ref().filter(|kept| kept.made.elapsed() <= kept.lasts(OLDEST));
            bytes += young.filter(|kept| !kept.is_large()).map_or(0, |kept| kept.body.len());
            young.is_some()
        });
        (slots, bytes)
    }

    /// Whether a large answer is kept, besides one that the caller has locked.
    fn has_large(&self) -> bool {
        let slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.values().any(|slot| slot.try_lock().is_ok_and(|kept| kept.as_ref().is_some_and(Kept::is_large)))
    }

    /// Drops a large answer once it is too old, if no request does so before.
    fn drop_after(&self, lasts: Duration) {
        let shared = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(lasts).await;
            drop(shared.young());
        });
    }

    /// Returns the slot of an answer, or `None` if there is no room.
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

/// Returns how old an answer may be, and the CPU time that does not count as its cost.
fn accepts(request: &Request) -> Option<(Duration, Duration)> {
    if request.method() != Method::GET {
        return None;
    }
    let (_, free) = PATHS.into_iter().find(|(path, _)| *path == request.uri().path())?;
    let value = request.headers().get(header::CACHE_CONTROL)?.to_str().ok()?;
    let age = value.split(',').find_map(|part| part.trim().strip_prefix("max-age="))?.parse().ok()?;
    let age = Duration::from_secs(age).min(OLDEST);
    (!age.is_zero()).then_some((age, free))
}

/// Answers a request by a kept answer if the request accepts it, else by a new one.
pub(super) async fn share(State(shared): State<SharedAnswers>, request: Request, next: Next) -> Response {
    let arrived = Instant::now();
    let Some((age, free)) = accepts(&request) else {
        // The next request, of any client, drops the answers of viewers that are gone.
        drop(shared.young());
        return next.run(request).await;
    };
    let key = request.uri().path_and_query().map(PathAndQuery::as_str).unwrap_or_default();
    let Some(slot) = (key.len() <= KEY_BYTES).then(|| shared.slot(key)).flatten() else {
        return next.run(request).await;
    };
    let mut kept = slot.lock().await;
    if let Some(kept) = kept.as_ref().filter(|kept| kept.is_for(arrived, age)) {
        let mut answer = kept.answer(age);
        answer.headers_mut().insert(header::AGE, HeaderValue::from(kept.made.elapsed().as_secs()));
        return answer;
    }
    let (made, cpu_ns) = (Instant::now(), process_cpu_ns());
    let answer = next.run(request).await;
    let size = answer.body().size_hint().exact().and_then(|size| usize::try_from(size).ok());
    let has_room = |size| size <= MOST_BYTES || (size <= LARGE_BYTES && !shared.has_large());
    if answer.status() != StatusCode::OK || !size.is_some_and(has_room) {
        return answer;
    }
    let (parts, body) = answer.into_parts();
    match body::to_bytes(body, LARGE_BYTES).await {
        Ok(body) => {
            // On a busy host the elapsed time includes waiting for a CPU. The CPU time includes the work of other threads.
            let cpu = Duration::from_nanos(process_cpu_ns().saturating_sub(cpu_ns));
            let cost = cpu.min(made.elapsed()).saturating_sub(free);
            let new = Kept { made, cost, head: parts.headers, body };
            if new.is_large() {
                shared.drop_after(new.lasts(OLDEST));
            }
            let answer = new.answer(age);
            *kept = Some(new);
            answer
        }
        Err(error) => ApiError::internal(format!("keeping an answer: {error}")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::{Router, middleware::from_fn_with_state, routing::get};
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn kept(cost: Duration) -> Kept {
        Kept { made: Instant::now(), cost, head: HeaderMap::new(), body: Bytes::new() }
    }

    #[test]
    fn an_answer_is_given_for_as_long_as_is_accepted_or_for_a_hundred_times_its_cost() {
        let (quick, slow) = (kept(Duration::from_millis(5)), kept(Duration::from_millis(70)));
        let after = |kept: &Kept, seconds: f64| kept.made + Duration::from_secs_f64(seconds);
        assert!(quick.is_for(after(&quick, 0.9), SECOND) && !quick.is_for(after(&quick, 1.1), SECOND));
        assert!(slow.is_for(after(&slow, 6.9), SECOND) && !slow.is_for(after(&slow, 7.1), SECOND));
        let for_ever = kept(Duration::from_secs(100));
        assert!(!for_ever.is_for(after(&for_ever, 61.0), SECOND));
        // A request that came before the computation began has waited for it.
        assert!(slow.is_for(slow.made.checked_sub(SECOND).unwrap(), SECOND));
        let says = |kept: &Kept| kept.answer(SECOND).headers()[header::CACHE_CONTROL].clone();
        assert_eq!(
            (says(&quick), says(&slow)),
            ("max-age=1".try_into().unwrap(), "max-age=7".try_into().unwrap())
        );
    }

    /// Ten viewers ask for two seconds, each again 50 ms after its answer; returns how many answers were made and given.
    async fn ten_viewers(bytes: usize, takes: Duration) -> (usize, usize) {
        let (made, given) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&made);
        let answer_slowly = move || {
            count.fetch_add(1, Ordering::SeqCst);
            async move {
                // Waiting costs nothing, so the answer has to compute.
                let began = process_cpu_ns();
                while Duration::from_nanos(process_cpu_ns() - began) < takes {}
                vec![b'x'; bytes]
            }
        };
        let kept_answers = SharedAnswers::default();
        let router: Router = Router::new().route("/v1/tree", get(answer_slowly));
        let router = router.layer(from_fn_with_state(kept_answers.clone(), share));
        let start = |n: u64| {
            let (router, given) = (router.clone(), Arc::clone(&given));
            tokio::spawn(async move {
                sleep(Duration::from_millis(37 * n)).await;
                let end = Instant::now() + 2 * SECOND;
                while Instant::now() < end {
                    let request = Request::get("/v1/tree").header(header::CACHE_CONTROL, "max-age=1");
                    let request = request.body(Body::empty()).unwrap();
                    let service = hyper_util::service::TowerToHyperService::new(router.clone());
                    let answer = hyper::service::Service::call(&service, request).await.unwrap();
                    let body = body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
                    assert_eq!(body.len(), bytes);
                    given.fetch_add(1, Ordering::SeqCst);
                    sleep(Duration::from_millis(50)).await;
                }
            })
        };
        for viewer in (0..10).map(start).collect::<Vec<_>>() {
            viewer.await.unwrap();
        }
        // Nothing large stays once the last viewer is gone.
        if bytes > MOST_BYTES {
            // On a busy host it takes longer to compute, and is repeated for longer.
            let end = Instant::now() + OLDEST_COSTLY + OLDEST;
            while !kept_answers.0.lock().unwrap().is_empty() {
                assert!(Instant::now() < end, "a large answer is kept");
                sleep(Duration::from_millis(50)).await;
            }
        }
        (made.load(Ordering::SeqCst), given.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn ten_viewers_cost_as_much_as_one() {
        let (made, given) = ten_viewers(1000, Duration::from_millis(1)).await;
        assert!(made <= 4 && given >= 10 * made, "{made} made, {given} given");
    }

    #[tokio::test]
    async fn ten_viewers_of_a_large_and_slow_answer_share_it_too() {
        let (made, given) = ten_viewers(MOST_BYTES + 1, Duration::from_millis(30)).await;
        assert!(made <= 2 && given >= 8 * made, "{made} made, {given} given");
    }
}
