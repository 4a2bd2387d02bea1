//! A vforked child that holds its parent, and what holds that child.

use super::facts::{Named, VforkChild};

/// In the words of a verdict.
pub(super) struct Holder {
    /// The child, and what it is in.
    pub(super) what: String,
    pub(super) remedy: String,
    /// Who has to act.
    pub(super) responsible: Named,
}

pub(super) fn holder(child: &VforkChild) -> Holder {
    let (named, pid) = (&child.named, child.named.key.tgid);
    let process = child.process.as_ref();
    let state = process.and_then(super::facts::ProcessFacts::common_state);
    let (what, remedy, responsible) = if let Some(frozen) =
        process.and_then(|process| process.frozen.as_ref())
    {
        (
            format!("{named}, which is frozen with its cgroup {}", frozen.cgroup),
            format!("thaw it: {}", frozen.thaw),
            named,
        )
    } else if state == Some(b't') {
        let by = child.tracer.as_ref().map_or_else(|| "its tracer".into(), ToString::to_string);
        (
            format!("{named}, which is stopped by its tracer {by}"),
            format!(
                "let {by} continue the child or detach from it (for a debugger: continue, detach or quit); ending the child frees the parent too: kill -9 {pid}"
            ),
            child.tracer.as_ref().unwrap_or(named),
        )
    } else if state == Some(b'T') {
        (
            format!("{named}, which is stopped by a signal"),
            format!("let the child go on: kill -CONT {pid}"),
            named,
        )
    } else {
        let kill = process.map_or("kill", super::facts::ProcessFacts::kill_command);
        (
            format!("{named}, which has neither execed nor ended"),
            format!("look at the child: taskscope explain {pid}; ending it frees the parent: {kill} {pid}"),
            named,
        )
    };
    Holder { what, remedy, responsible: responsible.clone() }
}
