//! The limits in a recording: those that refused a fork while it was recorded.

use std::sync::Arc;

use super::{Limit, Limits, draft::LimitsDraft, read::Counting};
use crate::{
    answer::{HostFacts, Made, verdict::Missing},
    cgroup_mounts::Version,
    lineage::record::{ForkLimit, ForkLimitKind},
};

/// A limit that refused forks, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The limit, as it was when it last refused a fork.
    pub limit: Arc<ForkLimit>,
    /// How often it did.
    pub times: u64,
}

/// What a recording does not have, and where it can be found.
const MISSING: [(&str, &str); 3] = [
    ("limits other than those that refused a fork", "taskscope limits on the host, while it runs"),
    (
        "failed forks, if the recorder observed copy_process() by a tracepoint, which reports only forks that succeed",
        "a recording made with kprobes or fentry",
    ),
    ("how full the limits are now", "taskscope limits on the host, while it runs"),
];

impl LimitsDraft {
    /// Returns the limits that refused a fork. Their processes are those of the draft's time.
    #[must_use]
    pub fn of_recording(self, refusals: &[Refusal], host_facts: &mut HostFacts<'_>) -> Limits {
        // The hierarchy of a cgroup that refused a fork is not in the record; its path is in one of them.
        let counting = Counting::new(&self, host_facts.stamp, host_facts.places, Version::V2);
        let counting_v1 = Counting::new(&self, host_facts.stamp, host_facts.places, Version::V1);
        let limit = |refusal: &Refusal| {
            let ForkLimit { kind, name, used, limit } = &*refusal.limit;
            let most = limit.or(*used)?;
            let uid = name.parse().ok();
            let one =
                |counting: &Counting<'_>| {
                    counting.limit(kind.code(), name.clone(), Some(used.unwrap_or(most)), most, |crowd| {
                        match kind {
                            ForkLimitKind::RlimitNproc => crowd.uid == uid && uid.is_some(),
                            ForkLimitKind::Cgroup => counting.is_in(crowd, name),
                            ForkLimitKind::ThreadsMax | ForkLimitKind::PidMax => true,
                            ForkLimitKind::PidNamespace => false,
                        }
                    })
                };
            let found = one(&counting);
            let found = if found.consumers.is_empty() { one(&counting_v1) } else { found };
            let errno = if *kind == ForkLimitKind::PidNamespace { "ENOMEM" } else { "EAGAIN" };
            Some(Limit { full: true, errno: errno.into(), refused: Some(refusal.times), ..found })
        };
        let mut limits: Vec<Limit> = refusals.iter().filter_map(limit).collect();
        limits.sort_by(|one, other| {
            other
                .refused
                .cmp(&one.refused)
                .then_with(|| (&one.kind, &one.name).cmp(&(&other.kind, &other.name)))
        });
        Limits {
            made: Made::at(self.now, self.observed_since, host_facts.stamp),
            process: None,
            limits,
            missing: MISSING.map(|(fact, needs)| Missing { fact: fact.into(), needs: needs.into() }).into(),
            leaks: super::read::leaks(&self, host_facts.stamp),
            failures: None,
        }
    }
}
