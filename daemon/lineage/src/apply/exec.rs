//! execve(2), and changes of a task's comm.

use crate::Lineage;
use crate::apply::transition::Transition;
use crate::model::effect::{Action, Effect};
use crate::model::event_context::EventContext;
use crate::model::flags::SIGCHLD;
use crate::model::id::Ktime;
use crate::model::kinds::Provenance;
use crate::model::record::{Exec, ExecArgs, Fact, Renamed};
use crate::model::task::TaskState;
use crate::store::slot::group::{Group, fact};
use crate::store::slot::task::{Task, known};
use crate::store::tables::arena::Ix;

/// The arguments of an exec arrive within this time, ns, or never.
const ARGS_WITHIN_NS: u64 = 100_000_000;

impl Lineage {
    pub(crate) fn on_exec(&mut self, at: Ktime, exec: &Exec, out: &mut Vec<Effect>) {
        let t = &mut Transition::new(EventContext::observed(at), out);
        if !exec.task.is_leader() {
            // After an exec, the task is the leader of its group.
            self.stats.contradictory += 1;
            return;
        }
        let Some((mut ix, group)) = self.resolve_or_create(exec.task, t) else { return };
        if self.store[group].execs > 0 && self.store[group].exec_at >= at {
            self.stats.duplicate += 1;
            return;
        }
        let since_fork_ns = self.since_fork_ns(ix, group, at);
        if let Some(old_tid) = exec.old_tid.filter(|&old_tid| old_tid != exec.task.key.tid)
            && self.is_exec_takeover_due(group, old_tid, at)
            && self.vacate_for_exec(group, old_tid, t)
        {
            self.take_over(group, old_tid, t);
            ix = self.store[group].leader().unwrap_or(ix);
        }
        if self.store[ix].state() >= TaskState::Exiting && self.store[ix].since < at {
            self.revive_leader(ix, group, t);
        }
        let is_late = self.store[ix].state() > TaskState::Exiting;
        self.store.set_seen_running(ix, at);
        if !is_late {
            self.end_others(group, ix, t);
        }
        self.learn_flags(ix, exec.task_flags);
        self.learn_comm(ix, exec.comm, at);
        self.learn_place(ix, &exec.place, at);
        let executable =
            exec.executable.as_ref().or(exec.path.as_ref()).map(|path| self.store.share_path(path));
        let path = if exec.path.is_some() && (exec.path == exec.executable || exec.executable.is_none()) {
            executable.clone()
        } else {
            exec.path.as_ref().map(|path| self.store.share_path(path))
        };
        self.store.keep_before_exec(group);
        self.forget_arguments(self.store[group].key());
        let members = &mut self.store[group];
        members.exec_at = at;
        members.execs = members.execs.saturating_add(1);
        members.executable = executable;
        members.set_exit_signal(exec.exit_signal.unwrap_or(SIGCHLD));
        let vfork_held_ns = self.end_vfork_hold(group, at);
        if is_late {
            self.stats.late += 1;
            return;
        }
        let truncated = exec.truncated;
        let action = Action::Execed { path, truncated, args: None, vfork_held_ns, since_fork_ns };
        let is_built = self.emit(t, ix, action);
        if self.config.exec_args
            && is_built
            && let Some(effect) = t.out.pop()
            && let Some(older) = self.awaiting_args.insert(exec.task.key, effect)
        {
            t.out.push(older);
        }
    }

    /// Returns the time from a process's fork to its first exec, ns; `None` if its fork was not seen, because it may have exec'ed before.
    fn since_fork_ns(&self, leader: Ix<Task>, group: Ix<Group>, at: Ktime) -> Option<u64> {
        let (task, members) = (&self.store[leader], &self.store[group]);
        let is_born_seen = task.knows(known::FORK_EMITTED) && task.provenance == Provenance::Observed;
        (is_born_seen && members.execs == 0).then(|| at.since(members.start()))
    }

    /// Adds the arguments to the exec that waits for them.
    pub(crate) fn on_exec_args(&mut self, args: &ExecArgs, out: &mut Vec<Effect>) {
        let Some(mut effect) = self.awaiting_args.remove(&args.task.key) else {
            self.stats.late += 1;
            return;
        };
        if let Action::Execed { args: held, .. } = &mut effect.action {
            *held = Some((args.args.clone(), args.truncated));
        }
        out.push(effect);
    }

