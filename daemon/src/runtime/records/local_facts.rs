//! Adds facts to records of signals, failed forks and the out-of-memory killer. They are read from /proc and the cgroup hierarchy
//! as soon as the record arrives, because they can change at any time.

mod fork_refused;

use self::fork_refused::ForkRefusals;
use crate::{
    cgroup::MemoryHierarchy,
    host,
    lineage::{
        Lineage,
        death::OomScope,
        flags::{SIGCONT, is_job_control_signal, is_stop_signal},
        id::{GroupKey, Ktime},
        record::{Fact, ForkFailures, OomVictim, Record, SignalInfo, SignalSent},
    },
    procfs::Procfs,
};

/// The most records per second for which files are read, so that a storm of signals does not keep the owner of the lineage busy.
const READS_A_SECOND: u32 = 200;

/// Nanoseconds per second.
const SECOND_NS: u64 = 1_000_000_000;

/// The budget of reads that is left in this second.
#[derive(Debug, Default)]
pub(in crate::runtime) struct LocalFacts {
    second: u64,
    reads: u32,
    forks: ForkRefusals,
}

impl LocalFacts {
    /// Adds facts to a record, if it lacks any.
    pub(in crate::runtime) fn complete(&mut self, record: &mut Record, lineage: &Lineage, procfs: &Procfs) {
        let at = record.at;
        match &mut record.fact {
            Fact::Signal(sent) if is_asked_to_stop(sent) && self.may_read(at) => {
                sent.disposition = procfs.disposition(sent.target.tgid, sent.signal);
            }
            Fact::Signal(sent) if may_orphan(sent) && self.may_read(at) => {
                sent.leads_session = procfs.leads_session(sent.target.tgid);
            }
            Fact::CloneFailed(failed) => self.forks.complete(at, failed, lineage, procfs),
            Fact::OomVictim(oom) if self.may_read(at) => add_memory(oom, procfs),
            _ => {}
        }
    }

    /// Forks of a process that failed in the last minute.
    pub(in crate::runtime) fn fork_failures(&self, key: GroupKey, now: Ktime) -> Option<ForkFailures> {
        self.forks.failures(key, now)
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

/// Whether the signal is a stop signal from another process.
fn is_asked_to_stop(sent: &SignalSent) -> bool {
    is_stop_signal(sent.signal)
        && sent.info != SignalInfo::Kernel
        && sent.sender.is_some_and(|sender| sender.tgid != sent.target.tgid)
}

/// Whether the session of the target must be read: it shows whether a stopped process gets SIGHUP because its process group became
/// orphaned or because of its terminal.
fn may_orphan(sent: &SignalSent) -> bool {
    is_job_control_signal(sent.signal) && (sent.signal != SIGCONT || sent.info == SignalInfo::Kernel)
}

fn add_memory(oom: &mut OomVictim, procfs: &Procfs) {
    let Some(limit) = &mut oom.limit else { return };
    match limit.scope {
        OomScope::Host => limit.host = procfs.memory(),
        OomScope::Cgroup => {
            let mounts = host::text("/proc/self/mounts").unwrap_or_default();
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
