//! Observes without a daemon, and computes the view's answers in this process.

use std::{
    sync::mpsc::SyncSender,
    time::{Duration, Instant},
};

use tokio::{
    select,
    sync::{mpsc, oneshot},
    time::sleep,
};

use super::{
    asker,
    channels::{Ends, Reply, Request, Wants, runtime},
};
use crate::{
    answer::{
        ExplainDraft, LineageAt, TaskSelector,
        blocked::{BlockedFilter, BlockedTasks, FirstPoll},
        death::{DeathFilter, DeathsDraft},
        limits::LimitsDraft,
        now::AllFigures,
        text,
        tree::{Tree, TreeError, TreeOptions},
        zombies::{ZombieFilter, ZombiesDraft},
    },
    cgroup::Cgroups,
    cli::{
        ask::{LocalContext, LocalObserver, Source},
        exit::Exit,
    },
    export,
    kernel::{clock, figures::Want},
    lineage::{effect::Effect, id::Ktime},
    runtime::{EventSink, LossPlace, Pipeline, Question, Wall},
    view::{Event, Health, Input, PastAnswer},
};

/// The interval at which each answer is computed.
const EVERY: Duration = Duration::from_secs(1);

/// The answers are computed again after this many times the time that they took.
const COST: u32 = 10;

/// Time between the two polls of sleeping tasks.
const BETWEEN: Duration = Duration::from_millis(100);

/// The most events that are passed at once; the view would not show more.
const EVENTS: usize = 1000;

/// The most deaths of one answer.
const DEATHS: usize = 200;

/// Effects as events of the view.
struct Sink {
    inputs: mpsc::Sender<Input>,
    wall: Wall,
    sequence: u64,
    missed: u64,
}

impl Sink {
    /// Passes events to the view. Events for which the view has no room are counted and reported by a gap.
    fn send(&mut self, mut events: Vec<Event>) {
        if self.missed > 0 {
            events.insert(0, Event::gap("output", self.missed));
        }
        let count = events.len() as u64;
        match self.inputs.try_send(Input::Events(events)) {
            Ok(()) => self.missed = 0,
            Err(_) => self.missed += count - u64::from(self.missed > 0),
        }
    }
}

impl EventSink for Sink {
    fn take(&mut self, effects: &mut Vec<Effect>) {
        self.wall.follow();
        self.sequence += effects.len() as u64;
        let from = effects.len().saturating_sub(EVENTS);
        let mut sequence = self.sequence - (effects.len() - from) as u64;
        let mut events = Vec::new();
        let mut line = Vec::new();
        for effect in effects.iter().skip(from) {
            sequence += 1;
            line.clear();
            export::json::write(effect, sequence, self.wall.stamp(), None, &mut line);
            events.extend(std::str::from_utf8(&line).ok().and_then(Event::of_line));
        }
        if !events.is_empty() {
            self.send(events);
        }
    }

    fn lost(&mut self, place: LossPlace, count: u64) {
        self.send(vec![Event::gap(place.name(), count)]);
    }
}

/// Observes until the view ends. First reports whether observing works.
pub(super) fn run(source: &Source, ends: Ends, say: &SyncSender<Result<(), Exit>>) {
    let started = runtime().and_then(|runtime| Ok((runtime, LocalObserver::attach(source)?)));
    let (runtime, local) = match started {
        Ok(started) => started,
        Err(exit) => {
            // The thread that started this one waits for the result.
            let _ = say.send(Err(exit));
            return;
        }
    };
    let _ = say.send(Ok(()));
    let LocalObserver { mut pipeline, mut context, observed_since } = local;
    let Ends { inputs, wants, mut requests, replies } = ends;
    let mut sink = Sink { inputs: inputs.clone(), wall: Wall::of_this_boot(), sequence: 0, missed: 0 };
    let mut gone = wants.clone();
    let (ask, mut questions) = mpsc::channel::<Question<Sink>>(1);
    let asker = Asker { ask, observed_since, since: Instant::now() };
    let outcome = runtime.block_on(async {
        let ended = async { while gone.changed().await.is_ok() {} };
        let mut other = LocalContext::new();
        let stop = async {
            select! {
                () = ended => {}
                _ = asker.answers(&mut context, &inputs, &wants) => {}
                _ = asker.reply(&mut other, &mut requests, &replies) => {}
            }
        };
        pipeline.serve(&mut sink, &mut questions, stop).await
    });
    if let Err(error) = outcome {
        log::error!("watching: {error}");
    }
}

