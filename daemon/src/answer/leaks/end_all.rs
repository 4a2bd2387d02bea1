//! The command that ends every process of a fork bomb at once: a write to the `cgroup.kill` of a cgroup that only they are in, or a
//! signal to their process group. Both also reach processes that are forked meanwhile: `copy_process()` does not finish a fork
//! whose parent has a pending signal, and cgroup.kill kills processes that are forked into the cgroup during the walk.

use std::{collections::BTreeSet, path::Path};

use crate::{
    answer::LineageAt,
    host,
    lineage::{
        id::GroupKey,
        leak::{Leak, Leaking},
        leaks::Descent,
        record::Comm,
    },
    procfs::Procfs,
    verdict::{EndAll, facts::Named},
};

/// The most processes of a bomb whose group and cgroup are read.
const MEMBERS: usize = 1024;
/// The most other processes whose group and cgroup are read; with more, no command is known to be safe.
const OTHERS: usize = 4096;
/// The most process groups in one command.
const GROUPS: usize = 8;
/// The most other processes that are named.
const NAMED: usize = 3;

/// The processes of a fork bomb, and the others.
#[derive(Clone, Debug)]
pub(super) struct Bomb {
    culprit: GroupKey,
    members: Vec<GroupKey>,
    others: Vec<(GroupKey, Option<Comm>)>,
}

impl Bomb {
    /// Returns the processes of the bomb; `None` if the leak is another.
    pub(super) fn of(leak: &Leak, lineage_at: &LineageAt<'_>) -> Option<Self> {
        let Leaking::Storm(storm) = &leak.what else { return None };
        if !storm.spreads {
            return None;
        }
        let culprit = leak.culprit;
        let Descent { members, others } =
            lineage_at.lineage.descent_from(culprit, leak.bomb_born(), lineage_at.now);
        if others.len() > OTHERS {
            return None;
        }
        let name = |key: GroupKey| lineage_at.lineage.name_by_key(key);
        let others = others.into_iter().map(|key| (key, name(key))).collect();
        Some(Self { culprit, members: members.into_iter().take(MEMBERS).collect(), others })
    }

    /// Returns what ends all processes of the bomb; `None` if they share neither a cgroup of their own nor a few process groups.
    pub(super) fn end_all(&self, procfs: &Procfs) -> Option<EndAll> {
        if procfs.is_absent() {
            return None;
        }
        self.by_cgroup(procfs).or_else(|| self.by_group(procfs))
    }

    fn by_cgroup(&self, procfs: &Procfs) -> Option<EndAll> {
        let paths: BTreeSet<String> = self.members.iter().filter_map(|key| unified(procfs, *key)).collect();
        let path = paths.first().filter(|path| paths.len() == 1 && is_plain(path))?;
        let root = host::cgroup_mounts().unified?;
        // Since Linux 5.14.
        let file = root.join(path.trim_start_matches('/')).join("cgroup.kill");
        if !Path::exists(&file) {
            return None;
        }
        let is_in = |key: GroupKey| {
            let own = unified(procfs, key);
            own.is_some_and(|own| {
                own.strip_prefix(path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        // A cgroup that others share, such as that of a login, is not for this bomb.
        if self.others.iter().any(|(key, _)| is_in(*key)) {
            return None;
        }
        Some(EndAll {
            command: format!("echo 1 > {}", file.display()),
            reach: format!("every process of the cgroup {path}"),
            with_culprit: is_in(self.culprit),
            also: Vec::new(),
            also_count: 0,
        })
    }

    fn by_group(&self, procfs: &Procfs) -> Option<EndAll> {
        let groups: BTreeSet<u32> =
            self.members.iter().filter_map(|key| procfs.process_group(*key)).collect();
        // 1 would end every process, and 0 the group of the shell.
        if groups.is_empty() || groups.len() > GROUPS || groups.iter().any(|group| *group <= 1) {
            return None;
        }
        let is_in = |key: GroupKey| procfs.process_group(key).is_some_and(|group| groups.contains(&group));
        let also: Vec<Named> = self
            .others
            .iter()
            .filter(|(key, _)| is_in(*key))
            .map(|&(key, name)| Named { key, name: name.map(|name| name.bytes().to_vec()) })
            .collect();
        let list: Vec<String> = groups.iter().map(|group| format!("-{group}")).collect();
        let reach = if groups.len() == 1 {
            "every process of their process group"
        } else {
            "every process of their process groups"
        };
        Some(EndAll {
            // `kill -9 -PGID` of procps signals another group: its parser reads the first digit only.
            command: format!("kill -s KILL -- {}", list.join(" ")),
            reach: reach.into(),
            with_culprit: is_in(self.culprit),
            also_count: also.len(),
            also: also.into_iter().take(NAMED).collect(),
        })
    }
}

/// Returns the path of a process's cgroup in the v2 hierarchy.
fn unified(procfs: &Procfs, key: GroupKey) -> Option<String> {
    let text = String::from_utf8(procfs.cgroups(key.tgid).ok()?).ok()?;
    text.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
}

/// Whether a cgroup is not the root, is in the namespace of the reader, and its path needs no quotes in a shell.
fn is_plain(path: &str) -> bool {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-:@".contains(&byte);
    path.len() > 1 && path.bytes().all(is_safe) && path.split('/').all(|part| part != "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_cgroup_of_the_own_namespace_that_needs_no_quotes_is_killed() {
        assert!(is_plain("/user.slice/user-1000.slice/app-x@1.service"));
        for path in ["/", "", "/../other", "/a b", "/a$(b)", "/a;b", "/it's"] {
            assert!(!is_plain(path), "{path}");
        }
    }
}
