//! /v1/scopes: when units and containers began and ended.

use axum::extract::{RawQuery, State};

use super::{
    json::Json,
    stops,
    tasks::{AnswerContext, complete},
};
use crate::{
    answer::scope::{Scopes, ScopesDraft},
    service::http::{api::Api, error::ApiError},
};

pub(in crate::service::http) async fn scopes(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<Scopes>, ApiError> {
    let filter = stops::parse(query.as_deref().unwrap_or_default())?;
    let (draft, context): (ScopesDraft, AnswerContext) = api
        .ask(move |pipeline, service| {
            let draft = ScopesDraft::of(&service.lineage_at(pipeline), filter);
            let context = service.answer_context(draft.cgroups());
            (draft, context)
        })
        .await?;
    complete(&api, context, |host| draft.finish(host)).await
}