/// Asks the owner of the lineage.
struct Asker {
    ask: mpsc::Sender<Question<Sink>>,
    observed_since: Option<Ktime>,
    since: Instant,
}

impl Asker {
    /// Runs a closure between two batches of records; returns `None` once observing has ended.
    async fn put<T: Send + 'static>(
        &self,
        what: impl FnOnce(&mut Pipeline, Option<Ktime>) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, come) = oneshot::channel();
        let since = self.observed_since;
        let question: Question<Sink> = Box::new(move |pipeline, _| {
            // The receiver may be gone by now.
            let _ = answer.send(what(pipeline, since));
        });
        self.ask.send(question).await.ok()?;
        come.await.ok()
    }

    /// Computes every answer repeatedly. Returns `None` once the view has ended.
    async fn answers(
        &self,
        context: &mut LocalContext,
        inputs: &mpsc::Sender<Input>,
        wants: &tokio::sync::watch::Receiver<Wants>,
    ) -> Option<()> {
        let mut newest_death = Ktime(0);
        loop {
            let asked = Instant::now();
            let Wants { paused, tree, past } = *wants.borrow();
            if !paused {
                self.health(inputs).await?;
            }
            if !paused && !past {
                self.round(context, inputs, tree, &mut newest_death).await?;
            }
            // All answers together use at most a tenth of a CPU.
            sleep(EVERY.max(asked.elapsed().saturating_sub(BETWEEN) * COST)).await;
        }
    }

    async fn health(&self, inputs: &mpsc::Sender<Input>) -> Option<()> {
        let up = self.since.elapsed();
        let health = self.put(move |pipeline, _| health(pipeline, up)).await?;
        inputs.send(Input::Health(health)).await.ok()
    }

    async fn round(
        &self,
        context: &mut LocalContext,
        inputs: &mpsc::Sender<Input>,
        tree: bool,
        newest_death: &mut Ktime,
    ) -> Option<()> {
        let draft = self
            .put(|pipeline, since| {
                let (lineage_at, mut cgroups) = (lineage_at(pipeline, since), Cgroups::of_host());
                let now_ns = lineage_at.now.0;
                let mut places = |id| cgroups.place(id, now_ns).map(|place| (&**place).into());
                ZombiesDraft::of(&lineage_at, &ZombieFilter::default(), &mut places)
            })
            .await?;
        inputs.send(Input::Zombies(context.with(|host_facts| draft.finish(host_facts)))).await.ok()?;
        let filter = DeathFilter { after: *newest_death, limit: DEATHS, ..DeathFilter::default() };
        let draft = self.put(|pipeline, since| DeathsDraft::of(&lineage_at(pipeline, since), filter)).await?;
        let deaths = context.with(|host_facts| draft.finish(host_facts));
        *newest_death = deaths.deaths.first().map_or(*newest_death, |death| Ktime(death.boottime_ns));
        inputs.send(Input::Deaths(deaths)).await.ok()?;
        let draft = self.put(|pipeline, since| LimitsDraft::of(&lineage_at(pipeline, since))).await?;
        inputs.send(Input::Limits(context.with(|host_facts| draft.finish(host_facts)))).await.ok()?;
        if tree && let Some(tree) = self.put(whole_tree).await? {
            inputs.send(Input::Tree(tree.into())).await.ok()?;
        }
        let first = self.put(|pipeline, _| pipeline.observer.figures(Want::Blocked)).await?;
        sleep(BETWEEN).await;
        let blocked = self
            .put(move |pipeline, since| {
                let Ok(first) = first.map(|figures| FirstPoll::of(&figures)) else { return None };
                let figures = AllFigures::new(pipeline.observer.doing(Want::Blocked));
                let wall = Wall::of_this_boot();
                let mut cgroups = Cgroups::of_host();
                let lineage_at = lineage_at(pipeline, since);
                let mut places = |id| cgroups.place(id, lineage_at.now.0).map(|place| (&**place).into());
                let filter = BlockedFilter::default();
                Some(BlockedTasks::of(
                    &first,
                    &figures,
                    filter,
                    &|_| None,
                    &lineage_at,
                    wall.stamp(),
                    &mut places,
                ))
            })
            .await?;
        if let Some(blocked) = blocked {
            inputs.send(Input::Blocked(blocked)).await.ok()?;
        }
        Some(())
    }

    /// Answers the questions that the view asks once.
    async fn reply(
        &self,
        context: &mut LocalContext,
        requests: &mut mpsc::Receiver<Request>,
        replies: &mpsc::Sender<Reply>,
    ) -> Option<()> {
        while let Some(request) = requests.recv().await {
            let reply = match request {
                Request::Explain(selector) => Reply::Story(self.explain(context, selector).await?),
                Request::Past(moment) => match self.past(context, moment.ms).await? {
                    Ok(answer) => Reply::Past(moment, Box::new(answer)),
                    Err(error) => Reply::NoPast(error.to_string()),
                },
            };
            replies.send(reply).await.ok()?;
        }
        std::future::pending().await
    }

    async fn explain(&self, context: &mut LocalContext, selector: TaskSelector) -> Option<String> {
        let draft = self
            .put(move |pipeline, since| {
                let wall = Wall::of_this_boot();
                let draft = ExplainDraft::asked(&selector, &lineage_at(pipeline, since), wall.stamp())?;
                let figures = AllFigures::new(pipeline.observer.doing(Want::Group(draft.key().tgid)));
                let leaks = pipeline.leaks.flagged();
                let draft = draft.doing(&figures).with_leaks(leaks, &lineage_at(pipeline, since));
                Ok::<_, crate::answer::NotFound>(draft)
            })
            .await?;
        Some(match draft {
            Ok(draft) => {
                let answer = context.with(|host_facts| draft.explain(host_facts));
                text::explanation(&answer, asker::style())
            }
            Err(error) => text::escape(&error.to_string()),
        })
    }

    /// Creates the tree and the deaths of a past time, ms since the epoch.
    async fn past(&self, context: &mut LocalContext, at_ms: i64) -> Option<Result<PastAnswer, TreeError>> {
        let (tree, draft) = self
            .put(move |pipeline, since| {
                let wall = Wall::of_this_boot();
                let at = wall.stamp().at_wall(i128::from(at_ms) * 1_000_000).unwrap_or(Ktime(0));
                let lineage_at = lineage_at(pipeline, since);
                let options = TreeOptions { at: Some(at), ..TreeOptions::default() };
                let tree = Tree::of(options, &lineage_at, wall.stamp(), &mut |_| None, None);
                let filter = DeathFilter { until: Some(at), limit: DEATHS, ..DeathFilter::default() };
                (tree, DeathsDraft::of(&lineage_at, filter))
            })
            .await?;
        let deaths = context.with(|host_facts| draft.finish(host_facts));
        Some(tree.map(|tree| PastAnswer { tree, deaths }))
    }
}

