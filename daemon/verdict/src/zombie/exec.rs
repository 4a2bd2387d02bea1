//! A child of the program that the parent ran before an exec.

use super::Case;
use crate::{Certainty, Code, Verdict, duration};
use lineage::flags::PF_FORKNOEXEC;

/// Names of shells, which fork helpers and then call exec; used if no exec was seen.
const SHELLS: [&[u8]; 8] = [b"sh", b"bash", b"dash", b"ash", b"zsh", b"ksh", b"mksh", b"busybox"];

/// Evidence that the parent forked the child before its last exec.
struct Boundary {
    /// The program that forked it, if known.
    forker: Option<String>,
    certainty: Certainty,
    evidence: String,
}

pub(super) fn forked_before_exec(case: &Case<'_>) -> Option<Verdict> {
    // An orphan had another parent before, so an exec of this one is not the cause.
    if case.life.first_parent.is_some() || case.life.reparented > 0 {
        return None;
    }
    let Boundary { forker, certainty, evidence } = by_exec(case).or_else(|| by_name(case))?;
    let now_runs = program(case);
    let ran = forker.as_deref().unwrap_or("another program");
    let pid = case.pid();
    let (by, while_it) = match case.life.creator {
        Some(creator) => (format!("created as a child of pid {pid} by pid {}", creator.tgid), "that parent"),
        None => (format!("forked by this same parent, pid {pid}"), "that"),
    };
    let summary = format!(
        "it was {by}, while {while_it} ran {ran}, before it called exec of {now_runs}: the program that runs there now did not fork it"
    );
    let launcher = forker.as_deref().unwrap_or("the program that execs");
    let mut remedy = format!(
        "change the program that called exec, not {now_runs}: {launcher} must wait for its children before its exec, or start them so that init becomes their parent (in a shell: `( helper & )`)"
    );
    if case.parent.is_some_and(|parent| parent.init_of_level().is_some_and(|level| level > 0)) {
        remedy.push_str("; an init in front does not help, because the child stays a child of this process");
    } else if let Some(way_out) = case.way_out() {
        remedy.push_str("; ");
        remedy.push_str(&way_out);
    }
    let verdict = Verdict::new(Code::ForkedBeforeExec, certainty, summary)
        .since(evidence)
        .since("exec(2) keeps the children of a process; the new program has to wait for them")
        .since_all(case.never())
        .since_all(case.debts())
        .remedy(remedy);
    Some(case.blame(verdict))
}

/// Returns the evidence if the exec was seen and the child is older than it.
fn by_exec(case: &Case<'_>) -> Option<Boundary> {
    let (start, exec_at) = (case.life.key.start?, case.exec_at()?);
    if start >= exec_at {
        return None;
    }
    let before = case.parent?.life.before_exec.as_ref();
    let path = before
        .filter(|before| before.since.is_some_and(|since| since <= start))
        .and_then(|before| before.executable.as_ref())
        .map(|path| base_name(path.bytes()));
    Some(Boundary {
        forker: path.or_else(|| own_name(case)),
        certainty: Certainty::Certain,
        evidence: format!(
            "it was forked {} before the last exec of {}",
            duration(exec_at.since(start)),
            case.who()
        ),
    })
}

/// Returns the evidence if no exec was seen: a child that never called execve(2) has the comm that its parent had at the fork.
/// Only the name of a shell is enough, because other programs rename their children.
fn by_name(case: &Case<'_>) -> Option<Boundary> {
    if case.exec_at().is_some() || case.is_watched_from_its_beginning() {
        return None;
    }
    // An init adopts orphans of all shells.
    if case.parent?.init_of_level().is_some() {
        return None;
    }
    shell_that_never_execed(case).map(|own| Boundary {
        certainty: Certainty::Likely,
        evidence: format!(
            "it never called exec and its name is {own}, but its parent runs {}",
            program(case)
        ),
        forker: Some(own),
    })
}

/// Returns the child's comm, if it is the name of a shell, its parent has another comm, and it never called execve(2).
pub(super) fn shell_that_never_execed(case: &Case<'_>) -> Option<String> {
    let own = own_name(case)?;
    let parent = case.parent?.life.name?;
    let is_shell = |name: &[u8]| SHELLS.contains(&name);
    (is_shell(own.as_bytes()) && !is_shell(parent.bytes())).then_some(own)
}

/// Returns the child's comm, if it never called execve(2).
fn own_name(case: &Case<'_>) -> Option<String> {
    let never_execed = case.life.execs == 0 && case.life.flags? & PF_FORKNOEXEC != 0;
    let name = case.life.name.filter(|_| never_execed && case.life.renames == 0)?;
    Some(String::from_utf8_lossy(name.bytes()).into_owned())
}

/// Returns the program that the parent runs now.
fn program(case: &Case<'_>) -> String {
    let parent = case.parent.map(|parent| &parent.life);
    let seen = parent.and_then(|life| life.executable.as_ref()).map(|path| base_name(path.bytes()));
    // A daemon has seen the exec; a snapshot has the same path from /proc.
    let found = || {
        let path = case.process()?.executable.as_deref()?;
        Some(base_name(path))
    };
    let path = seen.or_else(found);
    let name = || Some(String::from_utf8_lossy(parent?.name?.bytes()).into_owned());
    path.or_else(name).unwrap_or_else(|| "another program".into())
}

fn base_name(path: &[u8]) -> String {
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    String::from_utf8_lossy(name).into_owned()
}
