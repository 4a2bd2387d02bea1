//! Turns a panic in an answer into an answer with status 500 and JSON that asks for a report. The daemon continues to run.
//!
//! Answers are computed in three places, each of which catches panics here: a handler ([`handled`]), a question to the owner of the lineage
//! ([`asked`]), and the completion of an answer on another thread ([`completed`]).

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::error::ApiError;
use crate::{
    panics::{self, Panicked},
    runtime::Pipeline,
    service::Service,
};

impl From<Panicked> for ApiError {
    fn from(panicked: Panicked) -> Self {
        Self::internal(panicked.to_string())
    }
}

/// Runs a question to the owner and catches its panic.
///
/// Questions only read. Besides that they change caches, counters and readers of events, which are consistent at every moment.
/// The exception is a question that first catches up with the ring: if it panics while records are applied, or leaves the tree
/// inconsistent, no later answer could be trusted, so the daemon ends.
pub(in crate::service) fn asked<T>(
    pipeline: &mut Pipeline,
    service: &mut Service,
    question: impl FnOnce(&mut Pipeline, &mut Service) -> T,
) -> Result<T, Panicked> {
    panics::catch(|| question(pipeline, service)).map_err(|panicked| panicked.unless_broken(pipeline.whole()))
}

/// Completes an answer. The caller owns all its parts, so a panic affects nothing else.
pub(super) fn completed<T>(complete: impl FnOnce() -> T) -> Result<T, ApiError> {
    panics::catch(complete).map_err(ApiError::from)
}

/// Wraps every handler.
pub(super) async fn handled(request: Request, next: Next) -> Response {
    match Caught(Box::pin(next.run(request))).await {
        Ok(response) => response,
        Err(panicked) => ApiError::from(panicked).into_response(),
    }
}

/// A future that returns an answer if it panics. It is not polled again after that.
struct Caught<F>(Pin<Box<F>>);

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match panics::catch(|| self.0.as_mut().poll(context)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(answer)) => Poll::Ready(Ok(answer)),
            Err(panicked) => Poll::Ready(Err(panicked)),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, middleware::from_fn, routing::get};
    use hyper::server::conn::http1;
    use hyper_util::{rt::TokioIo, service::TowerToHyperService};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::UnixStream,
    };

    use super::*;

    async fn breaks() -> &'static str {
        panic!("a handler broke")
    }

    async fn ask(router: Router, path: &str) -> String {
        let (mut near, far) = UnixStream::pair().unwrap();
        let serving = http1::Builder::new()
            .serve_connection(TokioIo::new(far), TowerToHyperService::new(router))
            .into_future();
        tokio::spawn(serving);
        near.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        near.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_handler_that_panics_answers_500_and_the_next_request_is_served() {
        let router = Router::new()
            .route("/breaks", get(breaks))
            .route("/works", get(async || "works\n"))
            .layer(from_fn(handled));
        let answer = ask(router.clone(), "/breaks").await;
        assert!(answer.starts_with("HTTP/1.0 500"), "{answer}");
        assert!(answer.contains(r#"{"error":{"message":"taskscope "#), "{answer}");
        assert!(answer.contains("a handler broke; this is a bug: please report"), "{answer}");
        assert!(ask(router, "/works").await.ends_with("works\n"));
    }
}
