//! The parent cannot wait, or not for this zombie: a tracer, a stop, a frozen cgroup, a sleep in the kernel, its own exit.

use super::Case;
use crate::{Certainty, Code, Verdict, duration, kill_tracer, stopped, vfork};
use lineage::LifeState;

pub(super) fn held_by_tracer(case: &Case<'_>) -> Option<Verdict> {
    let tracer = case.tracer?;
    if case.life.parent.is_some_and(|parent| parent.tgid == tracer.key.tgid) {
        return None;
    }
    let who = case.who();
    let verdict = Verdict::certain(
        Code::HeldByTracer,
        format!(
            "its tracer {tracer} holds it: {who} cannot reap it before the tracer has waited for it, detached or ended"
        ),
    );
    let (pid, kill) = (tracer.key.tgid, kill_tracer(case.tracer_state));
    Some(
        verdict
            .since(format!("TracerPid of the zombie is {pid}, its parent is pid {}", case.pid()))
            .since("the tracer of a process can wait for it first; its parent is notified only after that (ptrace(2))")
            .remedy(format!(
                "{tracer} must wait for it or detach; if the tracer ends, the parent can reap: {kill} {pid}"
            ))
            .by(tracer.clone()),
    )
}

pub(super) fn parent_exiting(case: &Case<'_>) -> Option<Verdict> {
    let parent = case.parent?;
    if parent.life.state != LifeState::Exiting {
        return None;
    }
    let who = case.who();
    let age = duration(case.now.since(parent.life.since));
    let verdict = Verdict::certain(
        Code::ParentExiting,
        format!("its parent {who} is exiting, and cannot wait any more"),
    );
    let remedy = format!(
        "nothing: when the parent ends, the zombie gets another parent. If the parent does not end: taskscope explain {}",
        case.pid()
    );
    Some(case.blame(verdict.since(format!("{who} has been in do_exit() for {age}")).remedy(remedy)))
}

pub(super) fn parent_frozen(case: &Case<'_>) -> Option<Verdict> {
    let frozen = case.process()?.frozen.as_ref()?;
    let who = case.who();
    let (certainty, does) = if frozen.is_settled {
        (Certainty::Certain, "is frozen")
    } else {
        (Certainty::Likely, "is being frozen")
    };
    let summary = format!(
        "the cgroup {} of its parent {who} {does}, and the parent cannot wait before the cgroup is thawed",
        frozen.cgroup
    );
    let verdict = Verdict::new(Code::ParentFrozen, certainty, summary)
        .since(format!("the cgroup {} is set to frozen", frozen.cgroup))
        .since_all(case.debts())
        .remedy(format!("thaw it: {}", frozen.thaw));
    Some(case.blame(verdict))
}

pub(super) fn parent_stopped(case: &Case<'_>) -> Option<Verdict> {
    let process = case.process()?;
    let (who, pid) = (case.who(), case.pid());
    let verdict = match process.common_state()? {
        b'T' => {
            let by = case.parent.and_then(|parent| parent.life.job_stop.as_deref());
            let stopped = stopped::Stopped { process, pid, by, now: case.now };
            let (stop, certainty) = (stopped.describe(), stopped.certainty());
            let lasts = certainty == Certainty::Certain;
            Verdict::new(
                Code::ParentStopped,
                certainty,
                format!("its parent {who} is {} and cannot wait meanwhile", stop.how),
            )
            .since_all(lasts.then(|| format!("every live thread of pid {pid} is in state T")))
            .since_all(stop.evidence)
            .since_all(case.debts())
            .remedy(format!("{}; then it can reap", stop.remedy))
            .lacks(stop.missing)
        }
        b't' => {
            let tracer = process.live().find_map(|thread| thread.tracer).filter(|&tracer| tracer != 0);
            let known = case.parents_tracer.filter(|(named, _)| Some(named.key.tgid.0) == tracer);
            let by = match (known, tracer) {
                (Some((named, _)), _) => format!("its tracer {named}"),
                (None, Some(tracer)) => format!("its tracer, pid {tracer}"),
                (None, None) => "its tracer".into(),
            };
            let stopped = known.and_then(|(named, state)| Some((named, (*state)?)));
            let stopped = stopped.filter(|(_, state)| matches!(state, b'T' | b't'));
            let remedy = match stopped {
                Some((named, _)) => format!(
                    "that tracer is stopped itself and must be continued first: taskscope explain {0}. Or end it with kill -9 {0}: the kernel then continues the parent, which can reap",
                    named.key.tgid
                ),
                None => {
                    "the debugger must continue the parent or detach from it; then the parent can reap".into()
                }
            };
            Verdict::certain(
                Code::ParentTraced,
                format!("its parent {who} is stopped by {by}, and cannot wait"),
            )
            .since(format!("every live thread of pid {pid} is in state t (tracing stop)"))
            .since_all(
                stopped
                    .map(|(_, state)| format!("the tracer is stopped too, in state {}", char::from(state))),
            )
            .since_all(case.debts())
            .remedy(remedy)
        }
        _ => return None,
    };
    Some(case.blame(verdict))
}

