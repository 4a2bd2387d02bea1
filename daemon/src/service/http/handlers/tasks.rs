//! Answers about tasks. The owner of the lineage writes a draft, and a worker thread completes it from /proc (`workers`).

use std::{collections::HashMap, time::Duration};

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;

use super::{
    extract::{Path, Query},
    json::Json,
    past,
};
use crate::{
    answer::{
        ExplainDraft, HostFacts, LineageAt, TaskSelector,
        blocked::{BlockedFilter, BlockedTasks, FirstPoll},
        explain::Explanation,
        life::LifeFilter,
        limits::{Limits, LimitsDraft},
        now::AllFigures,
        place::AnswerPlace,
        task::TaskAnswer,
        time_arg,
        tree::{Tree, TreeError, TreeOptions},
        zombies::{PastZombies, ZombieFilter, ZombiesDraft},
    },
    duration,
    export::Stamp,
    history::read::{LifeSearch, Times},
    kernel::{clock, figures::Want},
    procfs::Procfs,
    runtime::Pipeline,
    service::{
        Service,
        http::{api::Api, error::ApiError},
    },
};

impl Service {
    pub(super) fn lineage_at<'a>(&self, pipeline: &'a Pipeline) -> LineageAt<'a> {
        LineageAt { lineage: &pipeline.lineage, now: clock::boottime(), observed_since: Some(self.started) }
    }

    /// Creates the context of an answer, which only the owner of the lineage has.
    pub(super) fn answer_context(&mut self, cgroups: Vec<u64>) -> AnswerContext {
        let now_ns = clock::boottime().0;
        let place = |id| Some((id, AnswerPlace::from(&**self.cgroups.place(id, now_ns)?)));
        let places = cgroups.into_iter().filter_map(place).collect();
        AnswerContext { stamp: self.wall.stamp().clone(), places }
    }
}

/// Facts besides the lineage, which a worker thread needs to complete an answer.
pub(super) struct AnswerContext {
    pub(super) stamp: Stamp,
    places: HashMap<u64, AnswerPlace>,
}

/// Completes an answer on a worker thread.
pub(super) async fn complete<T: Send + 'static>(
    api: &Api,
    mut context: AnswerContext,
    complete: impl FnOnce(&mut HostFacts<'_>) -> T + Send + 'static,
) -> Result<Json<T>, ApiError> {
    let answer = api.workers.run(move || {
        let AnswerContext { stamp, places } = &mut context;
        let mut places = |id| places.get(&id).cloned();
        complete(&mut HostFacts { stamp, procfs: &Procfs::default(), places: &mut places })
    });
    answer.await.map(Json)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::service::http) struct ZombiesQuery {
    min_age: Option<String>,
    unit: Option<String>,
    at: Option<String>,
}

