//! HTTP: /metrics and health on TCP, the whole API and the web page on the Unix socket.

mod accept;
mod access;
mod api;
mod caught;
mod connections;
mod error;
mod handlers;
mod packed;
mod page;
pub mod query;
mod shared;
mod thread;
pub mod web;
mod workers;

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};

#[cfg(feature = "mcp")]
pub(crate) use self::handlers::answers::OPENAPI;
pub(super) use self::{
    api::Api,
    caught::asked,
    connections::{counts::ConnectionCounts, places::Limits},
    thread::{HttpThread, Listeners},
    workers::Workers,
};
use self::{
    error::ApiError,
    handlers::{answers, deaths, events, health, leaks, lives, scopes, stops, tasks},
    shared::SharedAnswers,
};
pub use self::{thread::ThreadError, web::WebError, workers::WorkersError};
use super::scrape_format::ScrapeFormat;

/// A scrape's content type: the text format of Prometheus.
const METRICS_TYPE: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// The content type of `OpenMetrics`.
const OPEN_METRICS_TYPE: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

impl Limits {
    const TCP: Self = Self { connections: 128, waiting_per_peer: 64, reserve: 16 };
    const UNIX: Self = Self { connections: 256, waiting_per_peer: 128, reserve: 32 };

    /// Returns these limits reduced to half of the descriptors that connections may take: the socket and TCP get one half each. A
    /// few of them always stay reserved for scrapes.
    const fn within(self, descriptors: usize) -> Self {
        let share = descriptors / 2;
        if self.connections + self.reserve <= share {
            return self;
        }
        let reserve = if share / 8 < 2 { 2 } else { share / 8 };
        let connections = if share.saturating_sub(reserve) < 2 { 2 } else { share - reserve };
        Self { connections, waiting_per_peer: connections.div_ceil(2), reserve }
    }
}

/// Returns the routes that every process on the host may use.
pub(super) fn public(api: Api) -> Router {
    let workers = api.workers.clone();
    monitoring()
        .route("/", get(front_page))
        .layer(from_fn(caught::handled))
        .layer(from_fn_with_state(workers, packed::pack))
        .with_state(api)
}

/// Returns the routes that TCP and the socket have in common. Add layers after all routes: a layer does not cover routes that are
/// added after it.
fn monitoring() -> Router<Api> {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::not_allowed)
}

/// Returns all routes.
pub(super) fn full(api: Api) -> Router {
    let workers = api.workers.clone();
    monitoring()
        .route("/", get(page))
        .route("/page/{*name}", get(page::file))
        .route("/v1/events", get(events::stream))
        .route("/v1/status", get(answers::status))
        .route("/v1/tree", get(tasks::tree))
        .route("/v1/tasks/{pid}", get(tasks::task))
        .route("/v1/deaths", get(deaths::deaths))
        .route("/v1/stops", get(stops::stops))
        .route("/v1/scopes", get(scopes::scopes))
        .route("/v1/lives", get(lives::lives))
        .route("/v1/zombies", get(tasks::zombies))
        .route("/v1/blocked", get(tasks::blocked))
        .route("/v1/leaks", get(leaks::leaks))
        .route("/v1/limits", get(tasks::limits))
        .route("/v1/explain/{pid}", get(tasks::explain))
        .route("/openapi.json", get(answers::openapi))
        .layer(from_fn(caught::handled))
        .layer(from_fn_with_state(SharedAnswers::default(), shared::share))
        .layer(from_fn_with_state(workers, packed::pack))
        .with_state(api)
}

async fn metrics(State(api): State<Api>, headers: HeaderMap) -> Result<Response, ApiError> {
    let format = if accept::open_metrics(&headers) { ScrapeFormat::OpenMetrics } else { ScrapeFormat::Text };
    let text = api.ask_first(move |pipeline, service| service.scrape(pipeline, format)).await?;
    let text = text.map_err(|error| ApiError::internal(format!("encoding the metrics: {error}")))?;
    let kind = match format {
        ScrapeFormat::OpenMetrics => OPEN_METRICS_TYPE,
        ScrapeFormat::Text => METRICS_TYPE,
    };
    let headers = [(header::CONTENT_TYPE, kind), (header::VARY, HeaderValue::from_static("accept"))];
    Ok((headers, text).into_response())
}

async fn page(headers: HeaderMap) -> Response {
    page::index(&headers, "taskscope: the API is at /openapi.json; a browser gets the web page here\n")
}

async fn front_page() -> &'static str {
    "taskscope: every Linux task from copy_process() to release_task()\n\n\
     /metrics  for Prometheus\n\
     /healthz  the daemon answers\n\
     /readyz   the daemon sees its canaries\n\n\
     The rest of the API is on the Unix socket: curl --unix-socket /run/taskscope/taskscope.sock http://x/openapi.json\n\
     So is the web page; --api-on-tcp puts both here.\n"
}
