//! Facts that records of signals, of failed forks and of the out-of-memory killer lack, read from /proc and the cgroup hierarchy when a record
//! comes: a moment later they are gone.

mod fork_refused;

use std::fs;

use self::fork_refused::ForkRefusals;
use crate::{
    cgroup::MemoryHierarchy,
    lineage::{
        Lineage,
        death::OomScope,
        flags::is_stop_signal,
        id::Ktime,
        record::{Fact, OomVictim, Record, SignalInfo, SignalSent},
    },
    procfs::Procfs,
};

/// Records a second for which something is read: a storm of signals may not keep the owner busy with files.
const READS_A_SECOND: u32 = 200;

/// Ns in a second.
const SECOND_NS: u64 = 1_000_000_000;

/// How much may still be read.
#[derive(Debug, Default)]
pub(super) struct LocalFacts {
    second: u64,
    reads: u32,
    forks: ForkRefusals,
}

impl LocalFacts {
    /// Adds what it can to a record.
    pub(super) fn complete(&mut self, record: &mut Record, lineage: &Lineage, procfs: &Procfs) {
        let at = record.at;
        match &mut record.fact {
            Fact::Signal(sent) if is_asked_to_stop(sent) && self.may_read(at) => {
                sent.disposition = procfs.disposition(sent.target.tgid, sent.signal);
            }
            Fact::CloneFailed(failed) => self.forks.complete(at, failed, lineage, procfs),
            Fact::OomVictim(oom) if self.may_read(at) => add_memory(oom, procfs),
            _ => {}
        }
    }

    fn may_read(&mut self, at: Ktime) -> bool {
        let second = at.0 / SECOND_NS;
        if second != self.second {
            (self.second, self.reads) = (second, 0);
        }
        self.reads = self.reads.saturating_add(1);
        self.reads <= READS_A_SECOND
    }
}

/// Another process asks it to end.
fn is_asked_to_stop(sent: &SignalSent) -> bool {
    is_stop_signal(sent.signal)
        && sent.info != SignalInfo::Kernel
        && sent.sender.is_some_and(|sender| sender.tgid != sent.target.tgid)
}

fn add_memory(oom: &mut OomVictim, procfs: &Procfs) {
    let Some(limit) = &mut oom.limit else { return };
    match limit.scope {
        OomScope::Host => limit.host = procfs.memory(),
        OomScope::Cgroup => {
            let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
            let hierarchy = MemoryHierarchy::of(&mounts);
            limit.cgroup = limit.cgroup_id.and_then(|id| hierarchy?.find(id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_is_read_for_so_often_and_again_in_the_next_second() {
        let mut facts = LocalFacts::default();
        let read = (0..1000).filter(|_| facts.may_read(Ktime(5 * SECOND_NS))).count();
        assert_eq!(read, READS_A_SECOND as usize);
        assert!(facts.may_read(Ktime(6 * SECOND_NS)));
    }
}
