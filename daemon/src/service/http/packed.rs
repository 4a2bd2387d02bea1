//! Compresses answers for clients that accept gzip. Streams are not compressed: a reader of events wants each one at once.

use std::io::Write as _;

use axum::{
    body::{self, Body, HttpBody as _},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use flate2::{Compression, write::GzEncoder};

use super::{Workers, accept, error::ApiError};

/// A shorter answer fits into one packet anyway.
const LEAST: u64 = 1024;

/// A longer answer is sent as it is, because its copy would take as much memory again.
const MOST: u64 = 16 << 20;

/// Compresses an answer whose length is known, if the client accepts that.
pub(super) async fn pack(State(workers): State<Workers>, request: Request, next: Next) -> Response {
    let is_accepted = accept::gzip(request.headers());
    let answer = next.run(request).await;
    if answer.headers().contains_key(header::CONTENT_ENCODING) || !is_text(answer.headers()) {
        return answer;
    }
    let size = answer.body().size_hint().exact();
    if !size.is_some_and(|size| (LEAST..=MOST).contains(&size)) {
        return answer;
    }
    let (mut parts, body) = answer.into_parts();
    parts.headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    if !is_accepted {
        return Response::from_parts(parts, body);
    }
    let Ok(plain) = body::to_bytes(body, MOST as usize).await else {
        return ApiError::internal("an answer ended early").into_response();
    };
    let packed = workers.run(move || {
        let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::fast());
        encoder.write_all(&plain).and_then(|()| encoder.finish())
    });
    match packed.await {
        Ok(Ok(packed)) => {
            parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            parts.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(parts, Body::from(packed))
        }
        Ok(Err(error)) => ApiError::internal(format!("compressing an answer: {error}")).into_response(),
        Err(error) => error.into_response(),
    }
}

/// Whether an answer is metrics or JSON. The web page's files are compressed already.
fn is_text(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    ["application/json", "application/openmetrics-text", "text/plain"]
        .iter()
        .any(|text| kind.starts_with(text))
}
