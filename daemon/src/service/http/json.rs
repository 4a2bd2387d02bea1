//! Bodies of JSON. Names in them are escaped as those in events are.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::error::{ApiError, JSON};
use crate::export::answer;

/// A body made of a value.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match answer(&self.0) {
            Ok(text) => ([(header::CONTENT_TYPE, JSON)], text).into_response(),
            // Serialization fails only for maps whose keys are not strings, and no answer has one.
            Err(error) => ApiError::internal(format!("writing the answer: {error}")).into_response(),
        }
    }
}
