//! /v1/deaths: which processes ended, and why.

use std::time::Duration;

use axum::extract::{RawQuery, State};

use super::{
    extract::check_conditions,
    json::Json,
    past,
    tasks::{AnswerContext, complete},
};
use crate::{
    answer::{
        death::{DeathFilter, Deaths, DeathsDraft},
        time_arg,
    },
    duration,
    history::{
        HistoryReading,
        read::{LatestSearch, Times},
    },
    kernel::clock,
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
    let DeathsQuery { mut filter, since, at } = parse(query.as_deref().unwrap_or_default())?;
    let mut of_lives = filter.of_lives();
    let (limit, is_past) = (filter.limit, at.is_some());
    let asked = api
        .ask(move |pipeline, service| {
            let stamp = service.wall.stamp().clone();
            let now = clock::boottime();
            let mut times = None;
            if let Some(since) = since {
                filter.after = Ktime(now.0.saturating_sub(duration::ns(since)));
                let since_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
                times = Some(Times::since(past::now_ms(&stamp).saturating_sub(since_ms)));
            }
            if let Some(at) = at {
                let wrong = |error| ApiError::bad_request(format!("at: {error}"));
                let to_ms = time_arg::past_ms(&at, now, &stamp).map_err(wrong)?;
                // Before the boot, none of the ends in memory had happened.
                filter.until = Some(stamp.at_wall(i128::from(to_ms) * 1_000_000).unwrap_or(Ktime(0)));
                times = Some(Times::released_after_end(to_ms));
                of_lives.ended_by_ms = Some(to_ms);
            }
            let reading = if times.is_some() { service.read_history(pipeline) } else { None };
            let draft = DeathsDraft::of(&service.lineage_at(pipeline), filter);
            let context = service.answer_context(draft.cgroups());
            Ok::<_, ApiError>((draft, context, reading.zip(times), of_lives))
        })
        .await?;
    let (draft, context, past, of_lives): (DeathsDraft, AnswerContext, Option<(HistoryReading, Times)>, _) =
        asked?;
    let stamp = context.stamp.clone();
    let Json(mut answer) = complete(&api, context, |host| draft.finish(host)).await?;
    if is_past {
        // The lineage has only the present crash loops, which do not belong in an answer about the past.
        answer.crash_loops.clear();
    }
    if let Some((reading, times)) = past {
        let (directory, mut known) = past::ready(&api, &reading, times.from_ms, &stamp).await?;
        let mut search = LatestSearch::new(directory, times, of_lives, limit)?;
        loop {
            let (is_done, again) = api.workers.run(move || (search.go_on(past::PIECE), search)).await?;
            search = again;
            if is_done? {
                break;
            }
        }
        let (lives, damage) = search.finish();
        known.damage.add(&damage);
        answer.add_history(&lives, known, limit);
    }
    Ok(Json(answer))
}

/// The query of `/v1/deaths`.
#[derive(Debug)]
pub(in crate::service::http) struct DeathsQuery {
    filter: DeathFilter,
    since: Option<Duration>,
    at: Option<String>,
}

/// Parses a query. A parameter that occurs several times is a list.
pub(in crate::service::http) fn parse(query: &str) -> Result<DeathsQuery, ApiError> {
    let mut filter = DeathFilter { limit: LIMIT, ..DeathFilter::default() };
    let (mut since, mut at) = (None, None);
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
            "since" => {
                let age = duration::parse(&value);
                since = Some(age.map_err(|error| ApiError::bad_request(format!("since: {error}")))?);
            }
            "at" => at = Some(value),
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
    if since.is_some() && (filter.after > Ktime(0) || !filter.subtrees.is_empty()) {
        return Err(ApiError::bad_request("since: cannot be combined with after or subtree"));
    }
    if at.is_some() && (since.is_some() || filter.after > Ktime(0)) {
        return Err(ApiError::bad_request("at: cannot be combined with since or after"));
    }
    Ok(DeathsQuery { filter, since, at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_twice_is_a_list_and_what_does_not_exist_is_refused() {
        let DeathsQuery { filter, since, at } =
            parse("cause=oom&cause=killed&pid=7&comm=a*&all=true&after=5&limit=3").unwrap();
        assert_eq!(filter.causes, ["oom", "killed"]);
        assert_eq!(
            (filter.pids.as_slice(), filter.limit, filter.after, filter.all),
            (&[7][..], 3, Ktime(5), true)
        );
        assert_eq!((since, at), (None, None));
        assert_eq!(parse("at=10m").unwrap().at.as_deref(), Some("10m"));
        assert_eq!(parse("since=2d").unwrap().since, Some(Duration::from_secs(172_800)));
        for wrong in [
            "cause=nothing",
            "pid=x",
            "limit=-1",
            "all=1",
            "what=1",
            "since=5m&after=5",
            "since=x",
            "at=5m&since=5m",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
