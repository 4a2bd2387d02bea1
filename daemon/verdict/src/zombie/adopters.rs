//! Who takes in orphans and does not reap them.

use super::Case;
use crate::{Code, Verdict, duration};
use lineage::effect::ReparentKind;

pub(super) fn init(case: &Case<'_>) -> Option<Verdict> {
    let level = case.parent?.init_of_level()?;
    let (who, pid) = (case.who(), case.pid());
    let adopted = matches!(case.life.reparent_kind, Some(ReparentKind::NamespaceInit | ReparentKind::Init));
    let whose = if adopted { "an orphan that came to it" } else { "its child" };
    let reaps = case.parent?.life.debt.is_some_and(|debt| debt.reaped > 0);
    let (does, stays) =
        if reaps { ("reaps late", "has to wait") } else { ("does not reap", "stays a zombie") };
    let verdict = if level > 0 {
        Verdict::certain(
            Code::ContainerInit,
            format!("{who} is pid 1 of a container (pid namespace) and {does}: {whose} {stays}"),
        )
        .remedy(
            "give the container an init that reaps: `docker run --init`, tini or dumb-init as its entry point, in Kubernetes shareProcessNamespace; \
             until then restarting the container clears its zombies"
                .into(),
        )
    } else {
        Verdict::likely(Code::Init, format!("{who} is this system's init and {does}: {whose} {stays}")).remedy(
            "find out why init does not run: it may be hung, stopped or frozen after a crash (systemd says so in its log); zombies of init go only with a reboot"
                .into(),
        )
    };
    let verdict = verdict
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
    let verdict = Verdict::certain(
        Code::Subreaper,
        format!("{who} is a subreaper and does not reap the orphans that come to it; this is one"),
    );
    let verdict = verdict
        .since_all(handed(case))
        .since_all(case.never())
        .since_all(case.disposition())
        .since_all(case.debts())
        .remedy(case.or_now(
            "it must wait for any child (waitpid(-1)), as it asked for orphans by PR_SET_CHILD_SUBREAPER, or not ask",
        ));
    Some(case.blame(verdict))
}

fn handed(case: &Case<'_>) -> Option<String> {
    let at = case.life.reparented_at?;
    Some(format!(
        "it came to {} {} ago, when its former parent ended",
        case.who(),
        duration(case.now.since(at))
    ))
}
