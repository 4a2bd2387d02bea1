//! The query of /v1/lives.

use std::time::Duration;

use crate::{
    answer::{death::DeathFilter, life::LifeFilter},
    duration,
    export::schema::Schema,
    service::http::{error::ApiError, handlers::extract::check_conditions},
};

/// The query of `/v1/lives`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::service::http) struct LivesQuery {
    pub(super) filter: LifeFilter,
    pub(super) since: Option<Duration>,
    pub(super) at: Option<String>,
    pub(super) limit: Option<u64>,
    pub(super) schema: Schema,
}

impl LivesQuery {
    pub(in crate::service::http) fn parse(text: &str) -> Result<Self, ApiError> {
        let mut query = Self::default();
        for (key, value) in form_urlencoded::parse(text.as_bytes()) {
            let value = value.into_owned();
            match &*key {
                "pid" => {
                    for pid in value.split(',') {
                        let pid = pid.parse();
                        let pid =
                            pid.map_err(|_| ApiError::bad_request(format!("pid={value}: not a number")))?;
                        query.filter.pids.push(pid);
                    }
                }
                "comm" => query.filter.comms.push(value),
                "unit" => query.filter.units.push(value),
                "container" => query.filter.containers.push(value),
                "cause" => query.filter.causes.push(value),
                "since" => {
                    let age = duration::parse(&value);
                    let age = age.map_err(|error| ApiError::bad_request(format!("since: {error}")))?;
                    query.since = Some(age);
                }
                "at" => query.at = Some(value),
                "schema" => {
                    let schema = Schema::from_name(&value);
                    query.schema =
                        schema.map_err(|error| ApiError::bad_request(format!("schema={error}")))?;
                }
                "limit" => {
                    let limit = value.parse();
                    let limit =
                        limit.map_err(|_| ApiError::bad_request(format!("limit={value}: not a number")))?;
                    query.limit = Some(limit);
                }
                _ => {
                    return Err(ApiError::bad_request(format!(
                        "{key}: no such parameter; there are: pid, comm, unit, container, cause, since, at, limit, schema"
                    )));
                }
            }
        }
        if query.at.is_some() && query.since.is_some() {
            return Err(ApiError::bad_request("since: cannot be combined with at"));
        }
        let LifeFilter { comms, units, containers, causes, .. } = &query.filter;
        check_conditions(&[comms.len(), units.len(), containers.len(), causes.len()])?;
        let causes = DeathFilter { causes: query.filter.causes.clone(), ..DeathFilter::default() };
        causes.check().map_err(|error| ApiError::bad_request(format!("cause: {error}")))?;
        Ok(query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_and_what_does_not_exist_is_refused() {
        let query = LivesQuery::parse("pid=1,2&comm=a*&cause=killed&since=5m&limit=3").unwrap();
        assert_eq!(query.filter.pids, [1, 2]);
        assert_eq!((query.limit, query.since), (Some(3), Some(Duration::from_secs(300))));
        assert_eq!(LivesQuery::parse("schema=otel").unwrap().schema, Schema::Otel);
        for wrong in
            ["schema=", "pid=x", "cause=nothing", "since=soon", "limit=-1", "action=released", "limit="]
        {
            assert!(LivesQuery::parse(wrong).is_err(), "{wrong}");
        }
    }
}
