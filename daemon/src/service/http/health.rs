//! /healthz: the owner of everything answers. /readyz: whole lives come through, as the canary shows.
//!
//! Lost records alone do not make it unready: whoever is taken out of service then, or restarted, loses more. Its body says so.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};

use super::{Api, error::ApiError};

pub(super) async fn alive(State(api): State<Api>) -> Result<&'static str, ApiError> {
    api.ask_first(|_, _| ()).await?;
    Ok("ok\n")
}

pub(super) async fn ready(State(api): State<Api>) -> Result<Response, ApiError> {
    let (ready, degraded) =
        api.ask_first(|pipeline, service| (service.is_ready(pipeline), pipeline.degraded())).await?;
    Ok(match (ready, degraded) {
        (Ok(None), None) => "ready\n".into_response(),
        (Ok(Some(but)), None) => format!("ready; {but}\n").into_response(),
        (Ok(_), Some(why)) => format!("{why}\n").into_response(),
        (Err(why), _) => ApiError::not_ready(&why).into_response(),
    })
}
