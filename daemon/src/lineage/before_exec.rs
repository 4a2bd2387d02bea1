//! What a process did before its last exec, when it ran another program.

use std::sync::Arc;

use super::Lineage;
use super::arena::Ix;
use super::group::Group;
use super::id::Ktime;
use super::paths::PathName;

/// A parent's account at its last exec. Only kept for a process that had children then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BeforeExec {
    /// Path of the program that it ran before.
    pub executable: Option<Arc<PathName>>,
    /// When it began to run that program; `None` where that was not seen.
    pub since: Option<Ktime>,
    /// Children it had forked by then, as far as seen.
    pub forked: u64,
    /// Children its waits had taken by then.
    pub reaped: u64,
}

impl Lineage {
    /// Keeps what `group` did so far, right before an exec is recorded in it.
    pub(super) fn keep_before_exec(&mut self, group: Ix<Group>) {
        let members = &self.groups[group];
        let Some(account) = members.debt else { return };
        let debt = self.debts[account].debt;
        let since = if members.execs > 0 { Some(members.exec_at) } else { members.key().start };
        let before = BeforeExec {
            executable: members.executable.clone(),
            since,
            forked: debt.forked,
            reaped: debt.reaped,
        };
        self.rare(group).before_exec = Some(Box::new(before));
    }
}
