//! Why thread groups ended: a short memory of signals for each group, and the conclusion at its end.

mod conclude;
mod job_stops;
mod memory;
mod stops;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(crate) use self::memory::Deaths;

use self::conclude::Case;
use self::memory::ExitingTask;
use crate::Lineage;
use crate::model::death::{Ancestor, Cause, GroupDeath, OomMark, Sender, Sent, Watch};
use crate::model::flags::{SIGKILL, is_job_control_signal};
use crate::model::id::{Ktime, TaskRef, Tgid};
use crate::model::record::{Comm, Exiting, Namespaced, OomVictim, SignalSent};
use crate::model::status::WaitStatus;
use crate::store::slot::group::{Group, fact};
use crate::store::tables::arena::Ix;

/// The most ancestors of a sender that are stored.
const ANCESTORS: usize = 6;

impl Lineage {
    /// Sets which signals the records report from now on.
    pub const fn watch_signals(&mut self, watch: Watch) {
        self.deaths.watch = watch;
    }

    /// Notes that records of signals were lost or shed up to this time.
    pub fn doubt_signals(&mut self, lost_until: Ktime) {
        let watch = &mut self.deaths.watch;
        watch.lost_until = lost_until.max(watch.lost_until);
    }

    /// Returns how groups ended, the last first. Groups that received no signal and exited with code 0 are left out.
    pub fn deaths(&self) -> impl Iterator<Item = &Arc<GroupDeath>> {
        self.deaths.recent()
    }

    /// Returns the number of groups with stored signals, and the number of stored ends.
    #[must_use]
    pub fn deaths_kept(&self) -> (usize, usize) {
        (self.deaths.pending_len(), self.deaths.recent_len())
    }

    pub(crate) fn on_signal(&mut self, at: Ktime, sent: &SignalSent) {
        let tgid = sent.target.tgid;
        let group = self.store.find_current(tgid.leader()).and_then(|leader| self.store[leader].group());
        if group.is_some_and(|group| self.store[group].has(fact::EXIT_EMITTED)) {
            self.stats.late += 1;
            return;
        }
        // Job control signals stop and continue processes but do not end them.
        if is_job_control_signal(sent.signal) {
            self.on_job_control(at, sent, group);
            return;
        }
        if let Some(group) = group {
            self.follow_stop(at, sent, group);
        }
        if self.deaths.repeat(at, sent) {
            return;
        }
        let received = self.deaths.received(at, sent);
        let sent =
            Sent { is_before_creation: group.is_none(), received, ..Sent::of(at, sent, self.sender(sent)) };
        self.deaths.add(tgid.0, sent);
    }

    /// Returns the present facts of the sender, with its ancestors.
    fn sender(&self, sent: &SignalSent) -> Sender {
        let group =
            sent.sender.and_then(|task| self.store.find(task.key)).and_then(|ix| self.store[ix].group());
        let mut ancestors = Vec::new();
        let mut next = group.and_then(|group| self.store.parents_of(group));
        while let Some(parent) = next.filter(|_| ancestors.len() < ANCESTORS) {
            let members = &self.store[parent];
            if members.tgid() == 0 {
                break;
            }
            let name = members.leader().and_then(|leader| self.store.process_name(leader));
            ancestors.push(Ancestor { key: members.key(), name });
            next = self.store.parents_of(parent);
        }
        let namespace = group.and_then(|group| {
            let members = &self.store[group];
            self.namespace_of(members, &self.store[members.leader()?])
        });
        Sender {
            task: sent.sender,
            name: self.name_of_process(sent.sender, sent.sender_comm),
            uid: sent.sender_uid,
            login_uid: sent.sender_login_uid,
            terminal: sent.sender_terminal,
            flags: sent.sender_flags.unwrap_or(0),
            cgroup_id: group.and_then(|group| self.store.cgroup_of(&self.store[group])),
            ancestors: ancestors.into(),
            is_namespace_init: namespace.is_some_and(is_init),
        }
    }

    pub(crate) fn on_oom_victim(&mut self, at: Ktime, oom: &OomVictim) {
        let group = self.store.find_current(oom.tid).and_then(|ix| self.store[ix].group());
        let tgid = oom.victim.map(|victim| victim.tgid);
        let tgid = tgid.or_else(|| group.map(|group| Tgid(self.store[group].tgid())));
        let trigger_name = self.name_of_process(oom.trigger, oom.trigger_comm);
        let trigger =
            oom.trigger.and_then(|task| self.store.find(task.key)).and_then(|ix| self.store[ix].group());
        let trigger_cgroup_id = trigger.and_then(|group| self.store.cgroup_of(&self.store[group]));
        let limit = oom.limit.clone();
        let mark = OomMark { at, trigger: oom.trigger, trigger_name, trigger_cgroup_id, limit };
        self.deaths.mark(tgid.map_or(oom.tid.0, |tgid| tgid.0), mark);
    }

    /// Notes a task that begins to exit, if a signal ends it.
    pub(crate) fn note_exiting(&mut self, group: Ix<Group>, at: Ktime, exiting: &Exiting) {
        let Some(signal) = exiting.exit.exit_code.and_then(|code| WaitStatus(code).signal()) else { return };
        let tracer = exiting.tracer.flatten().and_then(|tracer| self.store.find_current(tracer.leader()));
        let tracer = tracer.and_then(|ix| self.store.reference(ix));
        let task = ExitingTask { at, signal, tracer, seccomp_mode: exiting.seccomp_mode };
        self.deaths.note_exiting(self.store[group].tgid(), task);
    }

