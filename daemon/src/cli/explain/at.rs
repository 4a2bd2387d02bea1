//! `taskscope explain --at`: a process of the past, with its ancestors then.
//!
//! Processes that have ended come from `/v1/lives`, or from a directory; those that still exist from `/v1/tasks/{pid}`.

use std::{cell::RefCell, path::Path};

use super::Args;
use crate::{
    answer::{
        TaskSelector,
        known::Known,
        life::{LifeFilter, LifeRecord},
        past_life::{PastAncestor, PastLife, PastLives},
        process::ProcessRef,
        task::TaskAnswer,
        text, time_arg,
    },
    cli::{ask, client::Client, exit::Exit, past, query::QueryPath, selector::Selector, terminal},
    event_loop,
    history::read::Times,
};

/// The most ancestors that are followed: deeper than process trees are.
const MOST_ANCESTORS: usize = 64;

/// The most processes that one name selects.
const MOST_PROCESSES: usize = 20;

/// Where lives come from, at one time.
struct Question<'a> {
    args: &'a Args,
    utc: String,
    at_ms: i64,
    known: RefCell<Option<Known>>,
}

/// Runs `explain --at`.
pub(super) fn run(args: &Args, at: &str) -> Result<(), Exit> {
    let (utc, at_ms) = past::moment("--at", at)?;
    // A duration ago means the same time in every request.
    let utc = if utc.contains(':') { utc } else { past::utc(at_ms) };
    let question = Question { args, utc, at_ms, known: RefCell::default() };
    let mut processes = Vec::new();
    let mut lives = question.selected()?;
    lives.reverse();
    for life in lives.into_iter().take(MOST_PROCESSES) {
        processes.push(question.of_life(life)?);
    }
    if processes.is_empty()
        && let Selector::Id(TaskSelector::Pid(pid)) = &args.selector
        && let Some(present) = question.present(*pid)?
    {
        processes.push(question.of_present(&present)?);
    }
    let history = question.known.into_inner();
    if let Some(known) = &history {
        past::report(known);
    }
    let is_empty = processes.is_empty();
    let answer = PastLives { at: past::utc(at_ms), processes, history };
    ask::show(&answer, args.format, |answer| text::past_lives(answer, terminal::style()))?;
    if is_empty { Err(Exit::Failure) } else { Ok(()) }
}

