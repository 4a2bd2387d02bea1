//! Why a zombie is one: each reason a function of the facts, asked in the order in which they exclude each other.

use super::facts::{Child, Facts, Known, Named, ProcessFacts, WALL, WCLONE, WNOTHREAD, WaitCall, Whom};
use super::{Certainty, Code, Missing, Verdict, duration};
use crate::lineage::effect::{Bound, ReparentKind};
use crate::lineage::flags::{SIGCHLD, signal_name};
use crate::lineage::id::{Ktime, Tid};
use crate::lineage::life::{Life, LifeState};

/// A parent may take this long to come round to its wait.
const PATIENCE_NS: u64 = 1_000_000_000;

/// A zombie and what is known of those who could end it.
pub(super) struct Case<'a> {
    now: Ktime,
    observed_since: Option<Ktime>,
    pub(super) life: &'a Life,
    /// The zombie's own pids, where they could be read.
    pids: &'a [u32],
    parent: Option<&'a Known>,
    parent_thread: Option<Tid>,
    tracer: Option<&'a Named>,
    vfork_child: Option<&'a Named>,
    heir: Option<&'a Named>,
}

impl<'a> Case<'a> {
    /// The subject is the zombie.
    pub(super) fn of(facts: &'a Facts) -> Self {
        Self::new(facts, &facts.subject, facts.parent.as_ref(), facts.parents_vfork_child.as_ref())
    }

    /// The subject is the parent, its oldest zombie the case.
    pub(super) fn of_child(facts: &'a Facts) -> Option<Self> {
        let child = facts.owed.as_ref()?;
        Some(Self::new(facts, child, Some(&facts.subject.known), facts.vfork_child.as_ref()))
    }

    fn new(
        facts: &'a Facts,
        child: &'a Child,
        parent: Option<&'a Known>,
        vfork_child: Option<&'a Named>,
    ) -> Self {
        Self {
            now: facts.now,
            observed_since: facts.observed_since,
            life: &child.known.life,
            pids: child.known.process().map_or(&[], |process| &process.namespace_pids),
            parent,
            parent_thread: child.parent_thread,
            tracer: child.tracer.as_ref(),
            vfork_child,
            heir: facts.heir.as_ref(),
        }
    }

