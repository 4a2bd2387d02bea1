//! Shows that records arrive while no process can be created: the daemon's main thread sets its comm to the value that it has already.
//!
//! The kernel calls the tracepoint `task_rename` also if the comm does not change (`__set_task_comm()` in fs/exec.c), and the
//! record goes the way of every other. It shows that programs run and records arrive, not that every hook is attached.

use std::io;

use rustix::thread;

use crate::lineage::{
    effect::{Action, Effect, Provenance},
    id::{Ktime, Tgid},
};

/// The probes of one daemon.
#[derive(Debug)]
pub(super) struct RenameProbe {
    this: Tgid,
    /// Probes sent whose record was not seen yet.
    pending: u32,
    /// The time of the last rename whose record was seen.
    pub(super) seen: Option<Ktime>,
}

impl RenameProbe {
    pub(in crate::runtime) fn new() -> Self {
        Self { this: Tgid(std::process::id()), pending: 0, seen: None }
    }

    /// Sets the calling thread's comm to the comm that it has.
    pub(super) fn send(&mut self) -> io::Result<()> {
        thread::set_name(&thread::name()?)?;
        self.pending += 1;
        Ok(())
    }

    /// Removes the events of probes from `effects`: no sink sees them.
    pub(super) fn filter(&mut self, effects: &mut Vec<Effect>) {
        if self.pending == 0 {
            return;
        }
        effects.retain(|effect| {
            let Action::Renamed { old, new } = effect.action else { return true };
            let is_probe = self.pending > 0
                && old == new
                && effect.process.key.tgid == self.this
                && effect.provenance == Provenance::Observed;
            if is_probe {
                self.pending -= 1;
                self.seen = Some(effect.at);
            }
            !is_probe
        });
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_probe_leaves_the_comm_as_it_is() {
        let name = || fs::read_to_string("/proc/thread-self/comm").unwrap();
        let before = name();
        let mut probe = RenameProbe::new();
        probe.send().unwrap();
        assert_eq!((name(), probe.pending, probe.seen), (before, 1, None));
    }
}
