//! Leaks other than zombies: which process causes each, how fast, and what to do.

mod end_all;

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use self::end_all::Bomb;
use super::{
    HostFacts, LineageAt, Made, MergeLocalFacts,
    limits::{Limit, LimitsDraft},
    place::AnswerPlace,
    process::ProcessRef,
    verdict::AnswerVerdict,
};
use crate::{
    lineage::{
        flags::SIGTERM,
        id::{GroupKey, Ktime},
        leak::{Leak, LeakKind, Leaking},
        leaks::Thresholds,
        record::Disposition,
    },
    verdict::{self, Code, EndAll, Surroundings, TightestLimit},
};

/// The most leaks that are listed.
const MOST: usize = 64;
/// The most leaks whose limits are read: that visits all processes for each.
const MOST_LIMITS: usize = 8;

/// The answer to `/v1/leaks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaks {
    /// When.
    #[serde(flatten)]
    pub made: Made,
    /// The leaks, by kind; of one kind the largest first.
    pub leaks: Vec<AnswerLeak>,
    /// Leaks that are not listed.
    #[serde(default, skip_serializing_if = "crate::answer::is_zero")]
    pub leaks_left_off: u64,
    /// The time over which leaks are looked for, ns.
    pub window_ns: u64,
    /// What the answer cannot show yet, because a command or a daemon has observed for less than [`SHORT`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inconclusive: Vec<String>,
}

/// An observation that is shorter than this cannot distinguish a leak from a program that starts up.
pub const SHORT: Duration = Duration::from_secs(30);

impl MergeLocalFacts for Leaks {}

impl Leaks {
    /// Limits the answer of a short observation to what it can show: nothing is certain.
    #[must_use]
    pub fn observed_for(mut self, observed: Duration, thresholds: Thresholds) -> Self {
        if observed >= SHORT {
            return self;
        }
        for leak in &mut self.leaks {
            leak.verdict.certainty = verdict::Certainty::Likely.name().into();
        }
        let Thresholds { threads, respawns, forks_per_second, .. } = thresholds;
        let time = verdict::duration(crate::duration::ns(observed));
        self.inconclusive = vec![
            format!(
                "observed for {time}: a leak is found only if in that time a process gains {threads} threads, a program \
                 ends {respawns} times, or there are {forks_per_second} forks a second"
            ),
            format!(
                "for {time} a program that is starting up looks like a leak, so no leak is certain; observe for {} or \
                 more, or ask a daemon (taskscope run)",
                verdict::duration(crate::duration::ns(SHORT))
            ),
        ];
        self
    }
}

/// One leak.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerLeak {
    /// `thread_leak`, `respawn_loop`, `fork_storm` or `living_orphans`.
    pub kind: String,
    /// The process that causes it; for orphans, the oldest one.
    pub process: ProcessRef,
    /// The cgroup, unit, container and pod of the processes that leak.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub place: Option<AnswerPlace>,
    /// When the counting began, by the wall clock.
    pub since: String,
    /// The same time on `CLOCK_BOOTTIME`.
    pub since_boottime_ns: u64,
    /// For how long it was counted, ns.
    pub span_ns: u64,
    /// How many threads, ends or processes there were in that time.
    pub count: u64,
    /// How many there are in an hour at this rate; absent for orphans.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_hour: Option<u64>,
    /// Threads of the process, or processes of a storm, that are alive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alive: Option<u64>,
    /// The processes that have outlived their session, or the one that ended last of a program that is started again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<ProcessRef>,
    /// The tightest limit on pids of a process whose threads or forks leak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// What is wrong, and what to do.
    pub verdict: AnswerVerdict,
}

/// The part of the answer that comes from the lineage.
#[derive(Clone, Debug)]
pub struct LeaksDraft {
    leaks: Vec<(Arc<Leak>, Option<LimitsDraft>, Option<Bomb>)>,
    left_off: u64,
    window_ns: u64,
    now: Ktime,
    observed_since: Option<Ktime>,
}

impl LeaksDraft {
    /// Takes what is flagged.
    #[must_use]
    pub fn of(leaks: Vec<Arc<Leak>>, lineage_at: &LineageAt<'_>) -> Self {
        let left_off = leaks.len().saturating_sub(MOST) as u64;
        let mut limits_left = MOST_LIMITS;
        let with_limits = |leak: Arc<Leak>| {
            let is_limited = matches!(leak.kind(), LeakKind::Threads | LeakKind::Storm) && limits_left > 0;
            let limits = is_limited.then(|| LimitsDraft::about(Some(leak.culprit), lineage_at));
            limits_left -= usize::from(is_limited);
            let bomb = Bomb::of(&leak, lineage_at);
            (leak, limits, bomb)
        };
        Self {
            leaks: leaks.into_iter().take(MOST).map(with_limits).collect(),
            left_off,
            window_ns: crate::duration::ns(lineage_at.lineage.leak_thresholds().window),
            now: lineage_at.now,
            observed_since: lineage_at.observed_since,
        }
    }

