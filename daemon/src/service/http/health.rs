//! /healthz: the owner of everything answers. /readyz: whole lives come through, as the canary shows.

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
    Ok(match api.ask_first(|pipeline, service| service.is_ready(pipeline)).await? {
        Ok(()) => "ready\n".into_response(),
        Err(why) => ApiError::not_ready(&why).into_response(),
    })
}
