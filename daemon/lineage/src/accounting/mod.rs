//! What ended tasks used of CPU time and memory, by the kernel's own accounting.
//!
//! | file | what |
//! |---|---|
//! | `account` | adds a task's figures to its group's |
//! | `awaiting_last_switch` | figures at a task's death, until its last switch brings the final ones |
//! | `rollup` | adds an ended group's figures to its parent's, and to those above it |
//! | `ended_totals` | sums over all ended tasks, by kind and by cgroup |

pub(crate) mod account;
pub(crate) mod awaiting_last_switch;
pub(crate) mod ended_totals;
pub(crate) mod rollup;

use self::awaiting_last_switch::AwaitingLastSwitch;
use self::ended_totals::EndedTotals;

/// What ended tasks used.
#[derive(Debug, Default)]
pub(crate) struct Accounting {
    /// Figures at the death of tasks whose last switch has not come yet.
    pub(crate) awaiting_last_switch: AwaitingLastSwitch,
    /// Sums over all ended tasks.
    pub(crate) ended: EndedTotals,
}
