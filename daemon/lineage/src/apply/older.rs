//! What only the outside knows of processes that were there before records came: their programs.

use crate::Lineage;
use crate::model::id::GroupKey;

impl Lineage {
    /// Processes of which it is not known what they run, kernel threads among them.
    pub fn without_executable(&self) -> impl Iterator<Item = GroupKey> {
        self.groups().filter(|group| group.executable().is_none()).map(|group| group.key())
    }

    /// Takes the path of the program that a process was seen to run. What an exec reported is not overwritten.
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
