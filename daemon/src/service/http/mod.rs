//! HTTP: /metrics and health on TCP, the whole API on the Unix socket.

mod answers;
mod error;
mod events;
mod health;
mod json;
mod server;
mod tasks;

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::sync::{Semaphore, mpsc, oneshot};

use self::error::ApiError;
pub(super) use self::server::{Gate, serve};
use super::Service;
use crate::runtime::{Pipeline, Question};

/// A scrape's content type: the text format of Prometheus.
const METRICS_TYPE: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// What every handler has: the way to the owner of everything.
#[derive(Clone)]
pub(super) struct Api {
    questions: mpsc::Sender<Question<Service>>,
    instance: Arc<str>,
    /// Places for readers of events. They stay: with a place for each connection nobody else could ask any more.
    readers: Arc<Semaphore>,
}

impl Api {
    /// For an address that serves so many connections at once: half of them may read events.
    pub(super) fn new(
        questions: mpsc::Sender<Question<Service>>,
        instance: &str,
        connections: usize,
    ) -> Self {
        Self { questions, instance: instance.into(), readers: Arc::new(Semaphore::new(connections / 2)) }
    }

    /// Asks the owner.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Pipeline, &mut Service) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let (answer, answered) = oneshot::channel();
        let question: Question<Service> = Box::new(move |pipeline, service| {
            // Who asked may have gone meanwhile.
            let _ = answer.send(question(pipeline, service));
        });
        self.questions.send(question).await.map_err(|_| ApiError::stopping())?;
        answered.await.map_err(|_| ApiError::stopping())
    }
}

/// What everybody on the host may see.
pub(super) fn public(api: Api) -> Router {
    Router::new()
        .route("/", get(front_page))
        .route("/metrics", get(metrics))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::not_allowed)
        .with_state(api)
}

/// Everything.
pub(super) fn full(api: Api) -> Router {
    Router::new()
        .route("/v1/events", get(events::stream))
        .route("/v1/status", get(answers::status))
        .route("/v1/tree", get(tasks::tree))
        .route("/v1/tasks/{pid}", get(tasks::task))
        .route("/v1/zombies", get(tasks::zombies))
        .route("/v1/explain/{pid}", get(tasks::explain))
        .route("/openapi.json", get(answers::openapi))
        .with_state(api.clone())
        .merge(public(api))
}

async fn metrics(State(api): State<Api>) -> Result<Response, ApiError> {
    let text = api.ask(|pipeline, service| service.scrape(pipeline)).await?;
    let text = text.map_err(|error| ApiError::internal(format!("encoding the metrics: {error}")))?;
    Ok(([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response())
}

async fn front_page() -> &'static str {
    "taskscope: every Linux task from copy_process() to release_task()\n\n\
     /metrics  for Prometheus\n\
     /healthz  the daemon answers\n\
     /readyz   whole lives come through\n\n\
     The rest of the API is on the Unix socket: curl --unix-socket /run/taskscope/taskscope.sock http://x/openapi.json\n"
}
