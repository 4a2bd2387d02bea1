//! Programs and arguments of processes that are older than the first record; the caller reads them from /proc.

use std::sync::Arc;

use crate::model::id::GroupKey;
use crate::{Arguments, Lineage};

impl Lineage {
    /// Returns the processes whose program is not known, kernel threads included.
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
    /// Whether arguments are reported.
    #[must_use]
    pub const fn reports_arguments(&self) -> bool {
        self.config.exec_args
    }

    /// Stores the arguments that /proc shows of a process. A process whose exec was seen has its arguments from that exec.
    pub fn learn_arguments(&mut self, key: GroupKey, arguments: Arguments) {
        let leader = self.store.find_current(key.tgid.leader()).filter(|&ix| self.store.is_leader(ix));
        let Some(group) = leader.and_then(|ix| self.store[ix].group()) else { return };
        let members = &self.store[group];
        if self.config.exec_args && members.key() == key && !members.is_dead() && members.execs == 0 {
            self.older_arguments.insert(key, Arc::new(arguments));
        }
    }

    pub(crate) fn older_arguments_of(&self, key: GroupKey) -> Option<Arc<Arguments>> {
        if self.older_arguments.is_empty() { None } else { self.older_arguments.get(&key).cloned() }
    }

    /// Drops the stored arguments of a process that has called execve(2) or has ended.
    pub(crate) fn forget_arguments(&mut self, key: GroupKey) {
        if !self.older_arguments.is_empty() {
            self.older_arguments.remove(&key);
        }
    }
}
