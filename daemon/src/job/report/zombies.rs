//! Children that their parents left unreaped.

use std::collections::HashMap;

use crate::job::{
    members::{Member, Members, Taken},
    report::{ZombieParent, Zombies},
};

/// Returns the zombies that lasted for `after_ns` or longer, are still there at the end, or whose parent ended without waiting.
pub(in crate::job) fn zombies(members: &Members, after_ns: u64, end_ns: u64) -> Zombies {
    let mut zombies = Zombies::default();
    let mut parents: HashMap<usize, ZombieParent> = HashMap::new();
    for member in &members.all {
        let (Some(ended), Some(forker)) = (member.ended_ns(), member.forked_by) else { continue };
        let left_behind = was_left_behind(member, ended);
        let lasted = match member.taken {
            Some(Taken::Autoreaped) => continue,
            // An orphan's end belongs to its new parent.
            _ if member.reparented.is_some() && !left_behind => continue,
            Some(Taken::Reaped { zombie_ns, .. }) => zombie_ns,
            None if member.reparented.is_some() => continue,
            None => end_ns.saturating_sub(ended),
        };
        let is_left = member.taken.is_none();
        if !is_left && lasted < after_ns && !left_behind {
            continue;
        }
        zombies.count += 1;
        zombies.left += u64::from(is_left);
        let parent = parents.entry(forker).or_default();
        parent.zombies += 1;
        parent.longest_ns = parent.longest_ns.max(lasted);
    }
    zombies.parents = parents
        .into_iter()
        .filter_map(|(at, parent)| {
            let by = members.all.get(at)?;
            Some(ZombieParent { pid: by.pid, name: by.name().into(), ..parent })
        })
        .collect();
    zombies.parents.sort_by(|a, b| b.zombies.cmp(&a.zombies).then(a.pid.cmp(&b.pid)));
    zombies
}

/// Whether it was a zombie already when its parent ended.
fn was_left_behind(member: &Member, ended: u64) -> bool {
    member.reparented.as_ref().is_some_and(|&(at, _)| at > ended)
}
