//! Answers about the daemon itself: its health, and the API's description.

use axum::{extract::State, http::header, response::IntoResponse};

use super::json::Json;
use crate::service::{
    http::{api::Api, error::ApiError},
    status::Status,
};

/// The description of this API.
pub(crate) const OPENAPI: &str = include_str!("../openapi.json");

pub(in crate::service::http) async fn status(State(api): State<Api>) -> Result<Json<Status>, ApiError> {
    api.ask(|pipeline, service| Status::of(pipeline, service)).await.map(Json)
}

pub(in crate::service::http) async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}
