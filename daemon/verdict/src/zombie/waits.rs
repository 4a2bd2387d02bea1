//! The parent is in a wait(2) that skips this child.

use super::Case;
use crate::facts::{WALL, WCLONE, WNOTHREAD, WaitCall, WaitTarget};
use crate::{Certainty, Code, Verdict};
use lineage::flags::{SIGCHLD, signal_name};
use lineage::id::Tid;

pub(super) fn exit_signal(case: &Case<'_>) -> Option<Verdict> {
    let signal = case.life.exit_signal.filter(|&signal| signal != SIGCHLD && signal >= 0)?;
    let name = match signal {
        0 => "none".into(),
        signal => signal_name(signal).map_or_else(|| format!("signal {signal}"), Into::into),
    };
    let who = case.who();
    let verdict = Verdict::certain(
        Code::ExitSignal,
        format!("its exit signal is {name}, not SIGCHLD: a plain wait() of {who} never sees it"),
    );
    let other = if signal == 0 { "no signal at all" } else { "that signal" };
    let verdict = verdict
        .since(format!("clone(2) was called with this exit signal, so the parent got {other}, and a wait(2) without options skips the child"))
        .since_all(case.debts())
        .remedy(case.or_now(
            "it must wait with __WALL or __WCLONE, or call clone(2) with SIGCHLD as exit signal (the kernel sets SIGCHLD for orphans)",
        ));
    Some(case.blame(verdict))
}

/// Whether a wait(2) with these arguments reaps this zombie, in any thread.
fn takes(case: &Case<'_>, wait: WaitCall) -> Option<bool> {
    let sees = wait.exited && (wait.options & WCLONE == 0 || wait.options & WALL != 0);
    Some(sees).filter(|&sees| sees).and(match wait.target {
        WaitTarget::Any => Some(true),
        WaitTarget::Pid(pid) => Some(case.pid_for_parent()? == pid),
        WaitTarget::ProcessGroup(_) | WaitTarget::Pidfd => None,
    })
}

/// Whether a thread's wait(2) skips it because it is another thread's child.
fn passes_over(case: &Case<'_>, thread: Tid, wait: WaitCall) -> bool {
    wait.options & WNOTHREAD != 0 && case.parent_thread.is_some_and(|parent| parent != thread)
}

pub(super) fn about_to_be_reaped(case: &Case<'_>) -> Option<Verdict> {
    let process = case.process()?;
    let (thread, _) = process
        .waits()
        .find(|(thread, wait)| takes(case, *wait) == Some(true) && !passes_over(case, thread.tid, *wait))?;
    let verdict = Verdict::likely(
        Code::JustDied,
        format!("its parent {} is in a wait(2) that reaps it: it should be gone by now", case.who()),
    );
    Some(case.blame(
        verdict.since(format!("thread {} of the parent is in a wait", thread.tid)).remedy("ask again".into()),
    ))
}

pub(super) fn wait_nothread(case: &Case<'_>) -> Option<Verdict> {
    let parent_thread = case.parent_thread?;
    let (thread, _) = case
        .process()?
        .waits()
        .find(|(thread, wait)| takes(case, *wait) == Some(true) && passes_over(case, thread.tid, *wait))?;
    let who = case.who();
    let verdict = Verdict::certain(
        Code::WaitNoThread,
        format!(
            "{who} waits in a thread that did not fork this child, and only for that thread's own children (__WNOTHREAD)"
        ),
    );
    let verdict = verdict
        .since(format!("thread {} is in a wait with __WNOTHREAD; the zombie's parent is thread {parent_thread}", thread.tid))
        .since_all(case.debts())
        .remedy(format!(
            "it must wait in the thread that forked the child, or without __WNOTHREAD; when thread {parent_thread} ends, its children get another thread as parent"
        ));
    Some(case.blame(verdict))
}

/// Whether no other thread of the parent may reap it.
fn is_alone(case: &Case<'_>) -> bool {
    case.process().is_some_and(|process| process.threads_omitted == 0 && process.live().count() == 1)
}

pub(super) fn waits_for_another(case: &Case<'_>) -> Option<Verdict> {
    let passes = |wait: &WaitCall| wait.exited && takes(case, *wait) != Some(true);
    let (thread, wait) = case.process()?.waits().find(|(_, wait)| passes(wait))?;
    let who = case.who();
    let (is_certain, target) = match wait.target {
        WaitTarget::Pid(pid) => (true, format!("pid {pid}")),
        WaitTarget::ProcessGroup(0) => (false, "its own process group".into()),
        WaitTarget::ProcessGroup(group) => (false, format!("process group {group}")),
        WaitTarget::Pidfd => (false, "the process behind a pidfd".into()),
        WaitTarget::Any => (false, "children made by clone(2) without SIGCHLD (__WCLONE)".into()),
    };
    let certainty = if is_certain && is_alone(case) { Certainty::Certain } else { Certainty::Likely };
    let verdict =
        Verdict::new(Code::WaitsForAnother, certainty, format!("{who} waits, but only for {target}"));
    let verdict = verdict
        .since(format!("its thread {} is in such a wait", thread.tid))
        .since_all(case.debts())
        .remedy(case.or_now(
            "it may wait for this child after that. If it does not, it must wait for any child (waitpid(-1))",
        ));
    Some(case.blame(verdict))
}

pub(super) fn wait_without_wexited(case: &Case<'_>) -> Option<Verdict> {
    let (thread, _) = case.process()?.waits().find(|(_, wait)| !wait.exited)?;
    let who = case.who();
    let is_certain = is_alone(case) && case.has_waited() != Some(true);
    let certainty = if is_certain { Certainty::Certain } else { Certainty::Likely };
    let summary = format!("{who} waits in waitid(2) without WEXITED, which never reaps a child");
    let verdict = Verdict::new(Code::WaitWithoutWexited, certainty, summary)
        .since(format!(
            "its thread {} is in a waitid(2) for children that stop or continue (WSTOPPED, WCONTINUED)",
            thread.tid
        ))
        .since_all(case.debts())
        .remedy(case.or_now("it must add WEXITED to the options of waitid(2)"));
    Some(case.blame(verdict))
}