fn lineage_at(pipeline: &Pipeline, observed_since: Option<Ktime>) -> LineageAt<'_> {
    LineageAt { lineage: &pipeline.lineage, now: clock::boottime(), observed_since }
}

fn whole_tree(pipeline: &mut Pipeline, since: Option<Ktime>) -> Option<Tree> {
    let figures = AllFigures::new(pipeline.observer.doing(Want::All));
    let wall = Wall::of_this_boot();
    let options = TreeOptions { usage: true, ..TreeOptions::default() };
    Tree::of(options, &lineage_at(pipeline, since), wall.stamp(), &mut |_| None, Some(&figures)).ok()
}

fn health(pipeline: &Pipeline, up: Duration) -> Health {
    let (lineage, repairs) = (&pipeline.lineage, &pipeline.repairs);
    let sum = |counts: &crate::runtime::Repairs| counts.by_kind().into_iter().map(|(_, count)| count).sum();
    let unconfirmed = lineage.unconfirmed_count();
    Health {
        observer: format!("taskscope {}, without a daemon", env!("CARGO_PKG_VERSION")),
        uptime_ns: crate::duration::ns(up),
        tasks: lineage.state_counts().present().saturating_sub(unconfirmed) as u64,
        processes: lineage.group_count().saturating_sub(unconfirmed) as u64,
        zombies: lineage.zombie_count() as u64,
        zombies_unconfirmed: unconfirmed as u64,
        lost: pipeline.counts.lost(),
        repaired: sum(&repairs.repaired),
        drift: sum(&repairs.drift),
        canary_age_ns: pipeline.canary.age(clock::boottime()).map(crate::duration::ns),
        not_ready: None,
        ready_but: pipeline.degraded(),
        degraded: pipeline
            .observer
            .hooks
            .iter()
            .filter_map(|hook| Some(format!("{}: {}", hook.hook, hook.lacks?)))
            .collect(),
    }
}
