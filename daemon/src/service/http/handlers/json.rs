//! JSON bodies. Names are escaped as in events.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    export::answer,
    service::http::error::{ApiError, JSON},
};

/// A JSON body made from a value.
#[derive(Debug)]
pub(in crate::service::http) struct Json<T>(pub(in crate::service::http) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match answer(&self.0) {
            Ok(text) => ([(header::CONTENT_TYPE, JSON)], text).into_response(),
            // Serialization fails only for maps whose keys are not strings, and no answer has one.
            Err(error) => ApiError::internal(format!("writing the answer: {error}")).into_response(),
        }
    }
}
