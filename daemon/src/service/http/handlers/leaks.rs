//! /v1/leaks: leaks other than zombies, each with the process that causes it.

use axum::extract::State;

use super::{
    json::Json,
    tasks::{AnswerContext, complete},
};
use crate::{
    answer::leaks::{Leaks, LeaksDraft},
    service::http::{api::Api, error::ApiError},
};

pub(in crate::service::http) async fn leaks(State(api): State<Api>) -> Result<Json<Leaks>, ApiError> {
    let (draft, context): (LeaksDraft, AnswerContext) = api
        .ask(|pipeline, service| {
            let draft = LeaksDraft::of(pipeline.leaks.flagged(), &service.lineage_at(pipeline));
            let context = service.answer_context(draft.cgroups());
            (draft, context)
        })
        .await?;
    complete(&api, context, |host| draft.finish(host)).await
}
