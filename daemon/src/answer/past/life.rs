//! Records of lives: everything known about a thread group, once it is released, as one line of JSON.
//!
//! The daemon's stream, its answers and its history on disk use this one serializer. `taskscope schema lives` prints the JSON
//! Schema that is made from these types; docs/lives.md describes them.

mod filter;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::filter::LifeFilter;
use crate::answer::{
    HostFacts,
    death::Signal,
    place::AnswerPlace,
    process::{Process, ProcessRef, names},
    time_arg,
    usage::{AnswerUsage, ChildrenUsage},
};
use crate::{
    cgroup::Place,
    export::{Host, SharedHost, Stamp},
    lineage::{
        End, Life,
        death::{CERTAIN, Cause, UNKNOWN},
        id::{GroupKey, Ktime, TaskRef},
        record::Comm,
    },
    procfs::Procfs,
};

/// The version of the record. An added field does not change it; a field that is removed or changes its meaning raises it.
pub const VERSION: u32 = 1;

/// The life of a process that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(
    title = "A life",
    description = "The life of a process (thread group) that is gone: docs/lives.md"
)]
pub struct LifeRecord {
    /// When it was released (`release_task()` of its leader), by the wall clock: RFC 3339, UTC, milliseconds.
    #[serde(rename = "@timestamp")]
    pub timestamp: String,
    /// Version of this record.
    pub life_version: u32,
    /// The host on which it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Host>")]
    pub host: Option<SharedHost>,
    /// The process: its identity, parent, last program, user and exit status.
    pub process: Process,
    /// When it was created, by the wall clock; absent if not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_timestamp: Option<String>,
    /// When it was created, ns of `CLOCK_BOOTTIME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_boottime_ns: Option<u64>,
    /// When its last task died, ns of `CLOCK_BOOTTIME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_boottime_ns: Option<u64>,
    /// When it was released, ns of `CLOCK_BOOTTIME`.
    pub boottime_ns: u64,
    /// Comm of its last parent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_name: Option<String>,
    /// Its first parent, if it is not the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_parent: Option<ProcessRef>,
    /// The task that called clone(2), if it is not the first parent (`CLONE_PARENT`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creator: Option<TaskIds>,
    /// `fork`, `vfork`, `clone` and so on, by the flags of clone(2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation: Option<String>,
    /// How often it called execve(2). The program of the last one is `process.executable`.
    pub execs: u32,
    /// When the last one was, ns of `CLOCK_BOOTTIME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec_boottime_ns: Option<u64>,
    /// How often its tasks changed their comm.
    #[serde(default, skip_serializing_if = "crate::answer::is_zero")]
    pub renames: u32,
    /// Threads besides the leader, in total.
    #[serde(default, skip_serializing_if = "crate::answer::is_zero")]
    pub threads_created: u32,
    /// The most threads besides the leader that lived at once.
    #[serde(default, skip_serializing_if = "crate::answer::is_zero")]
    pub threads_peak: u32,
    /// Why it ended.
    pub death: LifeDeath,
    /// `reaped`: a wait(2) reaped it; `autoreaped`: the kernel released it without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// How long it was a zombie, ns; absent if it never was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zombie_duration_ns: Option<u64>,
    /// `at_least` or `at_most`, if that time is not exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zombie_duration_bound: Option<String>,
    /// The process that reaped it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reaper: Option<LifeReaper>,
    /// How often it was reparented.
    #[serde(default, skip_serializing_if = "crate::answer::is_zero")]
    pub reparented: u32,
    /// When it was last reparented, ns of `CLOCK_BOOTTIME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reparented_boottime_ns: Option<u64>,
    /// The kind of its last new parent: `init`, `subreaper`, `thread` and so on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reparent_kind: Option<String>,
    /// What its tasks used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<AnswerUsage>,
    /// What its dead children and their dead children used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub children_usage: Option<ChildrenUsage>,
    /// Its cgroup, unit, container and pod.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub place: Option<AnswerPlace>,
    /// How its creation is known: `observed`, `snapshot`, `inferred` and so on.
    pub provenance: String,
}

/// A task by its ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TaskPlace")]
pub struct TaskIds {
    /// Its process.
    pub pid: u32,
    /// The task.
    pub tid: u32,
}