pub(in crate::service::http) async fn zombies(
    State(api): State<Api>,
    Query(query): Query<ZombiesQuery>,
) -> Result<Response, ApiError> {
    let min_age = match query.min_age.as_deref().map(duration::parse) {
        None => Duration::ZERO,
        Some(Ok(age)) => age,
        Some(Err(error)) => return Err(ApiError::bad_request(format!("min_age: {error}"))),
    };
    let filter = ZombieFilter { min_age_ns: duration::ns(min_age), unit: query.unit };
    if let Some(at) = query.at {
        // Kernel threads are included, because they can be parents of zombies.
        let query = TreeQuery { at: Some(at), kernel: true, ..TreeQuery::default() };
        let tree = tree_of(&api, query).await?;
        let answer = api.workers.run(move || PastZombies::of(tree, &filter)).await?;
        return Ok(Json(answer).into_response());
    }
    let (draft, context) = api
        .ask(move |pipeline, service| {
            let view = service.lineage_at(pipeline);
            let mut places = |id| service.cgroups.place(id, view.now.0).map(|place| (&**place).into());
            let draft = ZombiesDraft::of(&view, &filter, &mut places);
            let context = service.answer_context(draft.cgroups());
            (draft, context)
        })
        .await?;
    let answer = complete(&api, context, |host| draft.finish(host)).await?;
    Ok(answer.into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::service::http) struct BlockedQuery {
    min_age: Option<String>,
}

/// Time between the two polls of tasks in uninterruptible sleep.
pub(in crate::service::http) const BETWEEN_POLLS: Duration = Duration::from_millis(100);

pub(in crate::service::http) async fn blocked(
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
        .ask(|pipeline, service| match pipeline.asleep() {
            Ok(figures) => Ok(FirstPoll::of(&figures)),
            Err(why) => {
                let stamp = service.wall.stamp();
                Err(BlockedTasks::unknown(&service.lineage_at(pipeline), stamp, why.to_string()))
            }
        })
        .await?;
    let first = match first {
        Ok(first) => first,
        Err(unknown) => return Ok(Json(unknown)),
    };
    if !first.is_empty() {
        tokio::time::sleep(BETWEEN_POLLS).await;
    }
    api.ask(move |pipeline, service| {
        // Most sleeps are short, so a walk over all tasks, which also reads kernel stacks, is made only if a sleep lasts.
        let lasts = !first.is_empty() && pipeline.asleep().map_or(true, |asleep| first.finds_one_of(&asleep));
        let doing =
            if lasts { pipeline.observer.doing(Want::Blocked) } else { (Ok(Vec::new()), Ok(HashMap::new())) };
        let figures = AllFigures::new(doing);
        // The lineage then knows tasks whose records were still in the ring.
        pipeline.catch_up(service);
        let view = service.lineage_at(pipeline);
        let stamp = service.wall.stamp().clone();
        let mut places = |id| service.cgroups.place(id, view.now.0).map(|place| (&**place).into());
        let age = |task| pipeline.blocked.age_ns(task);
        Json(BlockedTasks::of(&first, &figures, filter, &age, &view, &stamp, &mut places))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::service::http) struct LimitsQuery {
    pid: Option<String>,
}

pub(in crate::service::http) async fn limits(
    State(api): State<Api>,
    Query(query): Query<LimitsQuery>,
) -> Result<Json<Limits>, ApiError> {
    let selector = query.pid.as_deref().map(selector).transpose()?;
    let asked = api
        .ask(move |pipeline, service| {
            let view = service.lineage_at(pipeline);
            let draft = match &selector {
                Some(selector) => LimitsDraft::asked(selector, &view, service.wall.stamp())?,
                None => LimitsDraft::of(&view),
            };
            let draft = draft.with_forecasts(service.budget.forecasts());
            let draft = draft.with_leaks(pipeline.leaks.flagged());
            let context = service.answer_context(draft.cgroups());
            Ok((draft, context))
        })
        .await?;
    let (draft, context) =
        asked.map_err(|error: crate::answer::NotFound| ApiError::not_found(error.to_string()))?;
    complete(&api, context, |host| draft.finish(host)).await
}

pub(in crate::service::http) fn selector(text: &str) -> Result<TaskSelector, ApiError> {
    text.parse().map_err(|error: crate::answer::NotFound| ApiError::bad_request(error.to_string()))
}

pub(in crate::service::http) async fn explain(
    State(api): State<Api>,
    Path(pid): Path<String>,
) -> Result<Json<Explanation>, ApiError> {
    let selector = selector(&pid)?;
    let asked = api
        .ask(move |pipeline, service| {
            let draft = ExplainDraft::asked(&selector, &service.lineage_at(pipeline), service.wall.stamp())?;
            let figures = AllFigures::new(pipeline.observer.doing(Want::Group(draft.key().tgid)));
            let figures = figures.with_ages(|task| pipeline.blocked.age_ns(task));
            let failures = pipeline.fork_failures(draft.key());
            let draft = draft.doing(&figures).with_forecasts(service.budget.forecasts());
            let draft = draft.with_fork_failures(failures);
            let draft = draft.with_leaks(pipeline.leaks.flagged(), &service.lineage_at(pipeline));
            let context = service.answer_context(draft.cgroups());
            Ok((draft, context))
        })
        .await?;
    let (draft, context) =
        asked.map_err(|error: crate::answer::NotFound| ApiError::not_found(error.to_string()))?;
    complete(&api, context, |host| draft.explain(host)).await
}

pub(in crate::service::http) async fn task(
    State(api): State<Api>,
    Path(pid): Path<String>,
) -> Result<Json<TaskAnswer>, ApiError> {
    let selector = selector(&pid)?;
    let answer = api
        .ask(move |pipeline, service| {
            let key = selector.find(&service.lineage_at(pipeline), service.wall.stamp())?;
            let figures = AllFigures::new(pipeline.observer.doing(Want::Group(key.tgid)));
            let view = service.lineage_at(pipeline);
            let life = view.lineage.life_by_key(key, view.now);
            let cgroup = life.as_ref().and_then(|life| life.cgroup_id);
            let AnswerContext { stamp, mut places } = service.answer_context(cgroup.into_iter().collect());
            let mut places = |id| places.remove(&id);
            let host = &mut HostFacts { stamp: &stamp, procfs: &Procfs::default(), places: &mut places };
            Ok(life.map(|life| TaskAnswer::of(&life, &view, host, &figures)))
        })
        .await?;
    match answer {
        Ok(Some(answer)) => Ok(Json(answer)),
        Ok(None) => Err(ApiError::not_found(format!("{pid} is not known any more"))),
        Err(error) => Err(ApiError::not_found(crate::answer::NotFound::to_string(&error))),
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a parameter of the path")]
pub(in crate::service::http) struct TreeQuery {
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

pub(in crate::service::http) async fn tree(
    State(api): State<Api>,
    Query(query): Query<TreeQuery>,
) -> Result<Json<Tree>, ApiError> {
    tree_of(&api, query).await.map(Json)
}

/// Creates a tree, from the history too if memory does not reach back to its time.
async fn tree_of(api: &Api, query: TreeQuery) -> Result<Tree, ApiError> {
    let (root, has_at) = (query.pid, query.at.is_some());
    let answer = api
        .ask(move |pipeline, service| {
            for (key, is_asked) in [("now", query.now), ("usage", query.usage)] {
                if is_asked && query.at.is_some() {
                    return Err(ApiError::bad_request(format!("{key}: cannot be combined with at")));
                }
            }
            let TreeQuery { pid: root, threads, kernel, now, usage, .. } = query;
            let options = TreeOptions { root, threads, kernel, at: None, has_history: false, now, usage };
            let figures =
                options.needs_figures().then(|| AllFigures::new(pipeline.observer.doing(Want::All)));
            if usage {
                // Handle the records of tasks that ended before the figures were read, so that no CPU time is counted twice or
                // missed.
                pipeline.catch_up(service);
            }
            let view = service.lineage_at(pipeline);
            let stamp = service.wall.stamp().clone();
            let wrong = |error| ApiError::bad_request(format!("at: {error}"));
            let known = view.lineage.forgotten_until().unwrap_or(service.started).max(service.started);
            if let Some(text) = query.at.as_ref().filter(|_| service.history.is_some()) {
                let at_ms = time_arg::past_ms(text, view.now, &stamp).map_err(wrong)?;
                let at = stamp.at_wall(i128::from(at_ms) * 1_000_000);
                if at.is_none_or(|at| at < known)
                    && let Some(reading) = service.read_history(pipeline)
                {
                    let mut places =
                        |id| service.cgroups.place(id, view.now.0).map(|place| (&**place).into());
                    let options = TreeOptions { root: None, at, has_history: true, ..options };
                    let tree = match at {
                        Some(_) => Tree::of(options, &view, &stamp, &mut places, None)
                            .map_err(|error| not_found(&error))?,
                        // Before the boot, none of the present processes existed.
                        None => Tree::of_history(&stamp, view.now, view.observed_since, at_ms),
                    };
                    return Ok((tree, Some((reading, at_ms, stamp))));
                }
            }
            let at = query.at.map(|text| time_arg::parse(&text, view.now, &stamp));
            let at = at.transpose().map_err(wrong)?;
            let options = TreeOptions { at, ..options };
            let mut places = |id| service.cgroups.place(id, view.now.0).map(|place| (&**place).into());
            let tree = Tree::of(options, &view, &stamp, &mut places, figures.as_ref())
                .map_err(|error| not_found(&error))?;
            Ok((tree, None))
        })
        .await?;
    let (mut tree, past) = answer?;
    debug_assert!(has_at || past.is_none(), "only the past is in the history");
    if let Some((reading, at_ms, stamp)) = past {
        let (directory, mut known) = past::ready(api, &reading, at_ms, &stamp).await?;
        let filter = LifeFilter { at_ms: Some(at_ms), ..LifeFilter::default() };
        let lives = past::lives(api, LifeSearch::new(directory, Times::since(at_ms), filter)).await?;
        known.damage.add(&lives.1);
        tree.add_history(&lives.0, at_ms, root, known).map_err(|error| not_found(&error))?;
    }
    Ok(tree)
}

fn not_found(error: &TreeError) -> ApiError {
    ApiError::not_found(error.to_string())
}
