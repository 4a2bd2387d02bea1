//! The session and the process group of a process, and whether the process is meant to outlive its session.

use super::{Procfs, read, stat::Stat, stat::end_of_comm};
use crate::lineage::{
    flags::SIGHUP,
    id::{GroupKey, Tgid},
    leaks::SessionFacts,
    record::Disposition,
};

impl Procfs {
    /// Returns the session of a process, and its disposition of SIGHUP; `None` if it cannot be read, or if it is another process.
    #[must_use]
    pub fn session(&self, of: GroupKey) -> Option<SessionFacts> {
        let text = self.stat_of(of)?;
        let ignores_hangup = self.disposition(of.tgid, SIGHUP)? == Disposition::Ignored;
        Some(SessionFacts { session: session(&text)?, ignores_hangup })
    }

    /// Whether a process leads its session; `None` if it cannot be read.
    #[must_use]
    pub fn leads_session(&self, tgid: Tgid) -> Option<bool> {
        let text = self.stat_of(GroupKey { tgid, start: None })?;
        Some(session(&text)? == tgid)
    }

    /// Returns the process group of a process; `None` if it cannot be read, or if it is another process.
    #[must_use]
    pub fn process_group(&self, of: GroupKey) -> Option<u32> {
        after_comm(&self.stat_of(of)?, 2)
    }

    fn stat_of(&self, of: GroupKey) -> Option<Vec<u8>> {
        let text = read(&self.root.join(format!("{}/stat", of.tgid))).ok()?;
        let stat = Stat::parse(&text).ok()?;
        of.start.is_none_or(|start| self.began(&stat, start)).then_some(text)
    }
}

/// Field 6 of /proc/PID/stat.
fn session(stat: &[u8]) -> Option<Tgid> {
    after_comm(stat, 3).map(Tgid)
}

/// A field of /proc/PID/stat, counted from the state after the comm.
fn after_comm(stat: &[u8], index: usize) -> Option<u32> {
    let rest = stat.get(end_of_comm(stat)? + 1..)?;
    let fields = std::str::from_utf8(rest).ok()?.split_ascii_whitespace();
    fields.skip(index).map(str::parse).next()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_is_the_sixth_field_whatever_the_comm_holds() {
        assert_eq!(session(b"4711 (a) (b) S 1 2 3 4 -1 5\n"), Some(Tgid(3)));
        assert_eq!(session(b"4711 (a) S 1 2"), None);
        assert_eq!(session(b""), None);
    }

    #[test]
    fn the_own_session_is_that_of_getsid() {
        let procfs = Procfs::default();
        let own = GroupKey { tgid: Tgid(std::process::id()), start: None };
        let session = procfs.session(own).map(|facts| facts.session.0);
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let shown = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(3)?.parse().ok());
        assert!(session.is_some() && session == shown, "{session:?} {shown:?}");
        // SAFETY: no arguments.
        let group = unsafe { libc::getpgrp() };
        assert_eq!(procfs.process_group(own), u32::try_from(group).ok());
    }
}
