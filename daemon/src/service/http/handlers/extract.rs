//! Extracts the parameters of a request; a rejection is JSON like every other error.

use axum::{
    extract::{FromRequestParts, rejection::PathRejection},
    http::request::Parts,
};
use serde::de::DeserializeOwned;

use crate::service::http::error::ApiError;

/// The most values in one query of conditions that need a comparison of texts, or a walk over ancestors, for each process or event.
/// It bounds the work of the owner of the lineage and of the thread that serves connections. The number of pids is not limited.
const MOST_CONDITIONS: usize = 100;

/// Refuses a query with too many conditions.
pub(super) fn check_conditions(counts: &[usize]) -> Result<(), ApiError> {
    let count: usize = counts.iter().sum();
    if count <= MOST_CONDITIONS {
        return Ok(());
    }
    Err(ApiError::bad_request(format!(
        "{count} conditions: a query may have {MOST_CONDITIONS} besides pids; use * and ? in names, or ask several times"
    )))
}

/// A query with these parameters and no others.
pub(in crate::service::http) struct Query<T>(pub(in crate::service::http) T);

/// The variable part of a path.
pub(in crate::service::http) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        query.map(|query| Self(query.0)).map_err(|error| ApiError::bad_request(error.body_text()))
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        path.map(|path| Self(path.0)).map_err(|error: PathRejection| ApiError::bad_request(error.body_text()))
    }
}
