//! Records of the lives of cgroups.

use std::sync::Arc;

use probe_common::{self as wire, Valid};

use super::{DecodeError, known, task};
use crate::lineage::scope::{CgroupChange, CgroupChanged};

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
        parent_id: (from.parent_id != 0).then_some(from.parent_id),
        change,
        actor: known(valid, Valid::ACTOR, task(from.actor)),
        actor_flags: known(valid, Valid::TASK_FLAGS, from.actor_flags),
        name,
    })
}

/// Up to the NUL; `None` for the root, which has no name.
fn text(bytes: &[u8]) -> Option<Arc<str>> {
    let text = bytes.split(|&byte| byte == 0).next().filter(|text| !text.is_empty())?;
    Some(Arc::from(String::from_utf8_lossy(text)))
}
