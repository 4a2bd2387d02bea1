//! What a process and its dead children used. Names of fields are those of docs/events.md.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    lineage::{self, GroupUsage, Life, LifeState, Provenance, record},
    verdict::duration,
};

/// The kernel's figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Figures {
    /// On a CPU.
    pub exec_runtime_ns: u64,
    /// On a run queue.
    pub run_delay_ns: u64,
    /// Times put on a CPU.
    pub run_count: u64,
    /// In user mode, as the kernel splits it.
    pub user_ns: u64,
    /// In kernel mode.
    pub system_ns: u64,
    /// Voluntary switches.
    pub voluntary_switches: u64,
    /// Involuntary switches.
    pub involuntary_switches: u64,
    /// Minor faults.
    pub minor_faults: u64,
    /// Major faults.
    pub major_faults: u64,
}

/// What tasks of a process used: the dead ones, or all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// The figures, summed up.
    #[serde(flatten)]
    pub figures: Figures,
    /// Tasks whose figures these are.
    pub tasks: u32,
    /// Of these, tasks whose last switch is still to come.
    #[serde(default, skip_serializing_if = "is_none")]
    pub tasks_pending: u32,
    /// Tasks whose figures nobody saw.
    #[serde(default, skip_serializing_if = "is_none")]
    pub tasks_unknown: u32,
    /// It was there before anybody looked: tasks that had ended by then are not in it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_least: bool,
}

/// What dead children used, and theirs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Descent {
    /// The figures, summed up.
    #[serde(flatten)]
    pub figures: Figures,
    /// Processes whose figures these are.
    pub processes: u64,
    /// Of these, processes of which the figures of some task are missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes_unknown: Option<u64>,
}

/// Children by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChildrenUsage {
    /// A wait(2) took them: `getrusage(RUSAGE_CHILDREN)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reaped: Option<Descent>,
    /// Nobody waited for them: the kernel forgets what they used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoreaped: Option<Descent>,
    /// It was there before anybody looked: children that were gone by then are not in it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_least: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_none(count: &u32) -> bool {
    *count == 0
}

impl Figures {
    pub(super) const fn of(usage: &record::Usage, (user_ns, system_ns): (u64, u64)) -> Self {
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

impl Usage {
    /// Of a life; `None` while no task of it is dead.
    pub(super) fn of(life: &Life) -> Option<Self> {
        life.usage.map(|account| Self::by(account, life))
    }

    /// Of some tasks of a life.
    pub(super) fn by(account: GroupUsage, life: &Life) -> Self {
        let GroupUsage { sum, tasks, pending, unknown } = account;
        Self {
            figures: Figures::of(&sum, sum.split()),
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
            figures: Figures::of(sum, (sum.utime_ns, sum.stime_ns)),
            processes: descent.processes,
            processes_unknown: Some(descent.unknown).filter(|&unknown| unknown > 0),
        })
    }
}

impl ChildrenUsage {
    /// Of a life; `None` while no child of it is dead.
    pub(super) fn of(life: &Life) -> Option<Self> {
        let children = life.children_usage.as_ref()?;
        Some(Self {
            reaped: Descent::of(&children.reaped),
            autoreaped: Descent::of(&children.autoreaped),
            at_least: is_older(life),
        })
    }
}

/// Whether it began before anybody looked.
const fn is_older(life: &Life) -> bool {
    !matches!(life.provenance, Provenance::Observed)
}

/// What a life and those below it used, in words.
pub(super) fn reported(life: &Life) -> Vec<String> {
    let mut reported = Vec::new();
    if let Some(usage) = Usage::of(life).filter(|usage| usage.tasks > 0) {
        let whose = match life.state {
            LifeState::Running | LifeState::Exiting if usage.at_least => {
                "its threads that ended since taskscope looks used "
            }
            LifeState::Running | LifeState::Exiting => "its ended threads used ",
            LifeState::DeadLeader => "its ended tasks used ",
            LifeState::Zombie | LifeState::Dead | LifeState::Released => "used ",
        };
        let mut text = format!("{whose}{}", in_words(&usage.figures));
        if usage.tasks_unknown > 0 {
            let _ =
                write!(text, "; {} of its tasks not counted, their records were lost", usage.tasks_unknown);
        }
        reported.push(text);
    }
    let children = ChildrenUsage::of(life).unwrap_or_default();
    let kinds = [(children.reaped, "waited for"), (children.autoreaped, "nobody waited for")];
    for (descent, which) in kinds {
        let Some(Descent { figures, processes, processes_unknown }) = descent else { continue };
        let who =
            if processes == 1 { "1 dead process".into() } else { format!("{processes} dead processes") };
        let since = if children.at_least { ", dead since taskscope looks" } else { "" };
        let mut text = format!("{who} below it{since}, {which}, used {}", in_words(&figures));
        if let Some(unknown) = processes_unknown {
            let _ = write!(text, "; of {unknown} not all is known");
        }
        reported.push(text);
    }
    reported
}

pub(super) fn in_words(figures: &Figures) -> String {
    let Figures { exec_runtime_ns, user_ns, system_ns, run_delay_ns, .. } = *figures;
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
