//! Leaks other than zombies. The lineage notes which groups are worth following, at no cost for others: those whose number of
//! threads or of forks has reached another multiple of a constant, and those that were reparented to an init or a subreaper.
//! [`Leaks::poll`] follows these, at most `FOLLOWED` of a kind.
//!
//! | file | what |
//! |---|---|
//! | `sizes` | the numbers of a group that a poll follows |
//! | `threads` | a process whose threads only grow |
//! | `respawn` | a program that is started again and again |
//! | `storm` | one process, or a family of processes, that forks too fast |
//! | `family` | the living processes that descend from one |
//! | `orphans` | processes that have outlived their session |

mod family;
mod orphans;
mod respawn;
mod sizes;
mod storm;
mod threads;

use std::collections::HashMap;
use std::sync::Arc;

pub use self::family::Descent;
use self::orphans::Orphaned;
pub use self::orphans::SessionFacts;
use self::respawn::Respawns;
use self::storm::Storms;
use self::threads::Growths;
use crate::Lineage;
pub use crate::config::Thresholds;
use crate::model::effect::{Action, Effect};
use crate::model::event_context::EventContext;
use crate::model::id::{GroupKey, Ktime};
use crate::model::leak::{Leak, LeakKind};

/// The most groups of a kind that are followed.
pub(crate) const FOLLOWED: usize = 256;

impl Thresholds {
    /// Returns this part of the window, at least a quarter of a second, ns.
    fn part(&self, divisor: u64) -> u64 {
        const LEAST_NS: u64 = 250_000_000;
        (u64::try_from(self.window.as_nanos()).unwrap_or(u64::MAX) / divisor).max(LEAST_NS)
    }
}

/// Identifies a flagged leak. Two leaks of one culprit differ in their kind, or in the program that it starts.
type Subject = (LeakKind, GroupKey, u64);

/// A leak that was flagged.
#[derive(Debug)]
struct Flagged {
    leak: Arc<Leak>,
    /// The effect that flagged it: its culprit may be gone when the leak ends.
    effect: Box<Effect>,
    /// The last poll that found it.
    seen: Ktime,
}

/// Follows groups that may leak.
#[derive(Debug, Default)]
pub struct Leaks {
    growths: Growths,
    respawns: Respawns,
    storms: Storms,
    orphans: Orphaned,
    flagged: HashMap<Subject, Flagged>,
    polled: Ktime,
}

impl Leaks {
    /// Returns what is flagged now, the kinds in their order, the most of a kind first.
    #[must_use]
    pub fn flagged(&self) -> Vec<Arc<Leak>> {
        let mut leaks: Vec<_> = self.flagged.values().map(|it| Arc::clone(&it.leak)).collect();
        leaks.sort_by_key(|leak| (leak.kind(), std::cmp::Reverse(leak.count()), leak.culprit));
        leaks
    }

    /// Returns how many leaks of a kind are flagged: the certain ones, and the likely ones.
    #[must_use]
    pub fn counts(&self, kind: LeakKind) -> (usize, usize) {
        let of_kind = self.flagged.values().filter(|it| it.leak.kind() == kind);
        let (certain, likely): (Vec<_>, Vec<_>) = of_kind.partition(|it| it.leak.is_certain());
        (certain.len(), likely.len())
    }

    /// Returns the processes whose session must be read for the next poll.
    #[must_use]
    pub fn wants_sessions(&self, lineage: &Lineage, now: Ktime) -> Vec<GroupKey> {
        let thresholds = lineage.config.leaks;
        if thresholds.orphans { self.orphans.unread(now, &thresholds) } else { Vec::new() }
    }

    /// Takes what was read of the session of a process; `None` if it could not be read.
    pub fn learn_session(&mut self, of: GroupKey, facts: Option<SessionFacts>) {
        self.orphans.learn(of, facts);
    }

    /// Checks the groups that are followed. Emits leaks that begin and leaks that are over.
    pub fn poll(&mut self, lineage: &mut Lineage, now: Ktime, out: &mut Vec<Effect>) {
        let thresholds = lineage.config.leaks;
        let candidates = lineage.store.take_candidates();
        self.growths.follow(&candidates.threads, lineage, now);
        self.storms.follow(&candidates.forkers, lineage, now);
        self.orphans.follow(&candidates.reparented, now);
        if now.since(self.polled) < thresholds.part(64).min(1_000_000_000) {
            return;
        }
        self.polled = now;
        let mut found = Vec::new();
        if thresholds.threads > 0 {
            found.extend(self.growths.poll(lineage, now, &thresholds));
        }
        if thresholds.respawns > 0 {
            found.extend(self.respawns.poll(lineage, now, &thresholds));
        }
        if thresholds.forks_per_second > 0 {
            found.extend(self.storms.poll(lineage, now, &thresholds));
        }
        if thresholds.orphans {
            found.extend(self.orphans.poll(lineage, now, &thresholds));
        }
        self.settle(found, lineage, now, out);
    }

    /// Emits what is new among the leaks of this poll, and the end of those that it did not find.
    fn settle(&mut self, found: Vec<(u64, Leak)>, lineage: &Lineage, now: Ktime, out: &mut Vec<Effect>) {
        let ctx = EventContext::observed(now);
        for (discriminator, leak) in found {
            let subject = (leak.kind(), leak.subject(), discriminator);
            let leak = Arc::new(leak);
            if let Some(flagged) = self.flagged.get_mut(&subject) {
                (flagged.leak, flagged.seen) = (leak, now);
                continue;
            }
            if self.flagged.len() >= LeakKind::ALL.len() * FOLLOWED {
                continue;
            }
            let Some(ix) = lineage.leader_of(leak.culprit) else { continue };
            let Some(effect) = lineage.effect(ctx, ix, Action::LeakFlagged(Arc::clone(&leak))) else {
                continue;
            };
            out.push(effect.clone());
            self.flagged.insert(subject, Flagged { leak, effect: Box::new(effect), seen: now });
        }
        let mut over: Vec<_> = self.flagged.extract_if(|_, flagged| flagged.seen < now).collect();
        over.sort_by_key(|(subject, _)| *subject);
        for (_, Flagged { leak, effect, .. }) in over {
            let action = Action::LeakCleared(Arc::clone(&leak));
            let ix = lineage.leader_of(leak.culprit);
            let effect_now = ix.and_then(|ix| lineage.effect(ctx, ix, action.clone()));
            // If the culprit has ended since, the effect shows it as it was when the leak was flagged.
            out.push(effect_now.unwrap_or(Effect { at: now, action, ..*effect }));
        }
    }
}
