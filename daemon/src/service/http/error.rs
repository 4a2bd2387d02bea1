//! Errors as JSON: `{"error": {"status": 404, "message": "..."}}`.

use axum::{
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

/// The content type of errors.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Headers of every answer: they keep a page of another site from using it, and a browser from guessing another content type.
pub(super) const HEADERS: [(HeaderName, HeaderValue); 2] = [
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
];

/// Why a request is refused.
#[derive(Debug)]
pub(in crate::service) struct ApiError {
    status: StatusCode,
    message: String,
}

impl ApiError {
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into() }
    }

    #[cfg(test)]
    pub(super) const fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the error for a request that hyper does not understand.
    pub(super) fn not_understood(status: StatusCode) -> Self {
        let message = match status {
            StatusCode::REQUEST_TIMEOUT => {
                "the request was not complete in time; send its headers within ten seconds"
            }
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
                "the headers are too long or too many; send at most 16 KiB and 64 of them"
            }
            StatusCode::URI_TOO_LONG => "the path is too long",
            _ => "this is not an HTTP/1.1 request",
        };
        Self { status, message: message.into() }
    }

    /// Returns the error for a request with a host name that is not one of the daemon's.
    pub(super) fn misdirected(message: impl Into<String>) -> Self {
        Self { status: StatusCode::MISDIRECTED_REQUEST, message: message.into() }
    }

    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, message: message.into() }
    }

    /// An answer with this status that has no message of its own.
    pub(super) fn of_status(status: StatusCode) -> Self {
        Self { status, message: status.canonical_reason().unwrap_or("refused").to_lowercase() }
    }

    /// Returns the error of /readyz if records of canaries do not arrive.
    pub(super) fn not_ready(why: &str) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message: format!("not ready: {why}") }
    }

    /// Returns the error if all places are taken except those kept for scrapes.
    pub(super) fn busy() -> Self {
        let message = "all connections of this address are in use, and only short answers are possible now; try again later";
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message: message.into() }
    }

    /// Returns the answer's bytes; the connection is closed after them.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        let (status, body) = (self.status, self.body());
        let headers =
            HEADERS.map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap_or_default()));
        let (code, reason) = (status.as_u16(), status.canonical_reason().unwrap_or_default());
        let (headers, length) = (headers.concat(), body.len());
        let head = format!(
            "HTTP/1.1 {code} {reason}\r\n{headers}content-type: application/json\r\n\
             content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        head.into_bytes()
    }

    fn body(&self) -> String {
        json!({ "error": { "status": self.status.as_u16(), "message": self.message } }).to_string()
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, message: message.into() }
    }

    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, message: message.into() }
    }

    /// Returns the error if half of the connections read events; the others are kept for requests that end.
    pub(super) fn too_many_readers() -> Self {
        let message =
            "there are as many readers of events as this address serves; try again when one has left";
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message: message.into() }
    }

    /// Returns the error if one peer has too many readers.
    pub(super) fn too_many_readers_of_peer(most: usize) -> Self {
        let message = format!(
            "your host, or your user on the Unix socket, has {most} readers of events, as many as one may have here; \
             end one of them first"
        );
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message }
    }

    /// Returns the error if too many questions wait: each holds a connection, and a scrape needs one too.
    pub(super) fn too_many_questions() -> Self {
        let message = "too many requests wait on this address; try again in a moment";
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message: message.into() }
    }

    pub(super) fn into_message(self) -> String {
        self.message
    }

    /// Returns the error for a request without a valid password.
    pub(super) fn unauthorized() -> Self {
        let message = "this address needs the name and password of a user of its web_config_file (basic authentication)";
        Self { status: StatusCode::UNAUTHORIZED, message: message.into() }
    }

    /// Returns the error if too many passwords wait to be checked.
    pub(super) fn too_many_passwords() -> Self {
        let message = "too many passwords wait to be checked; try again in a second";
        Self { status: StatusCode::TOO_MANY_REQUESTS, message: message.into() }
    }

    /// Returns the error if the `rate_limit` of the web configuration is exceeded.
    pub(super) fn too_fast() -> Self {
        let message = "more requests than the rate_limit of this address's web_config_file; ask less often";
        Self { status: StatusCode::TOO_MANY_REQUESTS, message: message.into() }
    }

    /// Returns the error for a request without TLS.
    pub(super) fn not_tls() -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: "this address speaks TLS; use https://".into() }
    }

    /// Returns the error if there is no memory for another reader.
    pub(super) fn no_memory() -> Self {
        let message = "taskscope is near its memory limit and accepts no new readers of events; \
            try again later, or raise memory_max";
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message: message.into() }
    }

    /// Returns the error if the owner of the lineage is gone.
    pub(super) fn stopping() -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message: "taskscope is stopping".into() }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, [(header::CONTENT_TYPE, JSON)], self.body()).into_response()
    }
}

pub(super) async fn no_such_path(uri: Uri) -> ApiError {
    let message = format!("there is no {}; /openapi.json on the Unix socket lists the paths", uri.path());
    ApiError { status: StatusCode::NOT_FOUND, message }
}

pub(super) async fn not_allowed(method: Method, uri: Uri) -> ApiError {
    let message = format!("{method} is not for {}: only GET is", uri.path());
    ApiError { status: StatusCode::METHOD_NOT_ALLOWED, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_over_the_wire_says_how_long_it_is_and_that_it_is_the_last() {
        let bytes = ApiError::not_understood(StatusCode::REQUEST_TIMEOUT).into_bytes();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{head}");
        assert!(
            head.contains(&format!("content-length: {}", body.len())) && head.contains("connection: close")
        );
        assert!(head.contains("x-content-type-options: nosniff"), "{head}");
        let value: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(value["error"]["status"], 408);
    }
}
