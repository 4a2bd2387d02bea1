//! Verdicts: what is wrong with a process, which process has to act, and what to do. Pure functions of [`Facts`]; no I/O, no
//! clock.
//!
//! [`judge`] is the entry: the caller collects [`Facts`] from the lineage and /proc, and gets a [`Verdict`]. docs/verdicts.md
//! lists every [`Code`].
//!
//! | file | what |
//! |---|---|
//! | `code` | the kinds of verdicts, with their stable names |
//! | `duration` | times in sentences |
//! | `facts` | the input of a verdict: lives, and what /proc shows of the processes concerned |
//! | `living` | a process that is not a zombie |
//! | `leak` | threads that only grow, respawn loops, fork storms, processes that outlive their session |
//! | `killed` | SIGKILL was sent, and a thread cannot end |
//! | `stopped` | a process that a signal has stopped, and what continues it |
//! | `vfork` | a vfork child that holds its parent |
//! | `zombie/` | a zombie: one file for each group of reasons |
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::todo,
        clippy::unimplemented,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

pub mod facts;

mod code;
mod duration;
mod killed;
mod leak;
mod living;
mod stopped;
mod traced;
mod vfork;
mod zombie;

#[cfg(test)]
mod tests;

pub use self::code::Code;
pub use self::duration::duration;
pub use self::facts::Facts;
use self::facts::{Known, Named};
pub use self::leak::{EndAll, Surroundings, TightestLimit, leak};
use lineage::id::{GroupKey, Tgid};
use lineage::{End, LifeState};

/// How certain a verdict is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// No other cause fits the facts.
    Certain,
    /// Another cause would leave the same facts; [`Verdict::missing`] names the facts that would decide.
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

/// A fact that was not available, and what is needed to get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The fact.
    pub fact: String,
    /// What is needed to get it: a capability, a daemon, a flag.
    pub needs: String,
}

/// What is wrong with a process, and what to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The kind of verdict.
    pub code: Code,
    /// How certain it is.
    pub certainty: Certainty,
    /// One sentence, without a full stop.
    pub summary: String,
    /// The process that has to act.
    pub responsible: Option<Named>,
    /// The evidence, one sentence each.
    pub evidence: Vec<String>,
    /// What to do; `None` if nothing has to be done.
    pub remedy: Option<String>,
    /// Facts that were not available and would make it more certain.
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

    fn lacks(mut self, missing: Option<Missing>) -> Self {
        self.missing.extend(missing);
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

/// Returns a tracer by its pid, with its name if the lineage knows it.
fn tracer_named(facts: &Facts, tracer: Option<u32>) -> Option<Named> {
    let tgid = Tgid(tracer?);
    match &facts.subject.tracer {
        Some(named) if named.key.tgid == tgid => Some(named.clone()),
        _ => Some(Named { key: GroupKey { tgid, start: None }, name: None }),
    }
}

/// Returns the command that ends a tracer by its state letter: SIGTERM stays pending while it is stopped.
const fn kill_tracer(state: Option<u8>) -> &'static str {
    if matches!(state, Some(b'T' | b't')) { "kill -9" } else { "kill" }
}

/// Returns the verdict on the process [`Facts::subject`].
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
            let why = "its parent ignores SIGCHLD or set SA_NOCLDWAIT, so the kernel released it without a wait; its status is lost, and a wait(2) for it fails with ECHILD";
            Verdict::certain(
                Code::Autoreaped,
                "it is over: it ended, and its parent did not have to wait for it".into(),
            )
            .since(why)
        }
        (_, Some(reaper)) => {
            let name = reaper.name.map(|name| name.bytes().to_vec());
            let by = Named { key: reaper.process, name };
            let verdict = Verdict::certain(Code::Reaped, format!("it is over: it was reaped by {by}"));
            match reaper.task {
                Some(_) => verdict,
                None => verdict
                    .since("the reaper is concluded from the kernel's rules; the wait itself was not seen"),
            }
        }
        (Some(End::Reaped), None) => {
            Verdict::certain(Code::Reaped, "it is over: it was reaped; the reaper was not seen".into())
        }
        (None, None) => Verdict::likely(Code::Gone, "it is over; whether it was reaped was not seen".into()),
    }
}
