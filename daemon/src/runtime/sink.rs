//! Where effects go.

use std::{sync::Arc, time::Duration};

use super::LossPlace;
use crate::lineage::{Brief, Share, WantedActions, death::Stop, effect::Effect, scope::CgroupName};

/// The default of [`EventSink::max_batch_delay`]. Under load, an event nearly always reaches its reader within 1.2 ms. While the host is
/// not busy, the delay is three times as long: the first event reaches its reader at once, the next within 3 ms.
pub const MAX_BATCH_DELAY: Duration = Duration::from_micros(850);

/// The batch delay while no reader needs events immediately. It is longer than the time between two ticks, and each tick empties the ring.
/// Between ticks, only questions, urgent records and a ring that fills up wake up the pipeline. If urgent records cannot be selected, the
/// delay is 10 ms.
pub const MAX_BATCH_DELAY_UNREAD: Duration = Duration::from_secs(1);

/// Takes effects: the daemon's counters and readers, or the lines of a command.
pub trait EventSink {
    /// Takes a batch of effects, in order. The sink removes the effects that it keeps; the caller drops the others.
    fn take(&mut self, effects: &mut Vec<Effect>);
    /// Whether the lineage builds all effects. If not, it builds those of the pipeline's own processes and of
    /// [`EventSink::wanted_actions`], and briefs in place of all others.
    fn wants_effects(&self) -> bool {
        true
    }
    /// Returns the actions whose effects are built in any case.
    fn wanted_actions(&self) -> WantedActions {
        WantedActions::default()
    }
    /// Whether this sink only keeps the effects until there is a real one.
    fn is_kept(&self) -> bool {
        false
    }
    /// Takes the briefs that replaced effects, in order.
    fn take_briefs(&mut self, _briefs: &[Brief]) {}
    /// Takes the number of records that were lost at `place` before they could be applied.
    fn lost(&mut self, place: LossPlace, count: u64);
    /// Returns the delay between a poll of the ring that found records and the next poll, so that under load one wake-up is enough for
    /// many records. A long delay ends early for urgent records, and when the ring fills up.
    fn max_batch_delay(&self) -> Duration {
        MAX_BATCH_DELAY
    }
    /// Takes the usage of tasks that ended since the last call, by cgroup id; `None` is an unknown cgroup. The pipeline calls this
    /// four times a second, also if nothing ended, and before each question, so that a scrape reads and changes nothing.
    fn take_usage(&mut self, _shares: &[(Option<u64>, Share)]) {}
    /// Takes the names of cgroups that were created since the last call, if any; called before the effects of the tasks in them are taken.
    fn take_cgroup_names(&mut self, _names: &[CgroupName]) {}
    /// Takes the units and containers that have stopped since the last call, if any have.
    fn take_stops(&mut self, _stops: &[Arc<Stop>]) {}
}
