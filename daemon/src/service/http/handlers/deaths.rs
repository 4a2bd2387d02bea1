//! /v1/deaths: which processes ended, and why.

use axum::extract::{RawQuery, State};

use super::{
    extract::check_conditions,
    json::Json,
    tasks::{AnswerContext, complete},
};
use crate::{
    answer::death::{DeathFilter, Deaths, DeathsDraft},
    lineage::id::Ktime,
    service::http::{api::Api, error::ApiError},
};

/// The most ends in an answer, if the query has no limit.
const LIMIT: usize = 100;
/// The greatest limit.
const LIMIT_MOST: usize = 10_000;

pub(in crate::service::http) async fn deaths(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Json<Deaths>, ApiError> {
    let filter = parse(query.as_deref().unwrap_or_default())?;
    let (draft, context): (DeathsDraft, AnswerContext) = api
        .ask(move |pipeline, service| {
            let draft = DeathsDraft::of(&service.lineage_at(pipeline), filter);
            let context = service.answer_context(draft.cgroups());
            (draft, context)
        })
        .await?;
    complete(&api, context, |host| draft.finish(host)).await
}

/// Parses a query. A parameter that occurs several times is a list.
pub(in crate::service::http) fn parse(query: &str) -> Result<DeathFilter, ApiError> {
    let mut filter = DeathFilter { limit: LIMIT, ..DeathFilter::default() };
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        let value = value.into_owned();
        // The bounds are those of openapi.json.
        let number = || match value.parse::<u64>() {
            Ok(number) if i64::try_from(number).is_ok() => Ok(number),
            Ok(_) => Err(ApiError::bad_request(format!("{key}: more than {}", i64::MAX))),
            Err(error) => Err(ApiError::bad_request(format!("{key}: {error}"))),
        };
        match &*key {
            "cause" => filter.causes.push(value),
            "pid" => {
                let pid = value.parse().map_err(|error| ApiError::bad_request(format!("pid: {error}")))?;
                filter.pids.push(pid);
            }
            "subtree" => {
                let pid =
                    value.parse().map_err(|error| ApiError::bad_request(format!("subtree: {error}")))?;
                filter.subtrees.push(pid);
            }
            "comm" => filter.comms.push(value),
            "unit" => filter.units.push(value),
            "container" => filter.containers.push(value),
            "after" => filter.after = Ktime(number()?),
            "limit" => filter.limit = usize::try_from(number()?).unwrap_or(LIMIT_MOST).min(LIMIT_MOST),
            "all" => {
                filter.all = value.parse().map_err(|error| ApiError::bad_request(format!("all: {error}")))?;
            }
            other => return Err(ApiError::bad_request(format!("{other}: no such parameter"))),
        }
    }
    let DeathFilter { causes, comms, units, containers, subtrees, .. } = &filter;
    check_conditions(&[causes.len(), comms.len(), units.len(), containers.len(), subtrees.len()])?;
    filter.check().map_err(|error| ApiError::bad_request(error.to_string()))?;
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_twice_is_a_list_and_what_does_not_exist_is_refused() {
        let filter = parse("cause=oom&cause=killed&pid=7&comm=a*&all=true&after=5&limit=3").unwrap();
        assert_eq!(filter.causes, ["oom", "killed"]);
        assert_eq!(
            (filter.pids.as_slice(), filter.limit, filter.after, filter.all),
            (&[7][..], 3, Ktime(5), true)
        );
        for wrong in ["cause=nothing", "pid=x", "limit=-1", "all=1", "what=1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
