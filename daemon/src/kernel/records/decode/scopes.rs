//! Records of the lives of cgroups.

use std::sync::Arc;

use probe_common::{self as wire, Valid};

use super::{DecodeError, known, task};
use crate::lineage::scope::{CgroupChange, CgroupChanged};

/// The root of the v1 controller's hierarchy as a pair with 0.
const CONTROLLER_ROOT: u64 = 1 << 63 | 1 << 32;

pub(super) fn changed(from: &wire::CgroupChanged) -> Result<CgroupChanged, DecodeError> {
    let valid = from.valid;
    let change = match from.change {
        wire::CGROUP_MADE => CgroupChange::Made,
        wire::CGROUP_REMOVED => CgroupChange::Removed,
        wire::CGROUP_POPULATED => CgroupChange::Populated,
        wire::CGROUP_EMPTIED => CgroupChange::Emptied,
        value => return Err(DecodeError::Value { kind: "cgroup_changed", field: "change", value }),
    };
    let is_whole = valid & Valid::TRUNCATED == 0;
    let name = known(valid, Valid::PATH, from.name).filter(|_| is_whole).and_then(|name| text(&name));
    Ok(CgroupChanged {
        cgroup_id: from.cgroup_id,
        parent_id: above(from.cgroup_id, from.parent_id),
        change,
        actor: known(valid, Valid::ACTOR, task(from.actor)),
        actor_flags: known(valid, Valid::TASK_FLAGS, from.actor_flags),
        name,
    })
}

/// The id of the cgroup above it. The programs cannot pack the id of a v1 hierarchy's root, and send 0.
const fn above(cgroup_id: u64, parent_id: u64) -> Option<u64> {
    match (parent_id, wire::CgroupPair::of(cgroup_id).controller) {
        (0, Some(_)) => Some(CONTROLLER_ROOT),
        (0, None) => None,
        (id, _) => Some(id),
    }
}

/// Returns the text up to the NUL; `None` for the root, which has no name.
fn text(bytes: &[u8]) -> Option<Arc<str>> {
    let text = bytes.split(|&byte| byte == 0).next().filter(|text| !text.is_empty())?;
    Some(Arc::from(String::from_utf8_lossy(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_below_the_root_of_a_v1_hierarchy_has_a_parent() {
        let below_root = above(wire::CgroupPair::pack(0, 7), 0);
        assert_eq!(below_root.map(wire::CgroupPair::of).and_then(|pair| pair.controller), Some(1));
        assert_eq!((above(7, 0), above(7, 1)), (None, Some(1)));
    }
}
