//! Inits and subreapers that do not reap the orphans that they get.

use super::Case;
use crate::{Code, Verdict, duration};
use lineage::effect::ReparentKind;

pub(super) fn init(case: &Case<'_>) -> Option<Verdict> {
    let level = case.parent?.init_of_level()?;
    let (who, pid) = (case.who(), case.pid());
    let adopted = matches!(case.life.reparent_kind, Some(ReparentKind::NamespaceInit | ReparentKind::Init));
    let whose = if adopted { "an orphan that was reparented to it" } else { "its child" };
    let reaps = case.has_waited() == Some(true);
    // It may wait for its own children only, or look for dead children at intervals.
    let does = if reaps { "reaps late, or other children only" } else { "does not reap" };
    let stays = if reaps { "has to wait" } else { "stays a zombie" };
    let verdict = if level > 0 {
        Verdict::new(
            Code::ContainerInit,
            case.certainty_of_never(),
            format!("{who} is pid 1 of a container (pid namespace) and {does}: {whose} {stays}"),
        )
        .remedy(
            "give the container an init that reaps: `docker run --init`, tini or dumb-init as its entry point, in Kubernetes shareProcessNamespace; \
             until then, a restart of the container removes its zombies"
                .into(),
        )
    } else {
        Verdict::likely(Code::Init, format!("{who} is this system's init and {does}: {whose} {stays}")).remedy(
            "find out why init does not run: it may be hung, stopped or frozen after a crash (see the log of systemd); only a reboot removes zombies of init"
                .into(),
        )
    };
    let or_shell = super::exec::shell_that_never_execed(case).filter(|_| !adopted);
    let verdict = verdict
        .since_all(or_shell.map(|name| {
            format!("it never called exec and its name is {name}: it is an orphan of a shell, or pid {pid} was a shell when it forked it")
        }))
        .since_all((level > 0).then(|| format!("pid {pid} is pid 1 in its own pid namespace, level {level}")))
        .since_all(handed(case))
        .since_all(case.never())
        .since_all(case.disposition())
        .since_all(case.debts());
    Some(case.blame(verdict))
}

pub(super) fn subreaper(case: &Case<'_>) -> Option<Verdict> {
    if case.life.reparent_kind != Some(ReparentKind::Subreaper) {
        return None;
    }
    let who = case.who();
    let summary = if case.has_waited() == Some(true) {
        format!("{who} is a subreaper and has not reaped this orphan; it reaps other children, or reaps late")
    } else {
        format!("{who} is a subreaper and does not reap its orphans, such as this one")
    };
    let verdict = Verdict::new(Code::Subreaper, case.certainty_of_never(), summary);
    let verdict = verdict
        .since_all(handed(case))
        .since_all(case.never())
        .since_all(case.disposition())
        .since_all(case.debts())
        .remedy(case.or_now(
            "it must wait for any child (waitpid(-1)), because it asked for orphans with PR_SET_CHILD_SUBREAPER; or it must not ask",
        ));
    Some(case.blame(verdict))
}

fn handed(case: &Case<'_>) -> Option<String> {
    let at = case.life.reparented_at?;
    Some(format!(
        "it was reparented to {} {} ago, when its former parent ended",
        case.who(),
        duration(case.now.since(at))
    ))
}
