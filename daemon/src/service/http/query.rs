//! Parses queries without a server, for the fuzz targets, each as its handler parses it.

use axum::{extract::Query as AxumQuery, http::Uri};
use serde::de::DeserializeOwned;

use super::{
    error::ApiError,
    handlers::{
        events::EventsQuery,
        lives::LivesQuery,
        tasks::{BlockedQuery, LimitsQuery, TreeQuery, ZombiesQuery, selector},
    },
};

/// Parses the query of a path, or for a path that has none a pid or entity id. The error is the message of the 400 that the daemon
/// would send.
pub fn read(path: &str, query: &str) -> Result<(), String> {
    let outcome = match path {
        "/v1/events" => EventsQuery::parse(query).map(drop),
        "/v1/lives" => LivesQuery::parse(query).map(drop),
        "/v1/deaths" => super::handlers::deaths::parse(query).map(drop),
        "/v1/stops" | "/v1/scopes" => super::handlers::stops::parse(query).map(drop),
        "/v1/tree" => parameters::<TreeQuery>(query),
        "/v1/zombies" => parameters::<ZombiesQuery>(query),
        "/v1/blocked" => parameters::<BlockedQuery>(query),
        "/v1/limits" => parameters::<LimitsQuery>(query),
        _ => selector(query).map(drop),
    };
    outcome.map_err(ApiError::into_message)
}

fn parameters<T: DeserializeOwned>(query: &str) -> Result<(), ApiError> {
    // A handler never sees a text that is not a URI.
    let Ok(uri) = Uri::builder().path_and_query(format!("/?{query}")).build() else { return Ok(()) };
    let read = AxumQuery::<T>::try_from_uri(&uri);
    read.map(drop).map_err(|error| ApiError::bad_request(error.body_text()))
}
