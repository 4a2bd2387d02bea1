//! Facts about processes of a job that the daemon has and its events do not have.

use std::{
    collections::{HashMap, HashSet},
    fmt::Display,
};

use super::Shared;
use crate::{
    answer::{known::Known, life::LifeRecord, task::TaskAnswer, usage::AnswerUsage},
    cli::{
        client::{Client, ClientError},
        past,
        query::QueryPath,
        whole_lines::WholeLines,
    },
    job::JobUsage,
    kernel::clock,
};

/// The most processes that are asked for by pid; for more, all lives since then are read.
const BY_PID: usize = 100;

/// Added to the age in a question, ms, because the daemon reads the clock later than this process.
const MARGIN_MS: u64 = 1000;

/// Since when an answer knows all ends.
#[derive(Debug, Default)]
pub(super) struct Completeness {
    /// Since when memory does, RFC 3339.
    pub(super) known_since: Option<String>,
    /// What the history does not know, if it was read too.
    pub(super) history: Option<Known>,
}

/// Returns the question for lives that ended within this time, ms.
pub(super) fn since(age_ms: impl Display) -> QueryPath {
    let mut query = QueryPath::new("/v1/lives");
    query.add("since", format_args!("{age_ms}ms"));
    query
}

/// Asks for lives, and passes each to `take`.
pub(super) async fn ask(
    client: &Client,
    query: QueryPath,
    mut take: impl FnMut(LifeRecord),
) -> Result<Completeness, ClientError> {
    let mut answer = client.get(&query.into_path(), "application/x-ndjson").await?;
    let mut history = past::known_by(answer.headers());
    let known_since = past::known_since(answer.headers()).map(str::to_owned);
    let mut lines = WholeLines::default();
    while let Some(piece) = client.piece(answer.body_mut()).await? {
        for line in lines.push(&piece).split(|&byte| byte == b'\n') {
            if let Ok(life) = serde_json::from_slice(line) {
                take(life);
            }
        }
    }
    if let (Some(history), Some(damage)) = (&mut history, past::damage(client)) {
        history.damage.add(&damage);
    }
    Ok(Completeness { known_since, history })
}

/// Replaces lives that lack figures by those in memory, if they have more. A line of the history was written at the release, and on the
/// kprobe and fentry rungs the last figures can follow.
pub(super) async fn complete_from_memory(
    client: &Client,
    lives: &mut [LifeRecord],
) -> Result<(), ClientError> {
    let lacking = lives.iter_mut().filter(|life| life.usage.as_ref().is_some_and(lacks_figures));
    let mut lacking: HashMap<Identity, &mut LifeRecord> =
        lacking.map(|life| (identity(life), life)).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    ask(client, QueryPath::new("/v1/lives"), |life| {
        if let Some(incomplete) = lacking.get_mut(&identity(&life)) {
            **incomplete = life;
        }
    })
    .await?;
    Ok(())
}

fn lacks_figures(usage: &AnswerUsage) -> bool {
    usage.tasks_pending > 0 || usage.tasks_unknown > 0
}

fn identity(life: &LifeRecord) -> Identity {
    (life.process.pid, life.start_boottime_ns.unwrap_or(0))
}

/// Completes the figures of processes that were reported with incomplete ones at `from_ns` or later, ns of `CLOCK_BOOTTIME`.
pub(super) async fn complete(client: &Client, shared: &Shared, from_ns: u64) -> Result<(), ClientError> {
    let (released, unreaped, since_ns) = incomplete(shared, from_ns);
    let mut found: HashMap<Identity, JobUsage> = HashMap::new();
    if !released.is_empty() {
        let age_ms = clock::boottime().0.saturating_sub(since_ns) / 1_000_000;
        let mut query = since(age_ms.saturating_add(MARGIN_MS));
        if released.len() <= BY_PID {
            for (pid, _) in &released {
                query.add("pid", pid);
            }
        }
        ask(client, query, |life| {
            let key = identity(&life);
            if let Some(usage) = life.usage.filter(|_| released.contains(&key)) {
                found.insert(key, JobUsage::of_life(&usage));
            }
        })
        .await?;
    }
    for &(pid, start_ns) in unreaped.iter().take(BY_PID) {
        // If it was reaped in the meantime, its pid can be unknown or that of another process.
        let Ok(answer) = client.json::<TaskAnswer>(&format!("/v1/tasks/{pid}")).await else { continue };
        let is_it = answer.task.start_boottime_ns.unwrap_or(0) == start_ns;
        if let Some(usage) = answer.task.usage.filter(|_| is_it) {
            found.insert((pid, start_ns), JobUsage::of_life(&usage));
        }
    }
    if let Some(members) = shared.borrow_mut().members_mut() {
        members.complete(|pid, start_ns| found.remove(&(pid, start_ns)));
    }
    Ok(())
}

/// A pid, and when its process was created.
type Identity = (u32, u64);

/// Returns processes with figures that are incomplete since `from_ns` or later: those that are released, the others, and the time from which
/// on the first of them is incomplete.
fn incomplete(shared: &Shared, from_ns: u64) -> (HashSet<Identity>, Vec<Identity>, u64) {
    let collector = shared.borrow();
    let (mut released, mut unreaped, mut since_ns) = (HashSet::new(), Vec::new(), u64::MAX);
    let members = collector.members().into_iter().flat_map(crate::job::Members::incomplete);
    for (member, incomplete) in members.filter(|(_, incomplete)| incomplete.since_ns >= from_ns) {
        let identity = (member.pid, member.start_ns);
        if member.is_released {
            released.insert(identity);
        } else {
            unreaped.push(identity);
        }
        since_ns = since_ns.min(incomplete.since_ns);
    }
    (released, unreaped, since_ns)
}
