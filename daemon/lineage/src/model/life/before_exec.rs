//! What a process did before its last exec, when it ran another program.

use std::sync::Arc;

use crate::model::id::Ktime;
use crate::model::path_name::PathName;

/// A parent's counts of children at its last exec. Kept only for a process that had children then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BeforeExec {
    /// Path of the program that it ran before.
    pub executable: Option<Arc<PathName>>,
    /// When it began to run that program; `None` if no record showed it.
    pub since: Option<Ktime>,
    /// Children that it had forked by then and that records showed.
    pub forked: u64,
    /// Children that its wait(2) calls had reaped by then.
    pub reaped: u64,
}
