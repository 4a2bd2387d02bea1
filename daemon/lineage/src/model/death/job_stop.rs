//! The signal that stopped a group: a job control stop.

use crate::model::death::Sent;
use crate::model::flags::{SIGTSTP, SIGTTIN, SIGTTOU};
use crate::model::id::Ktime;
use crate::model::record::SignalInfo;

/// The last signal that can have stopped a group. Only the group's state shows whether it is stopped now: it can have a handler for
/// any of these signals but SIGSTOP, and its tracer can discard them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobStop {
    /// The signal: SIGSTOP, SIGTSTP, SIGTTIN or SIGTTOU. [`Sent::times`] counts those of the same sender, each after a SIGCONT.
    pub sent: Sent,
    /// Whether the group's leader leads its session, if that was read when the signal came.
    pub leads_session: Option<bool>,
    /// When a SIGCONT was sent after it.
    pub continued: Option<Ktime>,
}

/// Why a signal stops a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// A process sent it, which can be the group itself.
    Sent,
    /// The suspend key was pressed in its terminal.
    Key,
    /// A process of its process group read from its terminal while the group was in the background.
    BackgroundRead,
    /// A process of its process group wrote to its terminal, or set it, while the group was in the background.
    BackgroundWrite,
}

impl JobStop {
    /// Returns why the signal was sent.
    #[must_use]
    pub const fn reason(&self) -> StopReason {
        match (self.sent.signal, self.sent.info) {
            (SIGTSTP, SignalInfo::Kernel) => StopReason::Key,
            (SIGTTIN, SignalInfo::Kernel) => StopReason::BackgroundRead,
            (SIGTTOU, SignalInfo::Kernel) => StopReason::BackgroundWrite,
            _ => StopReason::Sent,
        }
    }
}