/// Why a process ended: docs/deaths.md.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LifeDeath {
    /// The cause's code.
    pub cause: String,
    /// `certain`, `likely` or `unknown`.
    pub certainty: String,
    /// The code of the fact that is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// The signal that ended it, with its sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<Signal>,
}

/// The process that reaped it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LifeReaper {
    /// Its pid.
    pub pid: u32,
    /// The thread that called wait(2), if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tid: Option<u32>,
    /// Its identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity_id: Option<String>,
    /// Its comm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `parent`, `thread`, `tracer` and so on.
    pub kind: String,
}

/// Returns a timestamp as ms since the epoch.
fn ms(timestamp: &str) -> Option<i64> {
    i64::try_from(time_arg::wall_ns(timestamp)?.div_euclid(1_000_000)).ok()
}

fn name(comm: Option<Comm>) -> Option<String> {
    names(comm.as_ref().map(Comm::bytes)).0
}

impl LifeRecord {
    /// Creates the record of an ended life. `places` returns the places of the senders of its signals.
    #[must_use]
    pub fn of(
        life: &Life,
        stamp: &Stamp,
        place: Option<AnswerPlace>,
        places: &mut dyn FnMut(u64) -> Option<AnswerPlace>,
    ) -> Self {
        let gone = life.released_at.unwrap_or(life.since);
        Self {
            timestamp: stamp.timestamp_ms(gone),
            life_version: VERSION,
            host: stamp.host().cloned(),
            process: Process::of(life, stamp),
            start_timestamp: life.key.start.map(|start| stamp.timestamp_ms(start)),
            start_boottime_ns: life.key.start.map(|start| start.0),
            ended_boottime_ns: life.ended_at.map(|at| at.0),
            boottime_ns: gone.0,
            parent_name: name(life.parent_name),
            first_parent: life.first_parent.map(|parent| ProcessRef::by(parent, None, stamp)),
            creator: life.creator.map(TaskIds::of),
            creation: life.creation.map(|creation| creation.name().into()),
            execs: life.execs,
            exec_boottime_ns: life.exec_at.map(|at| at.0),
            renames: life.renames,
            threads_created: life.threads_created,
            threads_peak: life.threads_peak,
            death: LifeDeath::of(life, stamp, places),
            end: life.end.map(|end| if end == End::Reaped { "reaped" } else { "autoreaped" }.into()),
            zombie_duration_ns: life.zombie.map(|zombie| zombie.ns),
            zombie_duration_bound: life.zombie.and_then(|zombie| zombie.bound.name()).map(Into::into),
            reaper: LifeReaper::of(life, stamp),
            reparented: life.reparented,
            reparented_boottime_ns: life.reparented_at.map(|at| at.0),
            reparent_kind: life.reparent_kind.map(|kind| kind.name().into()),
            usage: AnswerUsage::of(life),
            children_usage: ChildrenUsage::of(life),
            place,
            provenance: life.provenance.name().into(),
        }
    }

    /// Returns when it was released, ms since the epoch.
    #[must_use]
    pub fn released_ms(&self) -> Option<i64> {
        ms(&self.timestamp)
    }

    /// Returns a time of it on the wall clock, ms since the epoch, from a time on `CLOCK_BOOTTIME`.
    fn wall_ms(&self, boottime_ns: u64) -> Option<i64> {
        let before_ns = i128::from(self.boottime_ns) - i128::from(boottime_ns);
        i64::try_from(i128::from(self.released_ms()?) - before_ns / 1_000_000).ok()
    }

    /// Returns when it was created, ms since the epoch.
    #[must_use]
    pub fn start_ms(&self) -> Option<i64> {
        self.start_timestamp.as_deref().and_then(ms)
    }

    /// Returns the latest time at which it can have died, ns of `CLOCK_BOOTTIME`. If its end was not seen, this is its release minus the
    /// time for which it is known to have been a zombie.
    #[must_use]
    pub fn dead_ns(&self) -> u64 {
        let seen =
            self.zombie_duration_ns.filter(|_| self.zombie_duration_bound.as_deref() != Some("at_most"));
        let latest = self.boottime_ns.saturating_sub(seen.unwrap_or(0));
        self.ended_boottime_ns.map_or(latest, |at| at.min(self.boottime_ns))
    }

