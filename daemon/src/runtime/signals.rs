//! Which signals the hooks report, and how many records of them were lost.

use probe_common::{Kind, SIGNALS_DEFAULT};

use super::{Counts, LossPlace};
use crate::{
    kernel::{
        clock::boottime,
        hooks::{CGROUP_POPULATED, MARK_VICTIM, SIGNAL_GENERATE},
        ladder::HookState,
    },
    lineage::{death::Watch, id::Ktime},
};

/// Returns which signals the attached hooks report from now on.
pub(super) fn watch(hooks: &[HookState]) -> Watch {
    let is_attached = |name| hooks.iter().any(|state| state.hook == name && state.rung.is_some());
    Watch {
        since: is_attached(SIGNAL_GENERATE).then(boottime),
        signals: SIGNALS_DEFAULT,
        oom: is_attached(MARK_VICTIM),
        lost_until: Ktime(0),
    }
}

/// Whether the hooks report when cgroups get their first task and lose their last.
pub(super) fn watches_scopes(hooks: &[HookState]) -> bool {
    hooks.iter().any(|state| state.hook == CGROUP_POPULATED && state.rung.is_some())
}

impl Counts {
    /// Returns how many of the records lost at a place are about causes of death. The tree does not depend on them.
    pub(super) fn causes_lost_at(&self, place: LossPlace) -> u64 {
        let of = |counts: &[u64; Kind::COUNT]| {
            [Kind::SignalSent, Kind::OomVictim, Kind::CgroupChanged]
                .iter()
                .filter_map(|&kind| counts.get(kind as usize))
                .sum()
        };
        match place {
            LossPlace::Ring => of(&self.kernel.dropped),
            LossPlace::Shed => of(&self.kernel.shed),
            LossPlace::Skipped | LossPlace::Program | LossPlace::Decode => 0,
        }
    }
}
