//! The session of a process, and whether the process is meant to outlive it.

use super::{Procfs, read, stat::Stat, stat::end_of_comm};
use crate::lineage::{
    id::{GroupKey, Tgid},
    leaks::SessionFacts,
    record::Disposition,
};

const SIGHUP: i32 = 1;

impl Procfs {
    /// Returns the session of a process, and its disposition of SIGHUP; `None` if it cannot be read, or if it is another process.
    #[must_use]
    pub fn session(&self, of: GroupKey) -> Option<SessionFacts> {
        let text = read(&self.root.join(format!("{}/stat", of.tgid))).ok()?;
        let stat = Stat::parse(&text).ok()?;
        if !of.start.is_none_or(|start| self.began(&stat, start)) {
            return None;
        }
        let ignores_hangup = self.disposition(of.tgid, SIGHUP)? == Disposition::Ignored;
        Some(SessionFacts { session: session(&text)?, ignores_hangup })
    }
}

/// Field 6 of /proc/PID/stat.
fn session(stat: &[u8]) -> Option<Tgid> {
    let rest = stat.get(end_of_comm(stat)? + 1..)?;
    let fields = std::str::from_utf8(rest).ok()?.split_ascii_whitespace();
    fields.skip(3).map(str::parse).next()?.ok().map(Tgid)
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
    }
}
