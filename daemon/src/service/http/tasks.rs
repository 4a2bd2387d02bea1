//! Answers about tasks: taken from the lineage by its owner, completed from /proc by a thread that may take its time (`workers`).

use std::{collections::HashMap, time::Duration};

use axum::extract::State;
use serde::Deserialize;

use super::{
    Api,
    error::ApiError,
    extract::{Path, Query},
    json::Json,
};
use crate::{
    answer::{
        ExplainDraft, HostFacts, LineageAt, TaskSelector,
        blocked::{BlockedFilter, BlockedTasks, FirstLook},
        explain::Explanation,
        limits::{Limits, LimitsDraft},
        moment,
        now::Look,
        place::Place,
        task::TaskAnswer,
        tree::{Tree, TreeOptions},
        zombies::{Filter, Zombies, ZombiesDraft},
    },
    duration,
    export::Stamp,
    kernel::{clock, figures::Want},
    procfs::Procfs,
    runtime::Pipeline,
    service::Service,
};

impl Service {
    pub(super) fn scene<'a>(&self, pipeline: &'a Pipeline) -> LineageAt<'a> {
        LineageAt { lineage: &pipeline.lineage, now: clock::boottime(), observed_since: Some(self.started) }
    }

    /// What completes an answer and is only the owner's to give.
    pub(super) fn around(&mut self, cgroups: Vec<u64>) -> AnswerContext {
        let now_ns = clock::boottime().0;
        let place = |id| Some((id, Place::from(&**self.cgroups.place(id, now_ns)?)));
        let places = cgroups.into_iter().filter_map(place).collect();
        AnswerContext { stamp: self.wall.stamp().clone(), places }
    }
}

/// The outside of the lineage, on its way to another thread.
pub(super) struct AnswerContext {
    stamp: Stamp,
    places: HashMap<u64, Place>,
}