    fn process(&self) -> Option<&'a ProcessFacts> {
        self.parent?.process()
    }

    /// The parent in a sentence.
    fn who(&self) -> String {
        self.parent.map_or_else(|| "its parent".into(), |parent| parent.named().to_string())
    }

    fn pid(&self) -> u32 {
        self.parent.map_or(0, |parent| parent.life.key.tgid.0)
    }

    /// For how long it has been a zombie at most.
    fn age_at_most(&self) -> u64 {
        let since_start = self.life.key.start.map_or(u64::MAX, |start| self.now.since(start));
        match self.life.zombie {
            Some(span) if span.bound != Bound::AtLeast => span.ns.min(since_start),
            _ => since_start,
        }
    }

    /// Whether the parent has waited for any child; `None` is not known.
    fn has_waited(&self) -> Option<bool> {
        let debt = self.parent?.life.debt;
        if debt.is_some_and(|debt| debt.reaped > 0) {
            return Some(true);
        }
        self.process().and_then(|process| process.has_waited).or_else(|| {
            // Observed from its birth on, it would have been seen.
            let start = self.parent?.life.key.start?;
            (self.observed_since? < start).then_some(false)
        })
    }

    /// What can be done at once: another parent may reap.
    fn way_out(&self) -> String {
        let heir = self.heir.map_or_else(|| "init or the nearest subreaper".into(), ToString::to_string);
        format!("now: kill {}, its zombies then go to {heir}, which should reap them", self.pid())
    }

    /// The zombie's pid as its parent sees it.
    fn pid_for_parent(&self) -> Option<u32> {
        let level = self.process()?.namespace_pids.len().checked_sub(1)?;
        if let Some(pid) = self.pids.get(level) {
            return Some(*pid);
        }
        // Both in the namespace of the mounted /proc.
        (level == 0).then_some(self.life.key.tgid.0)
    }

    fn handles_sigchld(&self) -> bool {
        self.process().is_some_and(|process| {
            process.caught.is_some_and(|caught| caught.has(SIGCHLD)) || process.signalfd == Some(true)
        })
    }

    fn is_pending(&self) -> Option<bool> {
        Some(self.process()?.pending?.has(SIGCHLD))
    }

    /// A verdict with the parent as the culprit.
    fn blame(&self, verdict: Verdict) -> Verdict {
        match self.parent {
            Some(parent) => verdict.by(parent.named()),
            None => verdict,
        }
    }

    /// How many wait, and what the parent has done so far.
    fn debts(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let Some(parent) = self.parent else { return lines };
        let debt = parent.life.debt.unwrap_or_default();
        if debt.zombies > 1 {
            lines.push(format!("{} zombies wait for it", debt.zombies));
        }
        if let Some(since) = self.observed_since
            && debt.forked + debt.reaped > 0
        {
            let since = parent.life.key.start.map_or(since, |start| start.max(since));
            lines.push(format!(
                "seen in the last {}: {} of its children born, {} taken by its waits",
                duration(self.now.since(since)),
                debt.forked,
                debt.reaped
            ));
        }
        lines
    }

    /// What the parent does about SIGCHLD.
    fn disposition(&self) -> Vec<String> {
        let Some(process) = self.process() else { return Vec::new() };
        let mut lines = Vec::new();
        let has = |set: Option<super::facts::Signals>| set.is_some_and(|set| set.has(SIGCHLD));
        if has(process.caught) {
            lines.push("it has a handler for SIGCHLD".into());
        } else if has(process.ignored) {
            lines.push("it ignores SIGCHLD".into());
        } else if process.signalfd == Some(true) {
            lines.push("it reads SIGCHLD from a signalfd".into());
        } else if process.caught.is_some() {
            lines.push("it has no handler for SIGCHLD".into());
        }
        if process.blocks_sigchld() == Some(true) {
            lines.push(format!(
                "every thread of it blocks SIGCHLD{}",
                match self.is_pending() {
                    Some(true) => ", and one is pending",
                    _ => "",
                }
            ));
        }
        lines
    }

    /// Where the parent is instead.
    fn whereabouts(&self) -> Option<String> {
        let thread = self.process()?.live().next()?;
        let place = thread.wchan.as_ref()?;
        Some(format!("it sleeps in {place}()"))
    }

    /// Facts that could not be had and would make this surer.
    fn missing(&self) -> Vec<Missing> {
        let mut missing = Vec::new();
        let mut lack = |fact: &str, needs: &str| {
            missing.push(Missing { fact: fact.into(), needs: needs.into() });
        };
        match self.parent.map(|parent| &parent.process) {
            None => lack("who its parent is", "a look at a moment when the parent is known"),
            Some(Err(why)) => lack("the parent's signals and state", why),
            Some(Ok(process)) => {
                if process.live().all(|thread| thread.call.is_none()) {
                    lack("the system call its parent sits in", "CAP_SYS_PTRACE, to read /proc/PID/syscall");
                }
                if process.signalfd.is_none() {
                    lack("whether its parent has a signalfd", "CAP_SYS_PTRACE, to read /proc/PID/fdinfo");
                }
                if process.threads_omitted > 0 {
                    lack("all threads of its parent", "a parent with fewer threads");
                }
            }
        }
        if self.observed_since.is_none() {
            lack(
                "whether it is an orphan, and how its parent treats other children",
                "watching: a running daemon (taskscope run), or --observe 10s",
            );
        }
        missing
    }
}

