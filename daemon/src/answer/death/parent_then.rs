//! What the parent of a killed process did afterwards: it exited, for example with 128 plus the number of the signal, or started
//! the process again.

use std::{collections::HashMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    answer::{
        LineageAt,
        process::{Exit, ProcessRef},
    },
    export::Stamp,
    lineage::{
        death::GroupDeath,
        id::{GroupKey, Ktime},
        record::Comm,
        status::WaitStatus,
    },
    verdict::duration,
};

/// A parent that exits later than this, ns, has other reasons.
const EXIT_WITHIN_NS: u64 = 10_000_000_000;
/// A start later than this, ns, is not a restart: supervisors wait for minutes at most.
const RESTART_WITHIN_NS: u64 = 300_000_000_000;

/// What the parent did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentThen {
    /// `exited`, or `restarted`: it has a younger child of the same name.
    pub did: String,
    /// The time after the end of the child, ns.
    pub after_ns: u64,
    /// How it exited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// The process that was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessRef>,
}

/// What the parent did, from the lineage.
#[derive(Clone, Debug)]
pub(in crate::answer) enum Then {
    Exited(Ktime, Option<WaitStatus>),
    Restarted(GroupKey, Option<Comm>),
}

/// Children of one name, by their parent.
type Children = HashMap<(GroupKey, Option<Comm>), Vec<GroupKey>>;

/// Returns for each end what the parent did; `None` if no signal ended the process, or if the parent did neither.
pub(in crate::answer) fn of(deaths: &[Arc<GroupDeath>], lineage_at: &LineageAt<'_>) -> Vec<Option<Then>> {
    let is_killed = |death: &GroupDeath| death.status.is_some_and(|status| status.signal().is_some());
    if !deaths.iter().any(|death| is_killed(death)) {
        return vec![None; deaths.len()];
    }
    let lineage = lineage_at.lineage;
    // Consider live processes and those that have ended since.
    let mut children = Children::new();
    let present = lineage.groups().filter_map(|it| Some((it.parent()?.key(), it.name(), it.key())));
    let ended = lineage.deaths().filter_map(|death| Some((death.parent?, death.name, death.key)));
    for (parent, name, key) in present.chain(ended) {
        children.entry((parent, name)).or_default().push(key);
    }
    let then = |death: &Arc<GroupDeath>| {
        let parent = death.parent.filter(|parent| is_killed(death) && parent.tgid.0 != 0)?;
        let life = lineage.life_by_key(parent, lineage_at.now)?;
        if let Some(at) = life.ended_at.filter(|at| *at >= death.at && at.since(death.at) <= EXIT_WITHIN_NS) {
            return Some(Then::Exited(at, life.status));
        }
        let starts = children.get(&(parent, death.name))?.iter();
        let younger = starts.filter_map(|key| Some((key.start.filter(|start| *start >= death.at)?, *key)));
        let (start, key) = younger.min_by_key(|(start, _)| *start)?;
        (start.since(death.at) <= RESTART_WITHIN_NS).then_some(Then::Restarted(key, death.name))
    };
    deaths.iter().map(then).collect()
}

impl ParentThen {
    pub(super) fn of(then: &Then, death: &GroupDeath, stamp: &Stamp) -> Self {
        match then {
            Then::Exited(at, status) => Self {
                did: "exited".into(),
                after_ns: at.since(death.at),
                exit: status.map(Exit::of),
                process: None,
            },
            Then::Restarted(key, name) => Self {
                did: "restarted".into(),
                after_ns: key.start.map_or(0, |start| start.since(death.at)),
                exit: None,
                process: Some(ProcessRef::by(*key, *name, stamp)),
            },
        }
    }

    /// Returns what the parent did as text that follows the cause.
    pub(super) fn words(&self, parent: Option<&ProcessRef>) -> String {
        let parent = parent.map_or_else(|| "its parent".into(), |parent| format!("its parent {parent}"));
        let after = duration(self.after_ns);
        match (&self.process, &self.exit) {
            (Some(process), _) => format!("; {after} later {parent} started {process}"),
            (None, Some(exit)) => match (exit.code, exit.signal_name.as_deref()) {
                (Some(code), _) => format!("; {after} later {parent} exited with code {code}"),
                (None, name) => {
                    format!("; {after} later {parent} was ended by {}", name.unwrap_or("a signal"))
                }
            },
            (None, None) => format!("; {after} later {parent} ended"),
        }
    }
}