    /// Returns the cgroups whose places the answer needs.
    #[must_use]
    pub fn cgroups(&self) -> Vec<u64> {
        let of_limits =
            self.leaks.iter().filter_map(|(_, limits, _)| limits.as_ref()).flat_map(LimitsDraft::cgroups);
        self.leaks.iter().filter_map(|(leak, ..)| leak.cgroup_id).chain(of_limits).collect()
    }

    /// Completes the answer from /proc.
    #[must_use]
    pub fn finish(self, host_facts: &mut HostFacts<'_>) -> Leaks {
        let made = Made::at(self.now, self.observed_since, host_facts.stamp);
        let now = self.now;
        let observed_ns = made.observed_ns.filter(|ns| *ns < crate::duration::ns(SHORT));
        let inconclusive = observed_ns.map(too_early).into_iter().collect();
        let one = |(leak, limits, bomb): (Arc<Leak>, _, Option<Bomb>)| {
            let end_all = bomb.and_then(|bomb| bomb.end_all(host_facts.procfs));
            AnswerLeak::of(&leak, limits, end_all, now, host_facts)
        };
        let leaks = self.leaks.into_iter().map(one);
        Leaks {
            leaks: leaks.collect(),
            made,
            leaks_left_off: self.left_off,
            window_ns: self.window_ns,
            inconclusive,
        }
    }
}

impl AnswerLeak {
    fn of(
        leak: &Leak,
        limits: Option<LimitsDraft>,
        end_all: Option<EndAll>,
        now: Ktime,
        host_facts: &mut HostFacts<'_>,
    ) -> Self {
        let limits = limits.map(|limits| limits.finish(host_facts).limits).unwrap_or_default();
        let limit = limits.into_iter().min_by_key(|limit| limit.limit.saturating_sub(limit.used));
        let place = leak.cgroup_id.and_then(|id| (host_facts.places)(id));
        let stamp = host_facts.stamp;
        let ended = match &leak.what {
            Leaking::Orphans(orphans) => orphans.left.iter().map(|(key, _)| *key).collect(),
            _ => vec![leak.culprit],
        };
        let short = place.as_ref().map(AnswerPlace::short).filter(|short| short != "-");
        let around = Surroundings {
            limit: limit.as_ref().map(|limit| TightestLimit {
                what: limit.what(),
                used: limit.used,
                limit: limit.limit,
            }),
            is_unit: short.is_some() && place.as_ref().is_some_and(|place| place.cgroup.unit == short),
            place: short,
            resists_sigterm: ended.into_iter().any(|key| resists_sigterm(key, host_facts)),
            end_all,
        };
        let (alive, processes) = match &leak.what {
            Leaking::Threads(threads) => (Some(threads.live.into()), Vec::new()),
            Leaking::Storm(storm) => (Some(storm.alive.into()), Vec::new()),
            Leaking::Respawn(respawn) => (None, vec![ProcessRef::by(respawn.last, respawn.program, stamp)]),
            Leaking::Orphans(orphans) => {
                (None, orphans.left.iter().map(|&(key, name)| ProcessRef::by(key, name, stamp)).collect())
            }
        };
        Self {
            kind: leak.kind().name().into(),
            process: ProcessRef::by(leak.culprit, leak.name, stamp),
            place,
            since: stamp.timestamp(leak.since),
            since_boottime_ns: leak.since.0,
            span_ns: leak.span_ns(),
            count: leak.count().into(),
            per_hour: leak.per_minute().map(per_hour),
            alive,
            processes,
            limit,
            verdict: AnswerVerdict::of(verdict::leak(leak, now, &around), stamp),
        }
    }
}

/// What an answer of a young daemon cannot show.
fn too_early(observed_ns: u64) -> String {
    format!(
        "observed for {} so far: a leak such as a fork bomb is not found yet, whether it began before taskscope or after (ask again; \
         taskscope limits shows at once what is full)",
        verdict::duration(observed_ns)
    )
}

/// Whether SIGTERM does not end a process.
fn resists_sigterm(key: GroupKey, host_facts: &HostFacts<'_>) -> bool {
    let disposition = host_facts.procfs.disposition(key.tgid, SIGTERM);
    matches!(disposition, Some(Disposition::Ignored | Disposition::Blocked))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is not negative, and `as` saturates"
)]
fn per_hour(per_minute: f64) -> u64 {
    (60.0 * per_minute).round() as u64
}

/// Makes leaks the verdict on a process in which nothing else is wrong; else they are evidence.
pub(super) fn add_to_verdict(leaks: &[AnswerLeak], subject: &ProcessRef, verdict: &mut AnswerVerdict) {
    for leak in leaks {
        let is_culprit = leak.process.pid == subject.pid || leak.kind == LeakKind::Orphans.name();
        if verdict.code == Code::Alive.name() && is_culprit {
            let mut evidence = leak.verdict.evidence.clone();
            evidence.append(&mut verdict.evidence);
            *verdict = AnswerVerdict { evidence, ..leak.verdict.clone() };
        } else {
            let kind = leak.kind.replace('_', " ");
            verdict.evidence.push(format!("{kind} of {}: {}", leak.process, leak.verdict.summary));
        }
    }
}