    /// Returns when its last task died, ms since the epoch.
    #[must_use]
    pub fn ended_ms(&self) -> Option<i64> {
        self.ended_boottime_ns.and_then(|at| self.wall_ms(at))
    }

    /// Returns when its last task died, as RFC 3339.
    #[must_use]
    pub fn ended_timestamp(&self) -> Option<String> {
        let ms = self.ended_ms()?;
        Some(Stamp::new("", i128::from(ms.max(0)) * 1_000_000).timestamp_ms(Ktime(0)))
    }

    /// Returns the pid of its parent at a time, ms since the epoch: the first and the last parent are known.
    #[must_use]
    pub fn parent_at(&self, at_ms: i64) -> Option<u32> {
        self.parent_ref_at(at_ms).map(|parent| parent.pid)
    }

    /// Returns its parent at a time.
    #[must_use]
    pub fn parent_ref_at(&self, at_ms: i64) -> Option<ProcessRef> {
        let reparented = self.reparented_boottime_ns.and_then(|at| self.wall_ms(at));
        if let Some(first) =
            self.first_parent.as_ref().filter(|_| reparented.is_some_and(|then| at_ms < then))
        {
            return Some(first.clone());
        }
        Some(ProcessRef {
            pid: self.process.parent_pid?,
            entity_id: self.process.parent_entity_id.clone(),
            name: self.parent_name.clone(),
            name_bytes: None,
        })
    }

    /// Returns whether it existed at a time, ms since the epoch: it was created, and not released. A process whose start is not
    /// known existed at all times before its end.
    #[must_use]
    pub fn existed_at(&self, at_ms: i64) -> bool {
        self.start_ms().is_none_or(|start| start <= at_ms)
            && self.released_ms().is_some_and(|end| at_ms <= end)
    }

    /// Returns whether it ended otherwise than by exit code 0.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        let code = self.process.exit.as_ref().and_then(|exit| exit.code);
        self.death.cause != Cause::Exited.code() || code != Some(0)
    }

    /// Appends the record to `out` as one line.
    pub fn write(&self, out: &mut Vec<u8>) {
        // Serializing strings and numbers to memory does not fail.
        if serde_json::to_writer(&mut *out, self).is_ok() {
            out.push(b'\n');
        }
    }
}

/// Appends the record of a life to `out` as one line, without the places of the senders of its signals.
pub fn write(life: &Life, stamp: &Stamp, place: Option<&Place>, out: &mut Vec<u8>) {
    LifeRecord::of(life, stamp, place.map(Into::into), &mut |_| None).write(out);
}

impl TaskIds {
    fn of(task: TaskRef) -> Self {
        Self { pid: task.tgid.0, tid: task.key.tid.0 }
    }
}

impl LifeDeath {
    fn of(life: &Life, stamp: &Stamp, places: &mut dyn FnMut(u64) -> Option<AnswerPlace>) -> Self {
        let Some(death) = life.death.as_deref() else {
            // It exited by itself, as its status shows.
            let known = life.status.is_some();
            let cause = if known { Cause::Exited } else { Cause::Unknown };
            let certainty = if known { CERTAIN } else { UNKNOWN };
            return Self {
                cause: cause.code().into(),
                certainty: certainty.into(),
                missing: None,
                signal: None,
            };
        };
        let host_facts = &mut HostFacts { stamp, procfs: &Procfs::default(), places };
        Self {
            cause: death.cause.code().into(),
            certainty: death.certainty().into(),
            missing: death.missing.map(|missing| missing.code().into()),
            signal: death.by.as_ref().map(|sent| Signal::of(sent, host_facts)),
        }
    }
}

impl LifeReaper {
    fn of(life: &Life, stamp: &Stamp) -> Option<Self> {
        let reaper = life.reaper?;
        let key: GroupKey = reaper.process;
        Some(Self {
            pid: key.tgid.0,
            tid: reaper.task.map(|task| task.key.tid.0),
            entity_id: stamp.entity_id(key),
            name: name(reaper.name),
            kind: reaper.kind.name().into(),
        })
    }
}

/// The JSON Schema of the record.
#[must_use]
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(LifeRecord)
}
