//! Whether a process that has ended descended from another one.

use crate::{
    answer::LineageAt,
    lineage::{death::GroupDeath, id::GroupKey},
};

/// The most generations that are followed.
const MOST: usize = 64;

/// Whether one of these pids is that of the process or of an ancestor, original or after a reparenting; true if `pids` is empty.
pub(super) fn is_below_any(death: &GroupDeath, pids: &[u32], lineage_at: &LineageAt<'_>) -> bool {
    if pids.is_empty() {
        return true;
    }
    let is_one = |key: GroupKey| pids.contains(&key.tgid.0);
    let first_parent =
        lineage_at.lineage.life_by_key(death.key, lineage_at.now).and_then(|life| life.first_parent);
    is_one(death.key)
        || [death.parent, first_parent].into_iter().flatten().any(|mut key| {
            for _ in 0..MOST {
                if is_one(key) {
                    return true;
                }
                let life = lineage_at.lineage.life_by_key(key, lineage_at.now);
                match life.and_then(|life| life.first_parent.or(life.parent)) {
                    Some(parent) if parent != key && parent.tgid.0 != 0 => key = parent,
                    _ => return false,
                }
            }
            false
        })
}
