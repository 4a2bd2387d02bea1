//! The filter of a query for deaths.

use crate::{
    answer::place::AnswerPlace,
    export::matches as glob,
    lineage::{
        death::{Cause, GroupDeath},
        id::Ktime,
        record::Comm,
    },
};

/// The filter of a query. Conditions of one kind are alternatives; conditions of different kinds must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeathFilter {
    /// Whether processes that exited with code 0 are included.
    pub all: bool,
    /// Codes of causes.
    pub causes: Vec<String>,
    /// Pids.
    pub pids: Vec<u32>,
    /// Comms; `*` and `?` match as in a shell.
    pub comms: Vec<String>,
    /// systemd units; `*` and `?` match as in a shell.
    pub units: Vec<String>,
    /// Ids of containers, or prefixes of them.
    pub containers: Vec<String>,
    /// Pids whose descendants are included.
    pub subtrees: Vec<u32>,
    /// Only ends after this time.
    pub after: Ktime,
    /// Only ends up to this time.
    pub until: Option<Ktime>,
    /// The most ends that are returned.
    pub limit: usize,
}

/// No cause has this code.
#[derive(Debug, thiserror::Error)]
#[error("{0}: no such cause; there are: {list}", list = Cause::ALL.map(Cause::code).join(", "))]
pub struct UnknownCause(String);

/// Whether a value meets one of the conditions; without conditions, every value does.
pub(in crate::answer) fn any<T>(wanted: &[T], is: impl Fn(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(is)
}

impl DeathFilter {
    /// Whether each cause exists.
    pub fn check(&self) -> Result<(), UnknownCause> {
        let is_unknown = |code: &&String| !Cause::ALL.iter().any(|cause| cause.code() == code.as_str());
        self.causes.iter().find(is_unknown).map_or(Ok(()), |code| Err(UnknownCause(code.clone())))
    }

    pub(super) fn wants(&self, death: &GroupDeath) -> bool {
        let name = death.name.as_ref().map(Comm::bytes).unwrap_or_default();
        death.at > self.after
            && self.until.is_none_or(|until| death.at <= until)
            && any(&self.causes, |code| code == death.cause.code())
            && any(&self.pids, |pid| *pid == death.key.tgid.0)
            && any(&self.comms, |pattern| glob(pattern.as_bytes(), name))
    }

    pub(super) fn wants_place(&self, place: Option<&AnswerPlace>) -> bool {
        any(&self.units, |pattern| {
            let unit = place.and_then(|place| place.cgroup.unit.as_deref());
            unit.is_some_and(|unit| glob(pattern.as_bytes(), unit.as_bytes()))
        }) && any(&self.containers, |id| {
            place.and_then(|place| place.container.as_ref()).is_some_and(|it| it.id.starts_with(id.as_str()))
        })
    }
}
