//! A canary that the kernel refuses to create. If the hooks report failing calls of `copy_process()`, the refusal has a record too.

use crate::lineage::{
    effect::{Action, Effect, Provenance},
    id::{Ktime, Tgid},
};

/// The latest refusal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused {
    /// `EAGAIN` or `ENOMEM`.
    pub(super) errno: i32,
    /// When the first refusal in a row happened.
    pub(super) since: Ktime,
    /// When the latest canary was tried.
    pub(super) launched: Ktime,
    /// The time of the last refusal whose record was seen.
    pub(super) seen: Option<Ktime>,
}

impl Refused {
    pub(super) const fn name(&self) -> &'static str {
        if self.errno == libc::ENOMEM { "ENOMEM" } else { "EAGAIN" }
    }

    /// What `EAGAIN` and `ENOMEM` of clone(2) mean.
    pub(super) const fn cause(&self) -> &'static str {
        if self.errno == libc::ENOMEM { "no memory is left" } else { "no pid is left" }
    }

    /// Removes the refusal from `effects`: it is not the failed fork of another process.
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
