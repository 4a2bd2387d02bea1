//! Programs of processes that are older than the first record; the caller reads them from /proc.

use crate::Lineage;
use crate::model::id::GroupKey;

impl Lineage {
    /// Processes whose program is not known, kernel threads included.
    pub fn without_executable(&self) -> impl Iterator<Item = GroupKey> {
        self.groups().filter(|group| group.executable().is_none()).map(|group| group.key())
    }

    /// Stores the path of the program that a process runs. A path that an exec reported is not overwritten.
    pub fn learn_executable(&mut self, key: GroupKey, path: &[u8]) {
        let leader = self.store.find_current(key.tgid.leader()).filter(|&ix| self.store.is_leader(ix));
        let Some(group) = leader.and_then(|ix| self.store[ix].group()) else { return };
        let members = &self.store[group];
        if members.key() != key || members.is_dead() || members.executable.is_some() || members.execs > 0 {
            return;
        }
        let path = self.store.share_path(path);
        self.store[group].executable = Some(path);
    }
}