/// The reasons, the first that holds is the one.
const REASONS: [fn(&Case<'_>) -> Option<Verdict>; 15] = [
    held_by_tracer,
    parent_exiting,
    parent_stopped,
    parent_in_d_state,
    exit_signal,
    about_to_be_reaped,
    wait_nothread,
    just_died,
    init,
    subreaper,
    sigchld_blocked,
    ignored_too_late,
    waits_for_another,
    never_waits,
    sigchld_coalesced,
];

pub(super) fn judge(case: &Case<'_>) -> Verdict {
    let mut verdict = REASONS.iter().find_map(|reason| reason(case)).unwrap_or_else(|| not_waited_for(case));
    if verdict.certainty == Certainty::Likely {
        verdict.missing = case.missing();
    }
    verdict
}

fn held_by_tracer(case: &Case<'_>) -> Option<Verdict> {
    let tracer = case.tracer?;
    if case.life.parent.is_some_and(|parent| parent.tgid == tracer.key.tgid) {
        return None;
    }
    let who = case.who();
    let verdict = Verdict::certain(
        Code::HeldByTracer,
        format!(
            "its tracer {tracer} holds it: {who} cannot reap it before that one has waited for it, detached or ended"
        ),
    );
    let pid = tracer.key.tgid;
    Some(
        verdict
            .since(format!("TracerPid of the zombie is {pid}, its parent is pid {}", case.pid()))
            .since("a tracer is offered a dead tracee first; the parent is told only after that (ptrace(2))")
            .remedy(format!(
                "let {tracer} wait for it or detach; ending it gives the zombie to its parent: kill {pid}"
            ))
            .by(tracer.clone()),
    )
}

fn parent_exiting(case: &Case<'_>) -> Option<Verdict> {
    let parent = case.parent?;
    if parent.life.state != LifeState::Exiting {
        return None;
    }
    let who = case.who();
    let age = duration(case.now.since(parent.life.since));
    let verdict = Verdict::certain(
        Code::ParentExiting,
        format!("its parent {who} is in its own exit, and cannot wait any more"),
    );
    let remedy = format!(
        "nothing while that goes on: with its end the zombie is handed on. If it does not end: taskscope explain {}",
        case.pid()
    );
    Some(case.blame(verdict.since(format!("{who} has been in do_exit() for {age}")).remedy(remedy)))
}

fn parent_stopped(case: &Case<'_>) -> Option<Verdict> {
    let process = case.process()?;
    let (who, pid) = (case.who(), case.pid());
    let verdict = match process.common_state()? {
        b'T' => Verdict::certain(
            Code::ParentStopped,
            format!("its parent {who} is stopped by a signal and cannot wait"),
        )
        .since(format!("every live thread of pid {pid} is in state T"))
        .since_all(case.debts())
        .remedy(format!("let it go on: kill -CONT {pid}; then it can reap")),
        b't' => {
            let tracer = process.live().find_map(|thread| thread.tracer).filter(|&tracer| tracer != 0);
            let by = tracer.map_or_else(|| "its tracer".into(), |tracer| format!("its tracer, pid {tracer}"));
            Verdict::certain(
                Code::ParentTraced,
                format!("its parent {who} is stopped by {by}, and cannot wait"),
            )
            .since(format!("every live thread of pid {pid} is in state t (tracing stop)"))
            .since_all(case.debts())
            .remedy("let the debugger continue or detach; then the parent can reap".into())
        }
        _ => return None,
    };
    Some(case.blame(verdict))
}

fn parent_in_d_state(case: &Case<'_>) -> Option<Verdict> {
    let process = case.process()?;
    let forker = case.parent_thread.and_then(|tid| process.threads.iter().find(|thread| thread.tid == tid));
    let all = process.common_state() == Some(b'D');
    let one = forker.or(process.threads.first()).filter(|thread| thread.state == Some(b'D'));
    let sleeper = one.filter(|_| all || process.live().count() > 1)?;
    let (who, pid) = (case.who(), case.pid());
    if let Some(child) = case.vfork_child {
        let child_pid = child.key.tgid;
        let verdict = Verdict::certain(
            Code::ParentHeldByVfork,
            format!(
                "its parent {who} is held by another child, {child}, which it vforked and which has neither exec'ed nor ended"
            ),
        );
        let verdict = verdict
            .since(format!(
                "pid {pid} is in state D: vfork(2) suspends the caller until the child execs or exits"
            ))
            .since_all(case.debts());
        let remedy = format!(
            "look at that child: taskscope explain {child_pid}; ending it frees the parent: kill {child_pid}"
        );
        return Some(verdict.remedy(remedy).by(child.clone()));
    }
    let summary = format!("its parent {who} sleeps uninterruptibly in the kernel (D) and cannot wait");
    let verdict = if all {
        Verdict::certain(Code::ParentInDState, summary)
    } else {
        Verdict::likely(Code::ParentInDState, summary)
    };
    let verdict = verdict
        .since(format!("thread {} of it was in state D at two looks", sleeper.tid))
        .since_all(sleeper.wchan.as_ref().map(|place| format!("it sleeps in {place}()")))
        .since_all(case.debts());
    Some(case.blame(verdict.remedy(format!(
        "find out what the kernel waits for: cat /proc/{pid}/stack as root; often storage or a network file system that does not answer. A signal does not help before that"
    ))))
}

fn exit_signal(case: &Case<'_>) -> Option<Verdict> {
    let signal = case.life.exit_signal.filter(|&signal| signal != SIGCHLD && signal >= 0)?;
    let name = match signal {
        0 => "none".into(),
        signal => signal_name(signal).map_or_else(|| format!("signal {signal}"), Into::into),
    };
    let who = case.who();
    let verdict = Verdict::certain(
        Code::ExitSignal,
        format!("its exit signal is {name} and not SIGCHLD: a plain wait() of {who} never sees it"),
    );
    let other = if signal == 0 { "no signal at all" } else { "that signal" };
    let verdict = verdict
        .since(format!("clone(2) was called with this exit signal, so the parent got {other} and wait(2) passes over it"))
        .since_all(case.debts())
        .remedy(format!(
            "it must wait with __WALL or __WCLONE, or clone with SIGCHLD as exit signal; {} as of any child (their exit signal becomes SIGCHLD)",
            case.way_out()
        ));
    Some(case.blame(verdict))
}

/// Whether a wait takes this zombie, whoever calls it.
fn takes(case: &Case<'_>, wait: WaitCall) -> Option<bool> {
    Some(wait.options & WCLONE == 0 || wait.options & WALL != 0).filter(|&takes| takes).and(match wait.whom {
        Whom::Any => Some(true),
        Whom::Pid(pid) => Some(case.pid_for_parent()? == pid),
        Whom::ProcessGroup(_) | Whom::Pidfd => None,
    })
}

/// Whether a thread's wait passes over it because it is another thread's child.
fn passes_over(case: &Case<'_>, thread: Tid, wait: WaitCall) -> bool {
    wait.options & WNOTHREAD != 0 && case.parent_thread.is_some_and(|parent| parent != thread)
}

fn about_to_be_reaped(case: &Case<'_>) -> Option<Verdict> {
    let process = case.process()?;
    let (thread, _) = process
        .waits()
        .find(|(thread, wait)| takes(case, *wait) == Some(true) && !passes_over(case, thread.tid, *wait))?;
    let verdict = Verdict::likely(
        Code::JustDied,
        format!("its parent {} is in a wait(2) that takes it: it should be gone by now", case.who()),
    );
    Some(
        case.blame(
            verdict
                .since(format!("thread {} of the parent sits in a wait", thread.tid))
                .remedy("look again".into()),
        ),
    )
}

fn wait_nothread(case: &Case<'_>) -> Option<Verdict> {
    let parent_thread = case.parent_thread?;
    let (thread, _) = case
        .process()?
        .waits()
        .find(|(thread, wait)| takes(case, *wait) == Some(true) && passes_over(case, thread.tid, *wait))?;
    let who = case.who();
    let verdict = Verdict::certain(
        Code::WaitNoThread,
        format!(
            "{who} waits in another thread than the one that forked it, and only for that thread's own children (__WNOTHREAD)"
        ),
    );
    let verdict = verdict
        .since(format!("thread {} sits in a wait with __WNOTHREAD, the zombie's parent is thread {parent_thread}", thread.tid))
        .since_all(case.debts())
        .remedy(format!(
            "it must wait in the thread that forked, or without __WNOTHREAD; once thread {parent_thread} ends, its children are another thread's"
        ));
    Some(case.blame(verdict))
}

fn just_died(case: &Case<'_>) -> Option<Verdict> {
    let age = case.age_at_most();
    let is_idle =
        case.has_waited() == Some(false) && case.process().is_some_and(|it| it.waits().next().is_none());
    if age >= PATIENCE_NS || (is_idle && age >= PATIENCE_NS / 2) {
        return None;
    }
    let verdict = Verdict::likely(
        Code::JustDied,
        format!("it died {} ago or less: {} may be about to wait for it", duration(age), case.who()),
    );
    Some(verdict.remedy("look again in a moment".into()))
}

fn init(case: &Case<'_>) -> Option<Verdict> {
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
        .since_all(never(case))
        .since_all(case.disposition())
        .since_all(case.debts());
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

fn never(case: &Case<'_>) -> Option<String> {
    (case.has_waited() == Some(false)).then(|| "it has not waited for any child since it started".to_owned())
}

fn subreaper(case: &Case<'_>) -> Option<Verdict> {
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
        .since_all(never(case))
        .since_all(case.disposition())
        .since_all(case.debts())
        .remedy(format!(
            "it must wait for any child (waitpid(-1)), as it asked for orphans by PR_SET_CHILD_SUBREAPER, or not ask; {}",
            case.way_out()
        ));
    Some(case.blame(verdict))
}

fn sigchld_blocked(case: &Case<'_>) -> Option<Verdict> {
    let process = case.process()?;
    if process.blocks_sigchld()? && case.handles_sigchld() {
        let by_signalfd = process.signalfd == Some(true);
        if by_signalfd && case.is_pending() == Some(false) {
            return None;
        }
        let who = case.who();
        let summary = if by_signalfd {
            format!("{who} is to learn of its dead children by a signalfd, and does not read it")
        } else {
            format!("{who} blocks SIGCHLD: the handler that would reap its children never runs")
        };
        let verdict = Verdict::certain(Code::SigchldBlocked, summary)
            .since_all(case.disposition())
            .since_all(never(case))
            .since_all(case.whereabouts())
            .since_all(case.debts())
            .remedy(format!(
                "it must unblock SIGCHLD (a signal mask is inherited through fork and exec: look at who started it too) or wait without the signal; {}",
                case.way_out()
            ));
        return Some(case.blame(verdict));
    }
    None
}

fn ignored_too_late(case: &Case<'_>) -> Option<Verdict> {
    if !case.process()?.ignored?.has(SIGCHLD) {
        return None;
    }
    let who = case.who();
    let verdict = Verdict::certain(
        Code::IgnoredTooLate,
        format!(
            "{who} ignores SIGCHLD, but did not yet when this child died: later children vanish by themselves, this one does not"
        ),
    );
    let verdict = verdict.since_all(case.disposition()).since_all(case.debts()).remedy(format!(
        "one wait of it after it began to ignore SIGCHLD takes those left; {}",
        case.way_out()
    ));
    Some(case.blame(verdict))
}

fn waits_for_another(case: &Case<'_>) -> Option<Verdict> {
    let (thread, wait) = case.process()?.waits().find(|(_, wait)| takes(case, *wait) != Some(true))?;
    let who = case.who();
    let (is_certain, target) = match wait.whom {
        Whom::Pid(pid) => (true, format!("pid {pid}")),
        Whom::ProcessGroup(0) => (false, "its own process group".into()),
        Whom::ProcessGroup(group) => (false, format!("process group {group}")),
        Whom::Pidfd => (false, "the process behind a pidfd".into()),
        Whom::Any => (false, "children made by clone(2) without SIGCHLD (__WCLONE)".into()),
    };
    let certainty = if is_certain { Certainty::Certain } else { Certainty::Likely };
    let verdict =
        Verdict::new(Code::WaitsForAnother, certainty, format!("{who} waits, but only for {target}"));
    let verdict = verdict
        .since(format!("thread {} of it sits in such a wait", thread.tid))
        .since_all(case.debts())
        .remedy(format!(
            "it may come to this child after that. If not, it must wait for any child (waitpid(-1)); {}",
            case.way_out()
        ));
    Some(case.blame(verdict))
}

fn never_waits(case: &Case<'_>) -> Option<Verdict> {
    if case.has_waited()? {
        return None;
    }
    let who = case.who();
    let summary = format!("{who} has never waited for any child");
    // It may sit in its first wait, one that passes this child over.
    let knows_calls =
        case.process().is_some_and(|process| process.live().any(|thread| thread.call.is_some()));
    let certainty = if knows_calls { Certainty::Certain } else { Certainty::Likely };
    let verdict = Verdict::new(Code::NeverWaits, certainty, summary);
    let verdict = verdict
        .since("the kernel's accounting of its waited-for children is zero")
        .since_all(case.disposition())
        .since_all(case.whereabouts())
        .since_all(case.debts())
        .remedy(format!(
            "it must call waitpid(-1, .., WNOHANG) until there is no more, at each SIGCHLD, or ignore SIGCHLD if it needs no status; {}",
            case.way_out()
        ));
    Some(case.blame(verdict))
}

fn sigchld_coalesced(case: &Case<'_>) -> Option<Verdict> {
    if !case.has_waited()? || !case.handles_sigchld() || case.is_pending()? {
        return None;
    }
    let who = case.who();
    let verdict = Verdict::likely(
        Code::SigchldCoalesced,
        format!(
            "{who} reaps one child per SIGCHLD, and this one died while such a signal was pending already: the kernel merges them"
        ),
    );
    let verdict = verdict
        .since_all(case.disposition())
        .since("it has waited for other children, and no SIGCHLD is pending for it any more")
        .since_all(case.whereabouts())
        .since_all(case.debts())
        .remedy(format!(
            "its handler must loop: while (waitpid(-1, .., WNOHANG) > 0). Now: kill -CHLD {} makes it take one more child",
            case.pid()
        ));
    Some(case.blame(verdict))
}

/// Nothing stands in the way, and it is not done.
fn not_waited_for(case: &Case<'_>) -> Verdict {
    let who = case.who();
    if case.parent.is_none() {
        return Verdict::likely(
            Code::Unknown,
            "why it is a zombie cannot be told: its parent is not known".into(),
        );
    }
    if case.has_waited() != Some(true) {
        let verdict = Verdict::likely(
            Code::Unknown,
            format!("{who} does not wait for it; why cannot be told from what could be read"),
        );
        return case
            .blame(verdict.since_all(case.disposition()).since_all(case.debts()).remedy(case.way_out()));
    }
    let verdict = Verdict::likely(
        Code::NotWaitedFor,
        format!("{who} waits for children of its choice, and has not waited for this one"),
    );
    let verdict = verdict
        .since("it has waited for other children")
        .since_all(case.disposition())
        .since_all(case.whereabouts())
        .since_all(case.debts())
        .remedy(format!(
            "it must wait for each child it makes (in Python: poll() or wait() of each Popen), or for any (waitpid(-1)); {}",
            case.way_out()
        ));
    case.blame(verdict)
}