impl Question<'_> {
    /// Returns the lives that the selector means, the oldest end first.
    fn selected(&self) -> Result<Vec<LifeRecord>, Exit> {
        let filter = LifeFilter { at_ms: Some(self.at_ms), ..LifeFilter::default() };
        match &self.args.selector {
            Selector::Id(TaskSelector::Pid(pid)) => self.lives(LifeFilter { pids: vec![*pid], ..filter }),
            Selector::Id(TaskSelector::Entity(id)) => {
                let pid = id.split('-').nth(1).and_then(|pid| pid.parse().ok()).ok_or(Exit::Usage)?;
                let mut lives = self.lives(LifeFilter { pids: vec![pid], ..filter })?;
                lives.retain(|life| life.process.entity_id.as_ref() == Some(id));
                Ok(lives)
            }
            Selector::Name(name) => {
                let named = self.lives(LifeFilter { comms: vec![name.clone()], ..filter.clone() })?;
                let is_unit = named.is_empty();
                if is_unit {
                    self.lives(LifeFilter { units: vec![name.clone()], ..filter })
                } else {
                    Ok(named)
                }
            }
        }
    }

    /// Returns the lives that match and existed at the time.
    fn lives(&self, filter: LifeFilter) -> Result<Vec<LifeRecord>, Exit> {
        let (lives, known) = match &self.args.directory.from {
            Some(directory) => self.of_directory(directory, filter)?,
            None => self.of_daemon(&filter)?,
        };
        let mut all = self.known.borrow_mut();
        if let (Some(all), Some(known)) = (&mut *all, &known) {
            all.damage.add(&known.damage);
        } else if known.is_some() {
            *all = known;
        }
        Ok(lives)
    }

    fn of_directory(
        &self,
        directory: &Path,
        filter: LifeFilter,
    ) -> Result<(Vec<LifeRecord>, Option<Known>), Exit> {
        let (directory, mut known) = past::open(directory, self.at_ms)?;
        let (lives, damage) = past::lives(&directory, Times::since(self.at_ms), filter)?;
        known.damage.add(&damage);
        Ok((lives, Some(known)))
    }

    fn of_daemon(&self, filter: &LifeFilter) -> Result<(Vec<LifeRecord>, Option<Known>), Exit> {
        let mut query = QueryPath::new("/v1/lives");
        query.add("at", &self.utc).add_all("pid", &filter.pids);
        query.add_all("comm", &filter.comms).add_all("unit", &filter.units);
        let path = query.into_path();
        let runtime = event_loop::start().map_err(Exit::failed)?;
        let client = Client::at(&self.args.source.socket.socket);
        let asked = runtime.block_on(async {
            let mut answer = client.get(&path, "application/x-ndjson").await?;
            let known = past::known_by(answer.headers());
            Ok((client.body(answer.body_mut()).await?, known))
        });
        let (text, mut known) = asked.map_err(|error: crate::cli::client::ClientError| error.exit())?;
        if let (Some(known), Some(damage)) = (&mut known, past::damage(&client)) {
            known.damage.add(&damage);
        }
        let records = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        let lives = records.map(serde_json::from_slice).collect::<Result<_, _>>();
        lives
            .map(|lives| (lives, known))
            .map_err(|error| Exit::failed_at("reading the daemon's answer", error))
    }

    /// Returns the process that has a pid now, if it existed at the time.
    fn present(&self, pid: u32) -> Result<Option<TaskAnswer>, Exit> {
        if self.args.directory.from.is_some() {
            return Ok(None);
        }
        let runtime = event_loop::start().map_err(Exit::failed)?;
        let client = Client::at(&self.args.source.socket.socket);
        // An error means that no process has the pid.
        let asked = runtime.block_on(client.json::<TaskAnswer>(&format!("/v1/tasks/{pid}")));
        let Ok(task) = asked else { return Ok(None) };
        let is_gone = matches!(task.task.state.as_str(), "released" | "dead");
        let start_ms = start_ms(&task);
        let existed = start_ms.is_none_or(|start| start <= self.at_ms);
        Ok(Some(task).filter(|_| !is_gone && existed))
    }

    fn of_life(&self, life: LifeRecord) -> Result<PastLife, Exit> {
        let parent = life.parent_ref_at(self.at_ms);
        let ancestors = self.ancestors(parent)?;
        Ok(PastLife { process: life.process.to_ref(), life: Some(Box::new(life)), ancestors })
    }

    fn of_present(&self, task: &TaskAnswer) -> Result<PastLife, Exit> {
        let ancestors = self.ancestors(parent_of(task))?;
        Ok(PastLife { process: task.process.to_ref(), life: None, ancestors })
    }

    /// Follows the parents, as far as each has a life or exists.
    fn ancestors(&self, parent: Option<ProcessRef>) -> Result<Vec<PastAncestor>, Exit> {
        let mut ancestors: Vec<PastAncestor> = Vec::new();
        let mut next = parent.filter(|parent| parent.pid != 0);
        while let Some(parent) = next.take() {
            let is_there = |ancestor: &PastAncestor| ancestor.process.pid == parent.pid;
            if ancestors.len() == MOST_ANCESTORS || ancestors.iter().any(is_there) {
                break;
            }
            let filter =
                LifeFilter { at_ms: Some(self.at_ms), pids: vec![parent.pid], ..LifeFilter::default() };
            let is_same =
                |id: &Option<String>| parent.entity_id.is_none() || id.is_none() || *id == parent.entity_id;
            let life = self.lives(filter)?.into_iter().rev().find(|life| is_same(&life.process.entity_id));
            if let Some(life) = life {
                next = life.parent_ref_at(self.at_ms).filter(|parent| parent.pid != 0);
                ancestors.push(PastAncestor {
                    process: life.process.to_ref(),
                    start_timestamp: life.start_timestamp.clone(),
                    ended_timestamp: life.ended_timestamp(),
                    state: "ended".into(),
                });
                continue;
            }
            let present = self.present(parent.pid)?.filter(|task| is_same(&task.process.entity_id));
            let Some(task) = present else {
                ancestors.push(PastAncestor {
                    process: parent,
                    start_timestamp: None,
                    ended_timestamp: None,
                    state: "unknown".into(),
                });
                break;
            };
            next = parent_of(&task).filter(|parent| parent.pid != 0);
            ancestors.push(PastAncestor {
                process: task.process.to_ref(),
                start_timestamp: start_ms(&task).map(past::utc),
                ended_timestamp: None,
                state: "running".into(),
            });
        }
        Ok(ancestors)
    }
}

fn parent_of(task: &TaskAnswer) -> Option<ProcessRef> {
    let pid = task.process.parent_pid?;
    Some(ProcessRef { pid, entity_id: task.process.parent_entity_id.clone(), name: None, name_bytes: None })
}

/// Returns when a process that exists was created, ms since the epoch.
fn start_ms(task: &TaskAnswer) -> Option<i64> {
    let now_ns = time_arg::wall_ns(&task.made.timestamp)?;
    let age_ns = task.made.boottime_ns.saturating_sub(task.task.start_boottime_ns?);
    i64::try_from((now_ns - i128::from(age_ns)).div_euclid(1_000_000)).ok()
}
