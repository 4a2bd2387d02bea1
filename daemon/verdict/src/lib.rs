//! Verdicts: why a process is as it is, who has to act, and what to do. Pure functions of [`Facts`].
//!
//! | file | what |
//! |---|---|
//! | `facts` | what a verdict is made from: lives, and what /proc shows of the processes concerned |
//! | `living` | a process that is no zombie |
//! | `zombie/` | a zombie: one file a group of reasons |
#![forbid(unsafe_code)]

pub mod facts;

mod killed;
mod living;
mod vfork;
mod zombie;

#[cfg(test)]
mod tests;

pub use self::facts::Facts;
use self::facts::{Known, Named};
use lineage::id::{GroupKey, Tgid};
use lineage::{End, LifeState};

/// What is the matter, by a name that does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The parent has never waited for a child.
    NeverWaits,
    /// The parent is stopped by a signal.
    ParentStopped,
    /// The parent is stopped by its tracer.
    ParentTraced,
    /// The parent is frozen with its cgroup.
    ParentFrozen,
    /// The parent sleeps uninterruptibly.
    ParentInDState,
    /// The parent is held by a child that it vforked.
    ParentHeldByVfork,
    /// The parent is in `do_exit()` itself.
    ParentExiting,
    /// The parent execed another program after it had forked this child.
    ForkedBeforeExec,
    /// The parent blocks SIGCHLD.
    SigchldBlocked,
    /// The parent blocks SIGCHLD, maybe only for the call that it sits in.
    SigchldBlockedForNow,
    /// The parent does not read the signalfd that tells it of dead children.
    SignalfdNotRead,
    /// A thread sits in sigwait(3) for SIGCHLD, which is dropped because the thread that forked does not block it.
    SigwaitNeverReturns,
    /// The parent takes one child per SIGCHLD, and the kernel merges signals.
    SigchldCoalesced,
    /// The parent ignores SIGCHLD only since after the death.
    IgnoredTooLate,
    /// A plain wait does not see a child with this exit signal.
    ExitSignal,
    /// A tracer has it first.
    HeldByTracer,
    /// Init of a pid namespace that does not reap.
    ContainerInit,
    /// Pid 1 of the host does not reap.
    Init,
    /// Came to a subreaper that does not reap.
    Subreaper,
    /// The parent's thread waits with `__WNOTHREAD`, and another thread is the parent.
    WaitNoThread,
    /// The parent waits for another child only.
    WaitsForAnother,
    /// The parent waits for children that stop or continue only.
    WaitWithoutWexited,
    /// The parent reads from a pipe that another process holds open, and waits after that.
    ReadsOutputFirst,
    /// The parent waits for children now and then, not for this one.
    NotWaitedFor,
    /// Died just now.
    JustDied,
    /// Why is not known.
    Unknown,
    /// Not a zombie: the main thread has ended, others live.
    DeadLeader,
    /// `do_exit()` does not end.
    ExitStuck,
    /// SIGKILL was sent, and the kernel or a tracer keeps a thread from ending.
    KilledButBlocked,
    /// Frozen with its cgroup.
    Frozen,
    /// Stopped by a signal.
    Stopped,
    /// Stopped by its tracer.
    StoppedByTracer,
    /// Held by a child that it vforked.
    HeldByVfork,
    /// Sleeps uninterruptibly.
    InDState,
    /// Lives, and a limit on pids is full: its next fork fails.
    CannotFork,
    /// Lives, and owes zombies a wait.
    OwesWaits,
    /// Lives, and nothing is wrong that could be told.
    Alive,
    /// Reaped by a wait.
    Reaped,
    /// Gone without one.
    Autoreaped,
    /// Gone; how is not known.
    Gone,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 40] = [
        Self::NeverWaits,
        Self::ParentStopped,
        Self::ParentTraced,
        Self::ParentFrozen,
        Self::ParentInDState,
        Self::ParentHeldByVfork,
        Self::ParentExiting,
        Self::ForkedBeforeExec,
        Self::SigchldBlocked,
        Self::SigchldBlockedForNow,
        Self::SignalfdNotRead,
        Self::SigwaitNeverReturns,
        Self::SigchldCoalesced,
        Self::IgnoredTooLate,
        Self::ExitSignal,
        Self::HeldByTracer,
        Self::ContainerInit,
        Self::Init,
        Self::Subreaper,
        Self::WaitNoThread,
        Self::WaitsForAnother,
        Self::WaitWithoutWexited,
        Self::ReadsOutputFirst,
        Self::NotWaitedFor,
        Self::JustDied,
        Self::Unknown,
        Self::DeadLeader,
        Self::ExitStuck,
        Self::KilledButBlocked,
        Self::Frozen,
        Self::Stopped,
        Self::StoppedByTracer,
        Self::HeldByVfork,
        Self::InDState,
        Self::CannotFork,
        Self::OwesWaits,
        Self::Alive,
        Self::Reaped,
        Self::Autoreaped,
        Self::Gone,
    ];

    /// Stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.texts().0
    }

    /// The reason in a few words, as a column of a table has it.
    #[must_use]
    pub const fn words(self) -> &'static str {
        self.texts().1
    }

    const fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::NeverWaits => ("never_waits", "never waits"),
            Self::ParentStopped => ("parent_stopped", "parent is stopped"),
            Self::ParentTraced => ("parent_stopped_by_tracer", "parent is stopped by its tracer"),
            Self::ParentFrozen => ("parent_frozen", "parent is frozen"),
            Self::ParentInDState => ("parent_in_d_state", "parent is in D state"),
            Self::ParentHeldByVfork => ("parent_held_by_vfork", "parent is held by a vfork"),
            Self::ParentExiting => ("parent_exiting", "parent is exiting itself"),
            Self::ForkedBeforeExec => ("forked_before_exec", "forked before its parent's exec"),
            Self::SigchldBlocked => ("sigchld_blocked", "blocks SIGCHLD"),
            Self::SigchldBlockedForNow => ("sigchld_blocked_for_now", "blocks SIGCHLD for now"),
            Self::SignalfdNotRead => ("signalfd_not_read", "does not read its signalfd"),
            Self::SigwaitNeverReturns => ("sigwait_never_returns", "sigwait() never sees SIGCHLD"),
            Self::SigchldCoalesced => ("sigchld_coalesced", "reaps one child per SIGCHLD"),
            Self::IgnoredTooLate => ("sigchld_ignored_too_late", "ignored SIGCHLD too late"),
            Self::ExitSignal => ("exit_signal_not_sigchld", "exit signal is not SIGCHLD"),
            Self::HeldByTracer => ("held_by_tracer", "held by a tracer"),
            Self::ContainerInit => ("container_init_does_not_reap", "container's init does not reap"),
            Self::Init => ("init_does_not_reap", "init does not reap"),
            Self::Subreaper => ("subreaper_does_not_reap", "subreaper does not reap orphans"),
            Self::WaitNoThread => ("wait_nothread", "another thread waits, with __WNOTHREAD"),
            Self::WaitsForAnother => ("waits_for_another", "waits for another child only"),
            Self::WaitWithoutWexited => ("wait_without_wexited", "waits without WEXITED"),
            Self::ReadsOutputFirst => ("reads_output_first", "reads a pipe before it waits"),
            Self::NotWaitedFor => ("not_waited_for", "waits, but not for these"),
            Self::JustDied => ("just_died", "died just now"),
            Self::Unknown => ("unknown", "not known"),
            Self::DeadLeader => ("dead_leader", "main thread ended, others live"),
            Self::ExitStuck => ("exit_stuck", "exit does not end"),
            Self::KilledButBlocked => ("killed_but_blocked", "killed, a thread cannot end"),
            Self::Frozen => ("frozen", "frozen"),
            Self::Stopped => ("stopped", "stopped"),
            Self::StoppedByTracer => ("stopped_by_tracer", "stopped by its tracer"),
            Self::HeldByVfork => ("held_by_vfork", "held by its vfork child"),
            Self::InDState => ("in_d_state", "in D state"),
            Self::CannotFork => ("cannot_fork", "cannot fork: a limit is full"),
            Self::OwesWaits => ("owes_waits", "owes zombies a wait"),
            Self::Alive => ("alive", "alive"),
            Self::Reaped => ("reaped", "reaped"),
            Self::Autoreaped => ("autoreaped", "reaped by itself"),
            Self::Gone => ("gone", "gone"),
        }
    }
}

