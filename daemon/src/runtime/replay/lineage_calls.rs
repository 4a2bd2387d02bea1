//! The calls of a recording that concern the lineage alone.

use crate::{
    lineage::{Effect, Lineage},
    recording::Entry,
};

/// Repeats the call that an entry recorded, if it concerns only the lineage. Records and polls are left to the caller, which counts
/// them.
pub fn change_lineage(lineage: &mut Lineage, entry: &Entry, effects: &mut Vec<Effect>) {
    match entry {
        Entry::SnapshotBegun(at) => lineage.begin_snapshot(*at),
        Entry::SnapshotEnded(at) => lineage.end_snapshot(*at, effects),
        Entry::SnapshotAbandoned => lineage.abandon_snapshot(),
        Entry::ShownUnchanged(key) => lineage.show_unchanged(*key),
        Entry::Tick { now, flagged } => {
            let most = flagged.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
            lineage.tick_flagging(*now, most, effects);
            // A replay does not use these, and they would use up memory.
            drop(lineage.take_shares());
            drop(lineage.take_ended_stops());
        }
        Entry::SignalsDoubted(at) => lineage.doubt_signals(*at),
        Entry::ZombiesDoubted(at) => lineage.doubt_zombies(*at),
        Entry::ZombieConfirmed(key) => lineage.confirm_zombie(*key),
        Entry::UnconfirmedEnded(key, at) => drop(lineage.end_unconfirmed_zombie(*key, *at, effects)),
        Entry::ReapedEnded(key, at) => drop(lineage.end_reaped_zombie(*key, *at, effects)),
        Entry::Executable(key, path) => lineage.learn_executable(*key, path),
        Entry::Arguments(key, arguments) => lineage.learn_arguments(*key, arguments.clone()),
        Entry::Hidden(groups) => lineage.set_hidden(groups.iter().copied()),
        Entry::Config(config) => {
            lineage.set_zombie_after(config.zombie_after);
            lineage.set_blocked_after(config.blocked_after);
            lineage.set_dead_lives(config.dead_lives);
            lineage.set_leaks(config.leaks);
        }
        Entry::Record { .. }
        | Entry::Asleep(..)
        | Entry::Overdue(..)
        | Entry::Session(..)
        | Entry::LeaksPolled(_)
        | Entry::Header(_)
        | Entry::Delivered(_)
        | Entry::Wall(_)
        | Entry::Cgroup(..)
        | Entry::Lost(..)
        | Entry::Counters(_)
        | Entry::End(..) => {}
    }
}
