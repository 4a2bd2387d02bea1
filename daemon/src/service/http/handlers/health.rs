//! /healthz: 200 if the owner of the lineage answers. /readyz: 200 while all records of the canaries arrive.
//!
//! Lost records alone do not make the daemon unready: taking it out of service or restarting it would lose more. The body says
//! so.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};

use crate::service::http::{api::Api, error::ApiError};

pub(in crate::service::http) async fn alive(State(api): State<Api>) -> Result<&'static str, ApiError> {
    api.ask_first(|_, _| ()).await?;
    Ok("ok\n")
}

pub(in crate::service::http) async fn ready(State(api): State<Api>) -> Result<Response, ApiError> {
    let (ready, degraded) =
        api.ask_first(|pipeline, service| (service.is_ready(pipeline), pipeline.degraded())).await?;
    Ok(match (ready, degraded) {
        (Ok(None), None) => "ready\n".into_response(),
        (Ok(Some(but)), None) => format!("ready; {but}\n").into_response(),
        (Ok(_), Some(why)) => format!("{why}\n").into_response(),
        (Err(why), _) => ApiError::not_ready(&why).into_response(),
    })
}