/// How sure a verdict is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// The facts leave nothing else.
    Certain,
    /// What the facts look like; something else would look the same.
    Likely,
}

impl Certainty {
    /// Stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Likely => "likely",
        }
    }
}

/// A fact that could not be had, and what it would take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What.
    pub fact: String,
    /// What it would take.
    pub needs: String,
}

/// What is the matter with a process, and what to do about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// By name.
    pub code: Code,
    /// How sure it is.
    pub certainty: Certainty,
    /// In one sentence, without a full stop.
    pub summary: String,
    /// Who has to act.
    pub responsible: Option<Named>,
    /// What it is drawn from, a sentence each.
    pub evidence: Vec<String>,
    /// What to do; `None` where there is nothing to do.
    pub remedy: Option<String>,
    /// What could not be had.
    pub missing: Vec<Missing>,
}

impl Verdict {
    fn new(code: Code, certainty: Certainty, summary: String) -> Self {
        let (evidence, missing) = (Vec::new(), Vec::new());
        Self { code, certainty, summary, responsible: None, evidence, remedy: None, missing }
    }

    fn certain(code: Code, summary: String) -> Self {
        Self::new(code, Certainty::Certain, summary)
    }

    fn likely(code: Code, summary: String) -> Self {
        Self::new(code, Certainty::Likely, summary)
    }

