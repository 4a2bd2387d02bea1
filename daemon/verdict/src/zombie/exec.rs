//! A child of the program that its parent ran before an exec.

use super::Case;
use crate::{Certainty, Code, Verdict, duration};
use lineage::flags::PF_FORKNOEXEC;
use lineage::id::Ktime;

/// Shells fork helpers and exec over them. Their names, where only names tell.
const SHELLS: [&[u8]; 8] = [b"sh", b"bash", b"dash", b"ash", b"zsh", b"ksh", b"mksh", b"busybox"];

pub(super) fn forked_before_exec(case: &Case<'_>) -> Option<Verdict> {
    // An orphan was another's child before: exec has nothing to do with it.
    if case.life.first_parent.is_some() || case.life.reparented > 0 {
        return None;
    }
    let known = known(case);
    let before = match known {
        Some((_, before)) => before,
        None => by_name(case)?,
    };
    let (who, now_runs) = (case.who(), program(case));
    let ran = before.clone().unwrap_or_else(|| "another program".into());
    let certainty = if known_at(case).is_some() { Certainty::Certain } else { Certainty::Likely };
    let summary = format!(
        "it was forked by this same parent, pid {}, while that ran {ran}, before it execed {now_runs}: the program that runs there now did not fork it",
        case.pid()
    );
    let changer = before.unwrap_or_else(|| "the program that execs".into());
    let mut remedy = format!(
        "change what execed {now_runs}, not {now_runs}: {changer} must wait for its children before it execs, or start them so that they are not its own (in a shell: `( helper & )`), and init reaps them"
    );
    if case.parent.is_some_and(|parent| parent.init_of_level().is_some_and(|level| level > 0)) {
        remedy.push_str("; an init in front does not help, as the child stays this process's");
    } else if let Some(way_out) = case.way_out() {
        remedy.push_str("; ");
        remedy.push_str(&way_out);
    }
    let evidence = match known_at(case) {
        Some((start, exec_at)) => {
            format!("it was forked {} before the last exec of {who}", duration(exec_at.since(start)))
        }
        None => format!("it never execed, and is called {ran}, while its parent runs {now_runs}"),
    };
    let verdict = Verdict::new(Code::ForkedBeforeExec, certainty, summary)
        .since(evidence)
        .since("exec(2) keeps the children of a process; the new program has to wait for them")
        .since_all(case.never())
        .since_all(case.debts())
        .remedy(remedy);
    Some(case.blame(verdict))
}

/// When the child was forked, and the exec of its parent after that.
fn known_at(case: &Case<'_>) -> Option<(Ktime, Ktime)> {
    let (start, exec_at) = (case.life.key.start?, case.exec_at()?);
    (start < exec_at).then_some((start, exec_at))
}

/// By the exec that was seen: when, and which program the parent ran at the fork, where that is known.
fn known(case: &Case<'_>) -> Option<(Ktime, Option<String>)> {
    let (start, exec_at) = known_at(case)?;
    let before = case.parent?.life.before_exec.as_ref();
    let path = before
        .filter(|before| before.since.is_some_and(|since| since <= start))
        .and_then(|before| before.executable.as_ref())
        .map(|path| base_name(path.bytes()));
    Some((exec_at, path.or_else(|| own_name(case))))
}

/// By its name, where no exec was seen: a child that never execed is called as its parent was. Only a shell's name says enough:
/// other programs rename their children.
fn by_name(case: &Case<'_>) -> Option<Option<String>> {
    if case.exec_at().is_some() || case.is_watched_from_its_beginning() {
        return None;
    }
    let own = own_name(case)?;
    let parent = case.parent?.life.name?;
    let is_shell = |name: &[u8]| SHELLS.contains(&name);
    (is_shell(own.as_bytes()) && !is_shell(parent.bytes())).then_some(Some(own))
}

/// The child's name, if it never execed.
fn own_name(case: &Case<'_>) -> Option<String> {
    let never_execed = case.life.execs == 0 && case.life.flags? & PF_FORKNOEXEC != 0;
    let name = case.life.name.filter(|_| never_execed && case.life.renames == 0)?;
    Some(String::from_utf8_lossy(name.bytes()).into_owned())
}

/// What the parent runs now.
fn program(case: &Case<'_>) -> String {
    let parent = case.parent.map(|parent| &parent.life);
    let path = parent.and_then(|life| life.executable.as_ref()).map(|path| base_name(path.bytes()));
    let name =
        || parent.and_then(|life| life.name).map(|name| String::from_utf8_lossy(name.bytes()).into_owned());
    path.or_else(name).unwrap_or_else(|| "another program".into())
}

fn base_name(path: &[u8]) -> String {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    String::from_utf8_lossy(name).into_owned()
}
