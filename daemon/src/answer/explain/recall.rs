//! Combines the facts of a daemon with those that its client can read, and derives one verdict from both.
//!
//! A daemon has the history, but has dropped `CAP_SYS_PTRACE`; a client that runs as root has that capability but no history.
//! So the answer carries the lives that its verdict uses, and the client derives the verdict again with its own facts.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::stopped_by::StoppedBy;
use crate::{
    answer::{
        ExplainDraft, HostFacts, LineageAt, Made,
        now::Now,
        process::ProcessRef,
        task::{self, Children, Ids, TaskDetails, ZombieAge},
        verdict::AnswerVerdict,
    },
    lineage::{
        BeforeExec, Debt, Life, PathName,
        effect::{Bound, ReparentKind, Span},
        id::{GroupKey, Ktime},
    },
    verdict::{self, facts::Facts},
};

/// A process that a verdict uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Related {
    /// The process.
    pub process: ProcessRef,
    /// Its facts.
    pub task: TaskDetails,
    /// The last signal that can have stopped it; its state shows whether it is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<StoppedBy>,
}

impl ExplainDraft {
    /// Returns the lives that the verdict uses.
    pub(in crate::answer) fn related(&self, host_facts: &mut HostFacts<'_>) -> Vec<Related> {
        let lives = [Some(&self.subject.life), self.parent.as_ref(), self.owed_life()];
        let related = |life: &Life| Related {
            process: ProcessRef::by(life.key, life.name, host_facts.stamp),
            task: TaskDetails::of(life, self.now, host_facts.stamp),
            stopped_by: life.job_stop.as_deref().map(|stop| StoppedBy::of(stop, host_facts)),
        };
        lives.into_iter().flatten().map(related).collect()
    }
}

/// Derives a verdict again from the daemon's facts and what this process can read. Returns `None` if the process is gone, or is in
/// another state now.
pub(in crate::answer) fn judge_again(
    key: GroupKey,
    made: &Made,
    related: &[Related],
    doing: Option<&Now>,
    lineage_at: &LineageAt<'_>,
    host_facts: &mut HostFacts<'_>,
) -> Option<(AnswerVerdict, Facts)> {
    let mut draft = ExplainDraft::of(key, lineage_at)?;
    let stamp = host_facts.stamp;
    let remembered = |life: &Life| {
        let id = stamp.entity_id(life.key)?;
        related.iter().find(|it| it.process.entity_id.as_ref() == Some(&id))
    };
    let related = remembered(&draft.subject.life)?;
    if related.task.state != draft.subject.life.state.name() {
        return None;
    }
    for life in draft.lives_mut() {
        if let Some(related) = remembered(life) {
            recall(life, &related.task);
            life.job_stop = related.stopped_by.as_ref().map(|stop| Arc::new(stop.recall(life.key)));
        }
    }
    draft.doing = doing.cloned();
    draft.now = Ktime(made.boottime_ns);
    draft.observed_since = made.observed_ns.map(|observed| Ktime(made.boottime_ns.saturating_sub(observed)));
    let facts = draft.finish(host_facts.procfs);
    Some((AnswerVerdict::of(verdict::judge(&facts), stamp), facts))
}

/// Adds the daemon's facts to a life that this process has only read from a snapshot.
fn recall(life: &mut Life, task: &TaskDetails) {
    if task.state == life.state.name() {
        life.since = Ktime(task.state_boottime_ns);
        life.zombie = task.zombie.map(span).or(life.zombie);
        life.leader_died_at = task.leader_died_boottime_ns.map(Ktime).or(life.leader_died_at);
    }
    life.exit_signal = task.exit_signal.or(life.exit_signal);
    life.debt = task.children.map(account).or(life.debt);
    life.creator = task.creator.map(Ids::task).or(life.creator);
    life.reparented = task.reparented;
    life.reparented_at = task.reparented_boottime_ns.map(Ktime);
    life.reparent_kind = task.reparent_kind.as_deref().and_then(kind);
    life.execs = task.execs;
    life.exec_at = task.exec_boottime_ns.map(Ktime);
    life.before_exec = task.before_exec.as_ref().map(|before| Box::new(before_exec(before)));
    life.forked_by = task.forked_by_thread.map(|it| (it.thread.task(), Ktime(it.ended_boottime_ns)));
}

fn before_exec(before: &task::BeforeExec) -> BeforeExec {
    BeforeExec {
        executable: before.executable.as_ref().map(|path| Arc::new(PathName::from(path.as_bytes()))),
        since: before.since_boottime_ns.map(Ktime),
        forked: before.forked,
        reaped: before.reaped,
    }
}

const fn span(age: ZombieAge) -> Span {
    let (least, most) = (age.zombie_at_least_ns, age.zombie_at_most_ns);
    if least == most {
        Span { ns: least, bound: Bound::Exact }
    } else if least == 0 {
        Span { ns: most, bound: Bound::AtMost }
    } else {
        Span { ns: least, bound: Bound::AtLeast }
    }
}

fn account(children: Children) -> Debt {
    let mean = children.reap_latency_mean_ns;
    Debt {
        forked: children.forked,
        reaped: children.reaped,
        autoreaped: children.autoreaped,
        zombies: children.zombies,
        timed: u64::from(mean.is_some()),
        latency_sum_ns: mean.unwrap_or(0),
        latency_max_ns: children.reap_latency_max_ns.unwrap_or(0),
    }
}

fn kind(name: &str) -> Option<ReparentKind> {
    use ReparentKind::{Init, NamespaceInit, SiblingThread, Subreaper};
    [SiblingThread, Subreaper, NamespaceInit, Init].into_iter().find(|kind| kind.name() == name)
}
