//! A canary that the kernel refuses to make. Where a failing `copy_process()` can be seen, the refusal is an event like any other.

use crate::lineage::{
    effect::{Action, Effect, Provenance},
    id::{Ktime, Tgid},
};

/// The latest one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused {
    /// `EAGAIN` or `ENOMEM`.
    pub(super) errno: i32,
    /// When the first of them in a row was tried.
    pub(super) since: Ktime,
    /// When this one was tried.
    pub(super) launched: Ktime,
    /// When the last refusal took place that came through as an event.
    pub(super) seen: Option<Ktime>,
}

impl Refused {
    pub(super) const fn name(&self) -> &'static str {
        if self.errno == libc::ENOMEM { "ENOMEM" } else { "EAGAIN" }
    }

    /// What clone(2) means by that.
    pub(super) const fn cause(&self) -> &'static str {
        if self.errno == libc::ENOMEM { "no memory is left" } else { "no pid is left" }
    }

    /// Takes the refusal out of `effects`: it is no failure of anybody else's fork.
    pub(super) fn filter(&mut self, effects: &mut Vec<Effect>) {
        let this = Tgid(std::process::id());
        effects.retain(|effect| {
            let is_ours = matches!(effect.action, Action::CloneFailed { .. })
                && effect.process.key.tgid == this
                && effect.at >= self.launched
                && effect.provenance == Provenance::Observed;
            if is_ours {
                self.seen = Some(effect.at);
            }
            !is_ours
        });
    }
}
