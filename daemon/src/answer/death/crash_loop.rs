//! Crash loops: units and containers whose processes keep ending by the same cause while a supervisor restarts them.

use std::{collections::HashMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    answer::{HostFacts, place::AnswerPlace, process::ProcessRef},
    lineage::{
        Lineage,
        death::{Cause, GroupDeath},
        id::Ktime,
    },
};

/// This many ends by one cause within ten minutes are a crash loop.
pub const CRASH_LOOP_ENDS: u64 = 5;
/// The time over which ends are counted, ns.
const WITHIN_NS: u64 = 600_000_000_000;
/// The most crash loops that are listed.
const MOST: usize = 20;

/// A crash loop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrashLoop {
    /// The unit, container or pod.
    #[serde(flatten)]
    pub place: AnswerPlace,
    /// The cause's code.
    pub cause: String,
    /// Ends in the last ten minutes.
    pub count: u64,
    /// The process that ended last.
    pub last: ProcessRef,
    /// When it ended, on `CLOCK_BOOTTIME`.
    pub last_boottime_ns: u64,
}

/// Whether an end counts: a fault, a limit, or a code other than 0 of a process at the top of its unit or container.
#[must_use]
pub fn is_crash(death: &GroupDeath) -> bool {
    death.is_failure() && (death.cause != Cause::Exited || death.is_top)
}

/// Returns the ends of the last ten minutes that count, the last first.
pub fn recent(lineage: &Lineage, now: Ktime) -> impl Iterator<Item = &Arc<GroupDeath>> {
    let deaths = lineage.deaths().take_while(move |death| now.since(death.at) <= WITHIN_NS);
    deaths.filter(|death| is_crash(death) && death.cgroup_id.is_some())
}

/// Returns the crash loops among these ends, those with most ends first.
pub(super) fn find(crashes: &[Arc<GroupDeath>], host_facts: &mut HostFacts<'_>) -> Vec<CrashLoop> {
    let mut found: HashMap<(String, Cause), CrashLoop> = HashMap::new();
    for death in crashes {
        let Some(place) = death.cgroup_id.and_then(|id| (host_facts.places)(id)) else { continue };
        let Some(name) = name(&place) else { continue };
        let entry = found.entry((name, death.cause)).or_insert_with(|| CrashLoop {
            place,
            cause: death.cause.code().into(),
            count: 0,
            last: ProcessRef::by(death.key, death.name, host_facts.stamp),
            last_boottime_ns: death.at.0,
        });
        entry.count += 1;
    }
    let mut loops: Vec<_> = found.into_values().filter(|it| it.count >= CRASH_LOOP_ENDS).collect();
    loops.sort_by(|one, other| {
        other.count.cmp(&one.count).then_with(|| other.last_boottime_ns.cmp(&one.last_boottime_ns))
    });
    loops.truncate(MOST);
    loops
}

/// Returns the name that stays the same over a restart: that of the pod, whose containers are new ones, of the container, or of
/// the unit.
fn name(place: &AnswerPlace) -> Option<String> {
    let pod = place.pod.as_ref().map(|pod| format!("pod {}", pod.uid));
    let container = place.container.as_ref().map(|container| format!("container {}", container.id));
    pod.or(container).or_else(|| place.cgroup.unit.as_ref().map(|unit| format!("unit {unit}")))
}
