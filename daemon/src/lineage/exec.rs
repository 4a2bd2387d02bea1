//! Another program, another name; and the exec by a thread that is not the leader.

use super::Lineage;
use super::arena::Ix;
use super::birth::RESET_EXIT_SIGNAL;
use super::effect::{Action, Effect};
use super::exit::Death;
use super::flags::EXIT_ZOMBIE;
use super::group::{Group, fact};
use super::id::{Ktime, TaskKey, TaskRef, Tid};
use super::record::{Exec, ExecArgs, Renamed};
use super::status::GroupStatus;
use super::task::{Queue, Task, TaskState, known};
use super::view::Told;

impl Lineage {
    pub(super) fn on_exec(&mut self, at: Ktime, exec: &Exec, out: &mut Vec<Effect>) {
        let told = Told::observed(at);
        // An exec always leaves the task as the leader of its group.
        let reference = TaskRef { key: exec.task.key, tgid: exec.task.tgid };
        let Some(ix) = self.subject(reference, None, told, out) else {
            self.stats.late += 1;
            return;
        };
        let Some(group) = self.tasks[ix].group else {
            self.stats.late += 1;
            return;
        };
        if self.groups[group].execs > 0 && self.groups[group].exec_at >= at {
            self.stats.duplicate += 1;
            return;
        }
        let ix = match exec.old_tid {
            Some(old_tid) if old_tid != exec.task.key.tid && self.is_takeover_due(group, old_tid) => {
                self.take_over(group, old_tid, told, out);
                self.groups[group].leader.unwrap_or(ix)
            }
            _ => ix,
        };
        self.seen_running(ix, at);
        self.end_others(group, ix, told, out);
        self.learn_flags(ix, exec.task_flags);
        self.learn_comm(ix, exec.comm, at);
        self.learn_place(ix, &exec.place, at);
        let executable = exec.executable.as_ref().or(exec.path.as_ref()).map(|path| self.paths.share(path));
        let path = exec.path.as_ref().map(|path| self.paths.share(path));
        let members = &mut self.groups[group];
        members.exec_at = at;
        members.execs = members.execs.saturating_add(1);
        members.executable = executable;
        members.exit_signal = exec.exit_signal.unwrap_or(RESET_EXIT_SIGNAL);
        members.set(fact::EXIT_SIGNAL, true);
        let vfork_held_ns = self.free_parent(group, at);
        if self.tasks[ix].state > TaskState::Running {
            self.stats.late += 1;
            return;
        }
        let truncated = exec.truncated;
        self.tell(out, ix, told, Action::Execed { path, truncated, args: None, vfork_held_ns });
        if self.config.exec_args
            && let Some(effect) = out.pop()
        {
            self.hold_back(exec.task.key, effect, out);
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

    /// Keeps an exec for its arguments, which come in the next record of the task.
    fn hold_back(&mut self, key: TaskKey, effect: Effect, out: &mut Vec<Effect>) {
        if let Some(older) = self.awaiting_args.insert(key, effect) {
            out.push(older);
        }
    }

    pub(super) fn on_renamed(&mut self, at: Ktime, renamed: &Renamed, out: &mut Vec<Effect>) {
        let told = Told::observed(at);
        let Some(ix) = self.subject(renamed.task, None, told, out) else {
            self.stats.late += 1;
            return;
        };
        self.seen_running(ix, at);
        let task = &self.tasks[ix];
        let Some(group) = task.group else {
            self.stats.late += 1;
            return;
        };
        if task.knows(known::COMM) && task.comm_at == at && task.comm == renamed.new {
            self.stats.duplicate += 1;
            return;
        }
        self.learn_comm(ix, Some(renamed.new), at);
        self.rare(group).renames += 1;
        self.tell(out, ix, told, Action::Renamed { old: renamed.old, new: renamed.new });
    }

    /// Whether an exec by the thread `old_tid` is still to be carried out here, or was when its old leader was released.
    fn is_takeover_due(&self, group: Ix<Group>, old_tid: Tid) -> bool {
        let members = &self.groups[group];
        let thread_waits = self.holder(old_tid).is_some_and(|ix| {
            let task = &self.tasks[ix];
            task.group == Some(group) && members.leader != Some(ix) && task.key.start != members.start
        });
        // Its birth was lost, but a leader that has exited cannot exec.
        let leader_is_dead =
            members.leader.is_some_and(|leader| self.tasks[leader].state > TaskState::Exiting);
        thread_waits || leader_is_dead
    }

    /// `de_thread()`: the thread that has `old_tid` becomes the leader, with the leader's tid and start time; the old leader's
    /// `task_struct` is left with the thread's tid and waits for its release.
    pub(super) fn take_over(&mut self, group: Ix<Group>, old_tid: Tid, told: Told, out: &mut Vec<Effect>) {
        let Some(old_leader) = self.groups[group].leader else { return };
        let leader_key = self.tasks[old_leader].key;
        let start_known = self.tasks[old_leader].known & known::START;
        self.groups[group].set(fact::LEADER_DIED | fact::SOLE, false);
        if self.tasks[old_leader].state < TaskState::Zombie {
            let death = Death { exit_state: Some(EXIT_ZOMBIE), de_thread: true, ..Death::default() };
            self.die(old_leader, &death, told.inferred(), out);
        }
        self.take_back_zombie(group);
        let thread = self
            .holder(old_tid)
            .filter(|&ix| self.tasks[ix].group == Some(group) && ix != old_leader)
            .unwrap_or_else(|| self.stand_in(group, leader_key, told));

        self.unindex(old_leader);
        self.unindex(thread);
        self.set_key(thread, leader_key, start_known);
        self.set_key(old_leader, TaskKey { tid: old_tid, start: leader_key.start }, start_known);

        let members = &mut self.groups[group];
        members.leader = Some(thread);
        members.status = GroupStatus::Unknown;
        members.set(fact::EXIT_TOLD, false);
        self.leave(old_leader, TaskState::Dead, told.at);
        self.queues.put(&mut self.tasks, old_leader, Queue::Dead);
        if self.groups[group].has(fact::NAMESPACE) && self.tasks[thread].vtid != self.groups[group].vtgid {
            self.tasks[thread].vtid = self.groups[group].vtgid;
        }
        self.stats.takeovers += 1;
        self.tell(out, thread, told, Action::ExecTakeover { old_tid });
    }

    /// The exec'ing thread, where its birth was lost.
    fn stand_in(&mut self, group: Ix<Group>, key: TaskKey, told: Told) -> Ix<Task> {
        let ix = self.place(key, known::START, told.at);
        self.tasks[ix].state = TaskState::Running;
        self.enrol(group, ix);
        self.stats.learned += 1;
        ix
    }

    fn set_key(&mut self, ix: Ix<Task>, key: TaskKey, start_known: u8) {
        let task = &mut self.tasks[ix];
        task.key = key;
        task.known = task.known & !known::START | start_known;
        let older = self.index.set(key.tid, Some(ix));
        self.tasks[ix].same_tid = older;
    }

    /// An exec leaves one task in the group: the others' ends were not seen, or are still to be told by the RCU callback.
    fn end_others(&mut self, group: Ix<Group>, survivor: Ix<Task>, told: Told, out: &mut Vec<Effect>) {
        if self.groups[group].present <= 1 {
            return;
        }
        let mut next = self.groups[group].first_thread;
        while let Some(ix) = next {
            next = self.tasks[ix].thread_next;
            if ix != survivor && self.tasks[ix].state < TaskState::Dead {
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

impl Lineage {
    /// Tells execs whose arguments have not come before another record of the same task.
    pub(super) fn release_held_back_by(&mut self, fact: &super::record::Fact, out: &mut Vec<Effect>) {
        use super::record::Fact;
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
        };
        if let Some(effect) = key.and_then(|key| self.awaiting_args.remove(&key)) {
            out.push(effect);
        }
    }

    /// Tells execs whose arguments will not come any more.
    pub(super) fn release_held_back(&mut self, now: Ktime, out: &mut Vec<Effect>) {
        const ARGS_WITHIN_NS: u64 = 100_000_000;
        if !self.awaiting_args.is_empty() {
            let late = self.awaiting_args.extract_if(|_, effect| now.since(effect.at) >= ARGS_WITHIN_NS);
            out.extend(late.map(|(_, effect)| effect));
        }
    }
}
