//! Another program, another name.

use super::Lineage;
use super::arena::Ix;
use super::effect::{Action, Effect};
use super::flags::SIGCHLD;
use super::group::{Group, fact};
use super::id::Ktime;
use super::record::{Exec, ExecArgs, Fact, Renamed};
use super::task::{Task, TaskState, known};
use super::view::Told;

/// Within this time after an exec its arguments come, or never.
const ARGS_WITHIN_NS: u64 = 100_000_000;

impl Lineage {
    pub(super) fn on_exec(&mut self, at: Ktime, exec: &Exec, out: &mut Vec<Effect>) {
        let told = Told::observed(at);
        if !exec.task.is_leader() {
            // Whoever execs is its group's leader after it.
            self.stats.contradictory += 1;
            return;
        }
        let Some((mut ix, group)) = self.subject(exec.task, told, out) else { return };
        if self.groups[group].execs > 0 && self.groups[group].exec_at >= at {
            self.stats.duplicate += 1;
            return;
        }
        if let Some(old_tid) = exec.old_tid.filter(|&old_tid| old_tid != exec.task.key.tid)
            && self.is_takeover_due(group, old_tid, at)
            && self.frees_for_takeover(group, old_tid, told, out)
        {
            self.take_over(group, old_tid, told, out);
            ix = self.groups[group].leader.unwrap_or(ix);
        }
        if self.tasks[ix].state >= TaskState::Exiting && self.tasks[ix].since < at {
            self.rise(ix, group, told, out);
        }
        let is_late = self.tasks[ix].state > TaskState::Exiting;
        self.seen_running(ix, at);
        if !is_late {
            self.end_others(group, ix, told, out);
        }
        self.learn_flags(ix, exec.task_flags);
        self.learn_comm(ix, exec.comm, at);
        self.learn_place(ix, &exec.place, at);
        let executable = exec.executable.as_ref().or(exec.path.as_ref()).map(|path| self.paths.share(path));
        let path = if exec.path.is_some() && (exec.path == exec.executable || exec.executable.is_none()) {
            executable.clone()
        } else {
            exec.path.as_ref().map(|path| self.paths.share(path))
        };
        let members = &mut self.groups[group];
        members.exec_at = at;
        members.execs = members.execs.saturating_add(1);
        members.executable = executable;
        members.exit_signal = exec.exit_signal.unwrap_or(SIGCHLD);
        members.set(fact::EXIT_SIGNAL, true);
        let vfork_held_ns = self.free_parent(group, at);
        if is_late {
            self.stats.late += 1;
            return;
        }
        let truncated = exec.truncated;
        self.tell(out, ix, told, Action::Execed { path, truncated, args: None, vfork_held_ns });
        if self.config.exec_args
            && let Some(effect) = out.pop()
            && let Some(older) = self.awaiting_args.insert(exec.task.key, effect)
        {
            out.push(older);
        }
    }

    /// Adds the arguments to the exec that waits for them.
    pub(super) fn on_exec_args(&mut self, args: &ExecArgs, out: &mut Vec<Effect>) {
        let Some(mut effect) = self.awaiting_args.remove(&args.task.key) else {
            self.stats.late += 1;
            return;
        };
        if let Action::Execed { args: held, .. } = &mut effect.action {
            *held = Some((args.args.clone(), args.truncated));
        }
        out.push(effect);
    }

    /// Tells an exec whose arguments have not come before another record of its task.
    pub(super) fn stop_waiting_for_args(&mut self, fact: &Fact, out: &mut Vec<Effect>) {
        let key = match fact {
            Fact::ExecArgs(_) => return,
            Fact::New(new) => new.creator.map(|creator| creator.key),
            Fact::CloneFailed(failed) => failed.creator.map(|creator| creator.key),
            Fact::Exec(exec) => Some(exec.task.key),
            Fact::Renamed(renamed) => Some(renamed.task.key),
            Fact::Exiting(exiting) => Some(exiting.task.key),
            Fact::Exited(exited) => Some(exited.task.key),
            Fact::Reparented(reparented) => Some(reparented.child.key),
            Fact::Released(released) => Some(released.task.key),
            Fact::Snapshot(snapshot) => Some(snapshot.task.key),
            Fact::Signal(_) | Fact::OomVictim(_) => return,
        };
        if let Some(effect) = key.and_then(|key| self.awaiting_args.remove(&key)) {
            out.push(effect);
        }
    }

    /// Tells execs whose arguments will not come any more.
    pub(super) fn give_up_args(&mut self, now: Ktime, out: &mut Vec<Effect>) {
        if !self.awaiting_args.is_empty() {
            let late = self.awaiting_args.extract_if(|_, effect| now.since(effect.at) >= ARGS_WITHIN_NS);
            let mut late: Vec<_> = late.map(|(_, effect)| effect).collect();
            late.sort_by_key(|effect| effect.at);
            out.append(&mut late);
        }
    }

    pub(super) fn on_renamed(&mut self, at: Ktime, renamed: &Renamed, out: &mut Vec<Effect>) {
        let told = Told::observed(at);
        let Some((mut ix, group)) = self.subject(renamed.task, told, out) else { return };
        self.seen_running(ix, at);
        // An exec sets the comm after the exec'ing thread has taken the leader's place, and before it is told itself.
        if let Some(thread) = self.silent_successor(ix, group, at) {
            let old_tid = self.tasks[thread].key.tid;
            self.take_over(group, old_tid, told, out);
            ix = thread;
        } else if self.tasks[ix].state >= TaskState::Zombie
            && self.tasks[ix].since < at
            && self.groups[group].leader == Some(ix)
        {
            self.rise(ix, group, told, out);
        }
        let task = &self.tasks[ix];
        if task.knows(known::COMM) && task.comm_at >= at {
            if task.comm_at == at && task.comm == renamed.new {
                self.stats.duplicate += 1;
            } else {
                self.stats.late += 1;
            }
            return;
        }
        self.learn_comm(ix, Some(renamed.new), at);
        let extra = self.extra(group);
        extra.renames = extra.renames.saturating_add(1);
        self.tell(out, ix, told, Action::Renamed { old: renamed.old, new: renamed.new });
    }

    /// An exec leaves one task in the group. Others that were seen to begin their exit still have records to come; the ends of
    /// the rest went unseen.
    pub(super) fn end_others(
        &mut self,
        group: Ix<Group>,
        survivor: Ix<Task>,
        told: Told,
        out: &mut Vec<Effect>,
    ) {
        if self.groups[group].present <= 1 {
            return;
        }
        let mut next = self.groups[group].first_thread;
        while let Some(ix) = next {
            next = self.tasks[ix].thread_next;
            let is_older = self.tasks[ix].key.start < told.at;
            if ix != survivor && is_older && self.tasks[ix].state < TaskState::Exiting {
                self.stats.concluded += 1;
                self.end_unseen(ix, told, out);
            }
        }
    }

    /// The parent that a vfork'ed child held goes on; for how long it was held.
    pub(super) fn free_parent(&mut self, group: Ix<Group>, at: Ktime) -> Option<u64> {
        let members = &mut self.groups[group];
        if !members.has(fact::HOLDS_PARENT) {
            return None;
        }
        members.set(fact::HOLDS_PARENT, false);
        Some(at.since(members.start))
    }
}