/// A limit on CPU time lets the parent run for a moment of each period only, or not at all while others use it up.
pub(super) fn parent_throttled(case: &Case<'_>) -> Option<Verdict> {
    let process = case.process()?;
    let throttled = process.throttled.as_ref()?;
    let forker = case.parent_thread.and_then(|tid| process.live().find(|thread| thread.tid == tid));
    let thread = forker.or_else(|| process.live().next())?;
    if thread.state != Some(b'R') {
        return None;
    }
    let who = case.who();
    let summary = format!(
        "its parent {who} is ready to run, but the limit on CPU time of its cgroup {} keeps it from running; it may wait when it runs",
        throttled.cgroup
    );
    let verdict = Verdict::likely(Code::ParentThrottled, summary)
        .since(throttled.words())
        .since_all(case.debts())
        .remedy(format!(
            "raise that limit (docker update --cpus, CPUQuota= of a unit, limits.cpu in Kubernetes), or remove it: {}; or find out who uses it up: taskscope top",
            throttled.lift
        ));
    Some(case.blame(verdict))
}

pub(super) fn parent_in_d_state(case: &Case<'_>) -> Option<Verdict> {
    let process = case.process()?;
    let forker = case.parent_thread.and_then(|tid| process.threads.iter().find(|thread| thread.tid == tid));
    let all = process.common_state() == Some(b'D');
    let one = forker.or(process.threads.first()).filter(|thread| thread.state == Some(b'D'));
    let sleeper = one.filter(|_| all || process.live().count() > 1)?;
    let (who, pid) = (case.who(), case.pid());
    if let Some(child) = case.vfork_child {
        let holder = vfork::holder(child, case.now);
        let summary = format!("another vfork child holds its parent {who}: {}", holder.what);
        let verdict = Verdict::certain(Code::ParentHeldByVfork, summary)
            .since(format!(
                "pid {pid} is in state D: vfork(2) suspends the caller until the child execs or exits"
            ))
            .since_all(case.debts());
        return Some(verdict.remedy(holder.remedy).by(holder.responsible));
    }
    let summary = format!("its parent {who} sleeps uninterruptibly in the kernel (state D) and cannot wait");
    // Without its system call a vfork(2) looks the same.
    let verdict = if all && sleeper.call.is_some() {
        Verdict::certain(Code::ParentInDState, summary)
    } else {
        Verdict::likely(Code::ParentInDState, summary)
    };
    let verdict = verdict
        .since(format!("its thread {} was in state D at two polls", sleeper.tid))
        .since_all(sleeper.wchan.as_ref().map(|place| format!("it sleeps in {place}()")))
        .since_all(sleeper.is_killed().then(|| {
            "SIGKILL is already pending: when that sleep ends, it ends, and its zombies get another parent"
                .to_owned()
        }))
        .since_all(case.debts());
    let until = if sleeper.is_killed() {
        "No further signal helps before that is over"
    } else {
        "Until that is over at most SIGKILL helps, and that only in a killable sleep (NFS, FUSE)"
    };
    let stack = if sleeper.tid.0 == pid {
        format!("/proc/{pid}/stack")
    } else {
        format!("/proc/{pid}/task/{}/stack", sleeper.tid)
    };
    Some(case.blame(verdict.remedy(format!(
        "find out what the kernel waits for: cat {stack} as root; often storage or a network file system that does not answer. {until}"
    ))))
}