    fn by(mut self, responsible: Named) -> Self {
        self.responsible = Some(responsible);
        self
    }

    fn since(mut self, evidence: impl Into<String>) -> Self {
        self.evidence.push(evidence.into());
        self
    }

    fn since_all(mut self, evidence: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    fn remedy(self, remedy: String) -> Self {
        self.remedy_of(Some(remedy))
    }

    fn remedy_of(mut self, remedy: Option<String>) -> Self {
        self.remedy = remedy;
        self
    }
}

/// A tracer by its pid, with its name where the lineage has it.
fn tracer_named(facts: &Facts, tracer: Option<u32>) -> Option<Named> {
    let tgid = Tgid(tracer?);
    match &facts.subject.tracer {
        Some(named) if named.key.tgid == tgid => Some(named.clone()),
        _ => Some(Named { key: GroupKey { tgid, start: None }, name: None }),
    }
}

/// Says what is the matter.
#[must_use]
pub fn judge(facts: &Facts) -> Verdict {
    match facts.subject.known.life.state {
        LifeState::Zombie => zombie::judge(&zombie::Case::of(facts)),
        LifeState::Dead | LifeState::Released => gone(&facts.subject.known),
        LifeState::Running | LifeState::Exiting | LifeState::DeadLeader => living::judge(facts),
    }
}

fn gone(subject: &Known) -> Verdict {
    let life = &subject.life;
    match (life.end, life.reaper) {
        (Some(End::Autoreaped), _) => {
            let why = "its parent ignores SIGCHLD or set SA_NOCLDWAIT, so no wait was needed; its status went with it, and a wait(2) for it fails with ECHILD";
            Verdict::certain(Code::Autoreaped, "it is over: it ended and nobody had to wait for it".into())
                .since(why)
        }
        (_, Some(reaper)) => {
            let name = reaper.name.map(|name| name.bytes().to_vec());
            let by = Named { key: reaper.process, name };
            let verdict = Verdict::certain(Code::Reaped, format!("it is over: it was reaped by {by}"));
            match reaper.task {
                Some(_) => verdict,
                None => verdict.since("who reaped it was concluded from the kernel's rules, not seen"),
            }
        }
        (Some(End::Reaped), None) => {
            Verdict::certain(Code::Reaped, "it is over: it was reaped; by target was not seen".into())
        }
        (None, None) => Verdict::likely(Code::Gone, "it is over; how it went was not seen".into()),
    }
}

/// A length of time in a sentence: two units at most.
#[must_use]
pub fn duration(ns: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let seconds = ns / 1_000_000_000;
    match ns {
        0..1_000_000 => format!("{} us", ns / 1_000),
        1_000_000..1_000_000_000 => format!("{} ms", ns / 1_000_000),
        1_000_000_000..10_000_000_000 => {
            format!("{}.{} s", seconds, ns % 1_000_000_000 / 100_000_000)
        }
        _ => {
            let first = UNITS.iter().position(|&(unit, _)| seconds >= unit).unwrap_or(UNITS.len() - 1);
            let (unit, name) = UNITS[first];
            let (count, rest) = (seconds / unit, seconds % unit);
            match UNITS.get(first + 1) {
                Some(&(unit, second)) if rest / unit > 0 => {
                    format!("{count} {name} {} {second}", rest / unit)
                }
                _ => format!("{count} {name}"),
            }
        }
    }
}
