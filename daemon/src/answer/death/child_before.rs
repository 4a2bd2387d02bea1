//! The child whose end a process passed on: it sent the same signal to itself, as sudo(8), timeout(1) and nsenter(1) do, or exited with 128
//! plus the number of the signal, as shells do.

use std::{collections::HashMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    answer::{LineageAt, process::ProcessRef},
    export::Stamp,
    lineage::{
        death::{Cause, GroupDeath},
        flags::signal_name,
        id::{GroupKey, Ktime},
        record::Comm,
        status::WaitStatus,
    },
    verdict::duration,
};

/// A child that ended longer before, ns, has nothing to do with the end of the process.
const WITHIN_NS: u64 = 10_000_000_000;

/// The child whose end a process passed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildBefore {
    /// The child.
    pub process: ProcessRef,
    /// The signal that ended it.
    pub signal: i32,
    /// The time from its end to that of its parent, ns.
    pub before_ns: u64,
}

/// The child, from the lineage.
#[derive(Clone, Debug)]
pub(in crate::answer) struct Child {
    key: GroupKey,
    name: Option<Comm>,
    signal: i32,
    at: Ktime,
}

/// Returns the signal that a process passed on to its own parent, if it ended as one that does so.
fn passed_on(death: &GroupDeath) -> Option<i32> {
    let status = death.status?;
    let by_code =
        status.code().and_then(|code| code.checked_sub(128)).filter(|signal| (1..32).contains(signal));
    by_code.or_else(|| status.signal().filter(|_| death.cause == Cause::KilledByItself))
}

/// Returns for each end the child whose end the process passed on: the last one that the same signal ended shortly before.
pub(in crate::answer) fn of(deaths: &[Arc<GroupDeath>], lineage_at: &LineageAt<'_>) -> Vec<Option<Child>> {
    if !deaths.iter().any(|death| passed_on(death).is_some()) {
        return vec![None; deaths.len()];
    }
    let mut killed: HashMap<(GroupKey, i32), Vec<&Arc<GroupDeath>>> = HashMap::new();
    for death in lineage_at.lineage.deaths() {
        if let (Some(parent), Some(signal)) = (death.parent, death.status.and_then(WaitStatus::signal)) {
            killed.entry((parent, signal)).or_default().push(death);
        }
    }
    let before = |death: &Arc<GroupDeath>| {
        let signal = passed_on(death)?;
        let mut children = killed.get(&(death.key, signal))?.iter();
        let child = children.find(|child| child.at <= death.at && death.at.since(child.at) <= WITHIN_NS)?;
        Some(Child { key: child.key, name: child.name, signal, at: child.at })
    };
    deaths.iter().map(before).collect()
}

impl ChildBefore {
    pub(super) fn of(child: &Child, death: &GroupDeath, stamp: &Stamp) -> Self {
        Self {
            process: ProcessRef::by(child.key, child.name, stamp),
            signal: child.signal,
            before_ns: death.at.since(child.at),
        }
    }

    /// Returns the child as text that follows the cause.
    pub(super) fn words(&self) -> String {
        let signal = signal_name(self.signal).unwrap_or("a signal");
        format!("; {} before, {signal} had ended its child {}", duration(self.before_ns), self.process)
    }
}
