//! What a process and its dead children used. Names of fields are those of docs/events.md.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    lineage::{self, GroupUsage, Life, LifeState, Provenance, record},
    verdict::duration,
};

/// Usage, by the kernel's accounting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Figures")]
pub struct UsageFigures {
    /// Time on a CPU, ns.
    pub exec_runtime_ns: u64,
    /// Time waiting on a run queue, ns.
    pub run_delay_ns: u64,
    /// How often it was put on a CPU.
    pub run_count: u64,
    /// Time in user mode, ns, as the kernel splits it.
    pub user_ns: u64,
    /// Time in kernel mode, ns.
    pub system_ns: u64,
    /// Voluntary context switches.
    pub voluntary_switches: u64,
    /// Involuntary context switches.
    pub involuntary_switches: u64,
    /// Minor page faults.
    pub minor_faults: u64,
    /// Major page faults.
    pub major_faults: u64,
}

/// What tasks of a process used: the dead ones, or all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Usage")]
pub struct AnswerUsage {
    /// The sum.
    #[serde(flatten)]
    pub figures: UsageFigures,
    /// Tasks that are in the sum.
    pub tasks: u32,
    /// Tasks in the sum whose last switch is still to come.
    #[serde(default, skip_serializing_if = "is_none")]
    pub tasks_pending: u32,
    /// Tasks whose usage was lost.
    #[serde(default, skip_serializing_if = "is_none")]
    pub tasks_unknown: u32,
    /// Whether the process is older than the observation, so that tasks that ended before are missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_least: bool,
}

/// What dead children and their dead children used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Descent {
    /// The sum.
    #[serde(flatten)]
    pub figures: UsageFigures,
    /// Processes that are in the sum.
    pub processes: u64,
    /// Processes in the sum with a task whose usage is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes_unknown: Option<u64>,
}

/// Usage of dead children, by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChildrenUsage {
    /// Children that a wait(2) reaped: `getrusage(RUSAGE_CHILDREN)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reaped: Option<Descent>,
    /// Children without a wait(2): the kernel does not add up their usage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoreaped: Option<Descent>,
    /// Whether the process is older than the observation, so that children that ended before are missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_least: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_none(count: &u32) -> bool {
    *count == 0
}

impl UsageFigures {
    pub(in crate::answer) const fn of(usage: &record::TaskUsage, (user_ns, system_ns): (u64, u64)) -> Self {
        Self {
            exec_runtime_ns: usage.exec_runtime_ns,
            run_delay_ns: usage.run_delay_ns,
            run_count: usage.run_count,
            user_ns,
            system_ns,
            voluntary_switches: usage.nvcsw,
            involuntary_switches: usage.nivcsw,
            minor_faults: usage.min_flt,
            major_faults: usage.maj_flt,
        }
    }
}

impl AnswerUsage {
    /// Returns the usage of a life; `None` if none of its tasks is dead.
    pub(in crate::answer) fn of(life: &Life) -> Option<Self> {
        life.usage.map(|account| Self::by(account, life))
    }

    /// Returns the usage of some tasks of a life.
    pub(in crate::answer) fn by(account: GroupUsage, life: &Life) -> Self {
        let GroupUsage { sum, tasks, pending, unknown } = account;
        Self {
            figures: UsageFigures::of(&sum, sum.split()),
            tasks,
            tasks_pending: pending,
            tasks_unknown: unknown,
            at_least: is_older(life),
        }
    }
}

impl Descent {
    fn of(descent: &lineage::Descent) -> Option<Self> {
        let sum = &descent.sum;
        (descent.processes > 0).then(|| Self {
            figures: UsageFigures::of(sum, (sum.utime_ns, sum.stime_ns)),
            processes: descent.processes,
            processes_unknown: Some(descent.unknown).filter(|&unknown| unknown > 0),
        })
    }
}

impl ChildrenUsage {
    /// Returns the children's usage of a life; `None` if none of its children is dead.
    pub(in crate::answer) fn of(life: &Life) -> Option<Self> {
        let children = life.children_usage.as_ref()?;
        Some(Self {
            reaped: Descent::of(&children.reaped),
            autoreaped: Descent::of(&children.autoreaped),
            at_least: is_older(life),
        })
    }
}

/// Whether it is older than the observation.
const fn is_older(life: &Life) -> bool {
    !matches!(life.provenance, Provenance::Observed)
}

/// Returns the usage of a life and of its children, in words.
pub(in crate::answer) fn reported(life: &Life) -> Vec<String> {
    let mut reported = Vec::new();
    if let Some(usage) = AnswerUsage::of(life).filter(|usage| usage.tasks > 0) {
        let whose = match life.state {
            LifeState::Running | LifeState::Exiting if usage.at_least => {
                "its threads that ended since taskscope started used "
            }
            LifeState::Running | LifeState::Exiting => "its ended threads used ",
            LifeState::DeadLeader => "its ended tasks used ",
            LifeState::Zombie | LifeState::Dead | LifeState::Released => "used ",
        };
        let mut text = format!("{whose}{}", in_words(&usage.figures));
        if usage.tasks_unknown > 0 {
            let _ = write!(text, "; without {} of its threads, whose records were lost", usage.tasks_unknown);
        }
        reported.push(text);
    }
    let children = ChildrenUsage::of(life).unwrap_or_default();
    let kinds = [(children.reaped, "waited for"), (children.autoreaped, "not waited for")];
    for (descent, which) in kinds {
        let Some(Descent { figures, processes, processes_unknown }) = descent else { continue };
        let who =
            if processes == 1 { "1 ended process".into() } else { format!("{processes} ended processes") };
        let since = if children.at_least { ", ended since taskscope started" } else { "" };
        let mut text = format!("{who} below it{since}, {which}, used {}", in_words(&figures));
        if let Some(unknown) = processes_unknown {
            let _ = write!(text, "; the usage of {unknown} is incomplete");
        }
        reported.push(text);
    }
    reported
}

pub(in crate::answer) fn in_words(figures: &UsageFigures) -> String {
    let UsageFigures { exec_runtime_ns, user_ns, system_ns, run_delay_ns, .. } = *figures;
    let faults = figures.minor_faults.saturating_add(figures.major_faults);
    format!(
        "{} of CPU time ({} user, {} system), waited {} for a CPU, {} voluntary and {} involuntary switches, {faults} page faults{}",
        duration(exec_runtime_ns),
        duration(user_ns),
        duration(system_ns),
        duration(run_delay_ns),
        figures.voluntary_switches,
        figures.involuntary_switches,
        if figures.major_faults > 0 { format!(" ({} major)", figures.major_faults) } else { String::new() },
    )
}