    /// Whether the group's parent is known to be in another cgroup.
    fn is_top(&self, group: Ix<Group>) -> bool {
        let own = self.store.cgroup_of(&self.store[group]);
        let parent = self.store.parents_of(group).and_then(|it| self.store.cgroup_of(&self.store[it]));
        own.is_some() && parent.is_some() && own != parent
    }

    fn forks_of_parent(&self, group: Ix<Group>) -> Option<u64> {
        let debt = self.store[self.store.parents_of(group)?].debt()?;
        Some(self.store[debt].debt.forked)
    }

    /// Returns the name of a task's process. A thread can have another comm, which no list of processes shows.
    fn name_of_process(&self, task: Option<TaskRef>, comm: Option<Comm>) -> Option<Comm> {
        let thread = task.filter(|task| !task.is_leader());
        thread.and_then(|thread| self.name_of(thread)).or(comm)
    }

    fn name_of(&self, task: TaskRef) -> Option<Comm> {
        let group = self.store.find(task.key).and_then(|ix| self.store[ix].group())?;
        self.store.process_name(self.store[group].leader()?)
    }

    /// Returns why a group ended whose last task is dead; `None` if it exited with code 0 and received no signal.
    pub(crate) fn group_death(&mut self, group: Ix<Group>, at: Ktime) -> Option<Arc<GroupDeath>> {
        let members = &self.store[group];
        let status = members.status().settled(members.is_dead());
        let mut pending = self.deaths.take(members.tgid());
        self.deaths.job_stops.remove(members.tgid());
        if pending.is_none() && status.is_some_and(|status| status.0 == 0) {
            let (key, cgroup_id) = (members.key(), self.store.cgroup_of(members));
            self.end_stop_of(key, cgroup_id, at, Cause::Exited);
            return None;
        }
        let members = &self.store[group];
        let (key, began) = (members.key(), members.start());
        let oom = pending.as_ref().and_then(|pending| pending.oom.clone()).filter(|oom| oom.at >= began);
        let mut sent = pending.as_mut().map(|pending| std::mem::take(&mut pending.sent)).unwrap_or_default();
        // The stored signals are those of an earlier group with the same tgid.
        sent.retain(|sent| sent.last >= began);
        let orphaned = pending.as_ref().and_then(|pending| pending.orphaned);
        let exiting = pending.as_ref().and_then(|pending| pending.exiting).filter(|task| task.at >= began);
        let has_forgotten = pending.is_some_and(|pending| pending.has_forgotten)
            || self.deaths.forgotten_until() >= began && self.deaths.forgotten_until() > Ktime(0);
        // A later record can be read while the tracer detaches, and then names the real parent.
        let at_exit = exiting.and_then(|task| task.tracer);
        let tracer = at_exit.or_else(|| self.store.rare_of(members)?.tracer);
        let namespace = members.leader().and_then(|leader| self.namespace_of(members, &self.store[leader]));
        let conclusion = Case {
            status,
            sent: &sent,
            oom: oom.as_ref(),
            orphaned,
            tracer,
            seccomp_mode: exiting.and_then(|task| task.seccomp_mode),
            is_namespace_init: namespace.is_some_and(is_init),
            parent: members.parent_key().map(|parent| parent.tgid),
            began,
            has_forgotten,
            watch: &self.deaths.watch,
        }
        .conclude();
        #[cfg_attr(not(test), expect(clippy::disallowed_methods, reason = "the position is checked"))]
        let mut by = conclusion.by.filter(|&by| by < sent.len()).map(|by| sent.remove(by));
        // If a sender repeated a signal other than SIGKILL, the last one ended the group.
        if let Some(by) = by.as_mut().filter(|by| by.signal != SIGKILL) {
            by.at = by.last;
        }
        let sender = by.as_ref().filter(|by| by.is_from_tracer() == Some(true)).and_then(|by| by.sender.task);
        let tracer = sender.or(tracer);
        let is_top = self.is_top(group);
        let death = Arc::new(GroupDeath {
            key,
            at,
            name: members.leader().and_then(|leader| self.store.process_name(leader)),
            parent: members.parent_key(),
            parent_name: self.parent_name(members),
            uid: members.has(fact::CREDENTIALS).then(|| self.store.profile_of(members).uid),
            cgroup_id: self.store.cgroup_of(members),
            is_top,
            scope: is_top.then(|| self.scopes.name_of(self.store.cgroup_of(members))).flatten(),
            executable: members.executable.clone(),
            parent_forked: self.forks_of_parent(group),
            status,
            cause: conclusion.cause,
            missing: conclusion.missing,
            by,
            others: sent,
            tracer: tracer.map(|task| (task, self.name_of(task))),
            oom,
        });
        self.deaths.keep(&death);
        self.end_stop_of(key, death.cgroup_id, at, death.cause);
        Some(death)
    }
}

/// Whether it is the init of a pid namespace other than the initial one.
fn is_init(namespace: Namespaced) -> bool {
    namespace.level > 0 && namespace.vtgid == Some(1)
}