/// Completes an answer on a thread that is there for that.
pub(super) async fn complete<T: Send + 'static>(
    api: &Api,
    mut around: AnswerContext,
    complete: impl FnOnce(&mut HostFacts<'_>) -> T + Send + 'static,
) -> Result<Json<T>, ApiError> {
    let answer = api.workers.run(move || {
        let AnswerContext { stamp, places } = &mut around;
        let mut places = |id| places.get(&id).cloned();
        complete(&mut HostFacts { stamp, procfs: &Procfs::default(), places: &mut places })
    });
    answer.await.map(Json)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ZombiesQuery {
    min_age: Option<String>,
    unit: Option<String>,
}

pub(super) async fn zombies(
    State(api): State<Api>,
    Query(query): Query<ZombiesQuery>,
) -> Result<Json<Zombies>, ApiError> {
    let min_age = match query.min_age.as_deref().map(duration::parse) {
        None => Duration::ZERO,
        Some(Ok(age)) => age,
        Some(Err(error)) => return Err(ApiError::bad_request(format!("min_age: {error}"))),
    };
    let filter = Filter { min_age_ns: duration::ns(min_age), unit: query.unit };
    let (draft, around) = api
        .ask(move |pipeline, service| {
            let scene = service.scene(pipeline);
            let mut places = |id| service.cgroups.place(id, scene.now.0).map(|place| (&**place).into());
            let draft = ZombiesDraft::of(&scene, &filter, &mut places);
            let around = service.around(draft.cgroups());
            (draft, around)
        })
        .await?;
    complete(&api, around, |outside| draft.finish(outside)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BlockedQuery {
    min_age: Option<String>,
}

/// Between the two looks at tasks in uninterruptible sleep.
const BETWEEN: Duration = Duration::from_millis(100);

pub(super) async fn blocked(
    State(api): State<Api>,
    Query(query): Query<BlockedQuery>,
) -> Result<Json<BlockedTasks>, ApiError> {
    let min_age = match query.min_age.as_deref().map(duration::parse) {
        None => Duration::ZERO,
        Some(Ok(age)) => age,
        Some(Err(error)) => return Err(ApiError::bad_request(format!("min_age: {error}"))),
    };
    let filter = BlockedFilter { min_age_ns: duration::ns(min_age) };
    let first = api
        .ask(|pipeline, service| match pipeline.observer.figures(Want::Blocked) {
            Ok(figures) => Ok(FirstLook::of(&figures)),
            Err(why) => {
                let stamp = service.wall.stamp();
                Err(BlockedTasks::unknown(&service.scene(pipeline), stamp, why.to_string()))
            }
        })
        .await?;
    let first = match first {
        Ok(first) => first,
        Err(unknown) => return Ok(Json(unknown)),
    };
    tokio::time::sleep(BETWEEN).await;
    api.ask(move |pipeline, service| {
        let look = Look::new(pipeline.observer.doing(Want::Blocked));
        // A task that the tree has yet to learn of is known after this.
        pipeline.catch_up(service);
        let scene = service.scene(pipeline);
        let stamp = service.wall.stamp().clone();
        let mut places = |id| service.cgroups.place(id, scene.now.0).map(|place| (&**place).into());
        let age = |task| pipeline.blocked.age_ns(task);
        Json(BlockedTasks::of(&first, &look, filter, &age, &scene, &stamp, &mut places))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsQuery {
    pid: Option<String>,
}

pub(super) async fn limits(
    State(api): State<Api>,
    Query(query): Query<LimitsQuery>,
) -> Result<Json<Limits>, ApiError> {
    let whom = query.pid.as_deref().map(whom).transpose()?;
    let asked = api
        .ask(move |pipeline, service| {
            let scene = service.scene(pipeline);
            let draft = match &whom {
                Some(whom) => LimitsDraft::asked(whom, &scene, service.wall.stamp())?,
                None => LimitsDraft::of(&scene),
            };
            let draft = draft.with_forecasts(service.budget.forecasts());
            let around = service.around(draft.cgroups());
            Ok((draft, around))
        })
        .await?;
    let (draft, around) =
        asked.map_err(|error: crate::answer::NotFound| ApiError::not_found(error.to_string()))?;
    complete(&api, around, |outside| draft.finish(outside)).await
}

pub(super) fn whom(text: &str) -> Result<TaskSelector, ApiError> {
    text.parse().map_err(|error: crate::answer::NotFound| ApiError::bad_request(error.to_string()))
}

pub(super) async fn explain(
    State(api): State<Api>,
    Path(pid): Path<String>,
) -> Result<Json<Explanation>, ApiError> {
    let whom = whom(&pid)?;
    let asked = api
        .ask(move |pipeline, service| {
            let draft = ExplainDraft::asked(&whom, &service.scene(pipeline), service.wall.stamp())?;
            let look = Look::new(pipeline.observer.doing(Want::Group(draft.key().tgid)));
            let draft = draft.doing(&look).with_forecasts(service.budget.forecasts());
            let around = service.around(draft.cgroups());
            Ok((draft, around))
        })
        .await?;
    let (draft, around) =
        asked.map_err(|error: crate::answer::NotFound| ApiError::not_found(error.to_string()))?;
    complete(&api, around, |outside| draft.explain(outside)).await
}

pub(super) async fn task(
    State(api): State<Api>,
    Path(pid): Path<String>,
) -> Result<Json<TaskAnswer>, ApiError> {
    let whom = whom(&pid)?;
    let answer = api
        .ask(move |pipeline, service| {
            let key = whom.find(&service.scene(pipeline), service.wall.stamp())?;
            let look = Look::new(pipeline.observer.doing(Want::Group(key.tgid)));
            let scene = service.scene(pipeline);
            let life = scene.lineage.life_by_key(key, scene.now);
            let cgroup = life.as_ref().and_then(|life| life.cgroup_id);
            let AnswerContext { stamp, mut places } = service.around(cgroup.into_iter().collect());
            let mut places = |id| places.remove(&id);
            let outside = &mut HostFacts { stamp: &stamp, procfs: &Procfs::default(), places: &mut places };
            Ok(life.map(|life| TaskAnswer::of(&life, &scene, outside, &look)))
        })
        .await?;
    match answer {
        Ok(Some(answer)) => Ok(Json(answer)),
        Ok(None) => Err(ApiError::not_found(format!("{pid} is not known any more"))),
        Err(error) => Err(ApiError::not_found(crate::answer::NotFound::to_string(&error))),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a parameter of the path")]
pub(super) struct TreeQuery {
    pid: Option<u32>,
    #[serde(default)]
    threads: bool,
    #[serde(default)]
    kernel: bool,
    at: Option<String>,
    #[serde(default)]
    now: bool,
    #[serde(default)]
    usage: bool,
}

pub(super) async fn tree(
    State(api): State<Api>,
    Query(query): Query<TreeQuery>,
) -> Result<Json<Tree>, ApiError> {
    let answer = api
        .ask(move |pipeline, service| {
            for (key, is_asked) in [("now", query.now), ("usage", query.usage)] {
                if is_asked && query.at.is_some() {
                    return Err(ApiError::bad_request(format!("{key}: goes without at")));
                }
            }
            let TreeQuery { pid: root, threads, kernel, now, usage, .. } = query;
            let wish = TreeOptions { root, threads, kernel, at: None, now, usage };
            let look = wish.looks().then(|| Look::new(pipeline.observer.doing(Want::All)));
            if usage {
                // Who died before the look is in the lineage then, and nobody's time is in neither.
                pipeline.catch_up(service);
            }
            let scene = service.scene(pipeline);
            let stamp = service.wall.stamp().clone();
            let at = query.at.map(|text| moment::parse(&text, scene.now, &stamp));
            let at = at.transpose().map_err(|error| ApiError::bad_request(format!("at: {error}")))?;
            let wish = TreeOptions { at, ..wish };
            let mut places = |id| service.cgroups.place(id, scene.now.0).map(|place| (&**place).into());
            Tree::of(wish, &scene, &stamp, &mut places, look.as_ref())
                .map_err(|error| ApiError::not_found(error.to_string()))
        })
        .await?;
    answer.map(Json)
}
