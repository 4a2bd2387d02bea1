//! A vfork child that holds its parent, and what holds the child.

use lineage::id::Ktime;

use super::{
    facts::{Named, VforkChild},
    stopped,
};

/// The child in the texts of a verdict.
pub(super) struct Holder {
    /// The child and its state.
    pub(super) what: String,
    pub(super) remedy: String,
    /// The process that has to act.
    pub(super) responsible: Named,
}

pub(super) fn holder(child: &VforkChild, now: Ktime) -> Holder {
    let (named, pid) = (&child.named, child.named.key.tgid);
    let process = child.process.as_ref();
    let state = process.and_then(super::facts::ProcessFacts::common_state);
    let (what, remedy, responsible) = if let Some(frozen) =
        process.and_then(|process| process.frozen.as_ref())
    {
        (
            format!("{named}, whose cgroup {} is frozen", frozen.cgroup),
            format!("thaw it: {}", frozen.thaw),
            named,
        )
    } else if state == Some(b't') {
        let by = child.tracer.as_ref().map_or_else(|| "its tracer".into(), ToString::to_string);
        (
            format!("{named}, which is stopped by its tracer {by}"),
            format!(
                "{by} must continue the child or detach from it (in a debugger: continue, detach or quit); if the child ends, the parent continues too: kill -9 {pid}"
            ),
            child.tracer.as_ref().unwrap_or(named),
        )
    } else if let Some(process) = process.filter(|_| state == Some(b'T')) {
        let by = child.job_stop.as_deref();
        let stop = stopped::Stopped { process, pid: pid.0, by, now }.describe();
        (format!("{named}, which is {}", stop.how), format!("for that child: {}", stop.remedy), named)
    } else {
        let kill = process.map_or("kill", super::facts::ProcessFacts::kill_command);
        (
            format!("{named}, which has neither called exec nor ended"),
            format!(
                "find out what the child does: taskscope explain {pid}; if the child ends, the parent continues: {kill} {pid}"
            ),
            named,
        )
    };
    Holder { what, remedy, responsible: responsible.clone() }
}
