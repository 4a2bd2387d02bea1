//! /v1/stops: how units and containers stopped.

use axum::extract::{RawQuery, State};

use super::{
    extract::check_conditions,
    json::Json,
    tasks::{AnswerContext, complete},
};
use crate::{
    answer::stop::{StopFilter, Stops, StopsDraft},
    service::http::{api::Api, error::ApiError},
};

/// The most stops in an answer, if the query has no limit.
const LIMIT: usize = 20;
/// The greatest limit.
const LIMIT_MOST: usize = 1_000;

pub(in crate::service::http) async fn stops(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<Stops>, ApiError> {
    let filter = parse(query.as_deref().unwrap_or_default())?;
    let (draft, context): (StopsDraft, AnswerContext) = api
        .ask(move |pipeline, service| {
            let draft = StopsDraft::of(&service.lineage_at(pipeline), filter);
            let context = service.answer_context(draft.cgroups());
            (draft, context)
        })
        .await?;
    complete(&api, context, |host| draft.finish(host)).await
}

pub(in crate::service::http) fn parse(query: &str) -> Result<StopFilter, ApiError> {
    let mut filter = StopFilter { limit: LIMIT, ..StopFilter::default() };
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        let value = value.into_owned();
        match &*key {
            "unit" => filter.units.push(value),
            "container" => filter.containers.push(value),
            "limit" => match value.parse::<u64>() {
                Ok(number) if i64::try_from(number).is_ok() => {
                    filter.limit = usize::try_from(number).unwrap_or(LIMIT_MOST).min(LIMIT_MOST);
                }
                Ok(_) => return Err(ApiError::bad_request(format!("limit: more than {}", i64::MAX))),
                Err(error) => return Err(ApiError::bad_request(format!("limit: {error}"))),
            },
            other => return Err(ApiError::bad_request(format!("{other}: no such parameter"))),
        }
    }
    check_conditions(&[filter.units.len(), filter.containers.len()])?;
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_exist_is_refused() {
        let filter = parse("unit=a*&container=0f&limit=7").unwrap();
        assert_eq!((filter.units.as_slice(), filter.limit), (&["a*".to_owned()][..], 7));
        for wrong in ["limit=-1", "limit=9223372036854775808", "cause=oom"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
