//! Queries without a server, for the fuzz targets: each is read as its handler reads it.

use axum::{extract::Query as AxumQuery, http::Uri};
use serde::de::DeserializeOwned;

use super::{
    error::ApiError,
    events::Query,
    tasks::{BlockedQuery, TreeQuery, ZombiesQuery, whom},
};

/// Reads what `/v1/events`, `/v1/deaths`, `/v1/tree`, `/v1/zombies`, `/v1/blocked` or, for any other path, a pid's answer would be asked with. The error is the
/// message of the 400 that the daemon answers.
pub fn read(path: &str, query: &str) -> Result<(), String> {
    let outcome = match path {
        "/v1/events" => Query::parse(query).map(drop),
        "/v1/deaths" => super::deaths::parse(query).map(drop),
        "/v1/stops" => super::stops::parse(query).map(drop),
        "/v1/tree" => parameters::<TreeQuery>(query),
        "/v1/zombies" => parameters::<ZombiesQuery>(query),
        "/v1/blocked" => parameters::<BlockedQuery>(query),
        _ => whom(query).map(drop),
    };
    outcome.map_err(ApiError::into_message)
}

fn parameters<T: DeserializeOwned>(query: &str) -> Result<(), ApiError> {
    // What is no URI never comes to a handler.
    let Ok(uri) = Uri::builder().path_and_query(format!("/?{query}")).build() else { return Ok(()) };
    let read = AxumQuery::<T>::try_from_uri(&uri);
    read.map(drop).map_err(|error| ApiError::bad_request(error.body_text()))
}