    /// Emits an exec whose arguments did not arrive before another record of its task.
    pub(crate) fn stop_waiting_for_args(&mut self, fact: &Fact, out: &mut Vec<Effect>) {
        let key = match fact {
            Fact::ExecArgs(_) | Fact::Signal(_) | Fact::OomVictim(_) | Fact::CgroupChanged(_) => return,
            Fact::New(new) => new.creator.map(|creator| creator.key),
            Fact::CloneFailed(failed) => failed.creator.map(|creator| creator.key),
            Fact::Exec(exec) => Some(exec.task.key),
            Fact::Renamed(renamed) => Some(renamed.task.key),
            Fact::Exiting(exiting) => Some(exiting.task.key),
            Fact::Exited(exited) => Some(exited.task.key),
            Fact::Reparented(reparented) => Some(reparented.child.key),
            Fact::Released(released) => Some(released.task.key),
            Fact::Snapshot(snapshot) => Some(snapshot.task.key),
            Fact::CgroupAttached(attached) => Some(attached.task.key),
        };
        if let Some(effect) = key.and_then(|key| self.awaiting_args.remove(&key)) {
            out.push(effect);
        }
    }

    /// Emits execs whose arguments are overdue.
    pub(crate) fn give_up_args(&mut self, now: Ktime, out: &mut Vec<Effect>) {
        if !self.awaiting_args.is_empty() {
            let late = self.awaiting_args.extract_if(|_, effect| now.since(effect.at) >= ARGS_WITHIN_NS);
            let mut late: Vec<_> = late.map(|(_, effect)| effect).collect();
            late.sort_by_key(|effect| effect.at);
            out.append(&mut late);
        }
    }

    pub(crate) fn on_renamed(&mut self, at: Ktime, renamed: &Renamed, out: &mut Vec<Effect>) {
        let t = &mut Transition::new(EventContext::observed(at), out);
        let Some((mut ix, group)) = self.resolve_or_create(renamed.task, t) else { return };
        self.store.set_seen_running(ix, at);
        // execve(2) sets the comm after the thread has taken the leader's place, and before the exec's own record.
        if let Some(thread) = self.find_unseen_exec_thread(ix, group, at) {
            let old_tid = self.store[thread].key().tid;
            self.take_over(group, old_tid, t);
            ix = thread;
        } else if self.store[ix].state() >= TaskState::Zombie
            && self.store[ix].since < at
            && self.store[group].leader() == Some(ix)
        {
            self.revive_leader(ix, group, t);
        }
        let task = &self.store[ix];
        if task.knows(known::COMM) && task.comm_at >= at {
            if task.comm_at == at && task.comm == renamed.new {
                self.stats.duplicate += 1;
            } else {
                self.stats.late += 1;
            }
            return;
        }
        self.learn_comm(ix, Some(renamed.new), at);
        let extra = self.store.extra(group);
        extra.renames = extra.renames.saturating_add(1);
        self.emit(t, ix, Action::Renamed { old: renamed.old, new: renamed.new });
    }

    /// Ends the other tasks of the group, because an exec leaves only one. Tasks that are exiting still have their own exit
    /// records; those of the others were lost.
    pub(crate) fn end_others(&mut self, group: Ix<Group>, survivor: Ix<Task>, t: &mut Transition<'_>) {
        if self.store.present(&self.store[group]) <= 1 {
            return;
        }
        let mut next = self.store.first_thread(group);
        while let Some(ix) = next {
            next = self.store[ix].thread_next();
            let is_older = self.store[ix].key().start < t.ctx.at;
            if ix != survivor && is_older && self.store[ix].state() < TaskState::Exiting {
                self.stats.concluded += 1;
                self.end_unseen(ix, t);
            }
        }
    }

    /// Resumes the parent of a vfork'ed child; returns for how long the child held it.
    pub(crate) fn end_vfork_hold(&mut self, group: Ix<Group>, at: Ktime) -> Option<u64> {
        let members = &mut self.store[group];
        if !members.has(fact::HOLDS_PARENT) {
            return None;
        }
        members.set(fact::HOLDS_PARENT, false);
        Some(at.since(members.start()))
    }
}
