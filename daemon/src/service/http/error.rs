//! Errors as JSON: `{"error": {"status": 404, "message": "..."}}`.

use axum::{
    http::{Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::json::Json;

/// Why a request is not answered as asked.
#[derive(Debug)]
pub(in crate::service) struct ApiError {
    status: StatusCode,
    message: String,
}

impl ApiError {
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into() }
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, message: message.into() }
    }

    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, message: message.into() }
    }

    /// Those who only ask need connections, too.
    pub(super) fn too_many_readers() -> Self {
        let message =
            "there are as many readers of events as this address serves; try again when one has left";
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message: message.into() }
    }

    /// What a reader is kept for is to be given up first.
    pub(super) fn no_memory() -> Self {
        let message = "taskscope is near its memory limit and takes no new readers of events; \
            try again later, or raise memory_max";
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message: message.into() }
    }

    /// The owner of the lineage is gone.
    pub(super) fn stopping() -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message: "taskscope is stopping".into() }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "status": self.status.as_u16(), "message": self.message } });
        (self.status, Json(body)).into_response()
    }
}

pub(super) async fn no_such_path(uri: Uri) -> ApiError {
    let message =
        format!("there is no {}; /openapi.json on the Unix socket describes what there is", uri.path());
    ApiError { status: StatusCode::NOT_FOUND, message }
}

pub(super) async fn not_allowed(method: Method, uri: Uri) -> ApiError {
    let message = format!("{method} is not for {}: only GET is", uri.path());
    ApiError { status: StatusCode::METHOD_NOT_ALLOWED, message }
}
