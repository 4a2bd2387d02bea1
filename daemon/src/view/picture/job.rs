//! The processes of a job as bars of a timeline.

use super::bars::{Bar, MOST, Timeline};
use crate::job::{Member, Members, Taken};

impl Timeline {
    /// Returns the lives of a job's processes until `until`, ns of `CLOCK_BOOTTIME`. `wall_ns` is the wall clock at boottime 0.
    #[must_use]
    pub fn of_job(members: &Members, until: u64, wall_ns: i128) -> Self {
        let all = members.all();
        let from = members.command().map_or(until, |command| command.start_ns);
        let bars = all.iter().take(MOST).map(bar).collect();
        Self { bars, from, until, wall_ns, left_out: all.len().saturating_sub(MOST) }
    }
}

fn bar(member: &Member) -> Bar {
    let ended = member.ended_ns();
    let release = match member.taken {
        Some(Taken::Reaped { at_ns, .. }) => Some(at_ns),
        Some(Taken::Autoreaped) => ended,
        None => None,
    };
    let status = member.ended.as_ref().and_then(|ended| ended.status);
    Bar {
        pid: member.pid,
        name: member.name().into(),
        start: member.start_ns,
        exit: ended,
        release,
        exec: member.stages.get(1..).and_then(|execs| execs.last()).map(|stage| stage.at_ns),
        threads: member.threads,
        // Members are in the order of their forks, so a forker that is drawn is before its child.
        parent: member.forked_by,
        new_parent: member.reparented.as_ref().map(|&(at, _)| (None, at)),
        is_killed: status.is_some_and(|status| status & 0x7f != 0),
        sender: None,
    }
}
