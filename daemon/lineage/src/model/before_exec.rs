//! What a process did before its last exec, when it ran another program.

use std::sync::Arc;

use crate::model::id::Ktime;
use crate::model::path_name::PathName;

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
