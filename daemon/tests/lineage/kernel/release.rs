//! `release_task()`, and the wait(2) that calls it.

use super::{Kernel, State, TaskNo};

impl Kernel {
    /// `release_task()`, its second turn included.
    pub(super) fn release(&mut self, task: TaskNo, by: TaskNo, de_thread: bool) {
        self.pass(task, de_thread, false);
        let at = self.tick(2);
        let group = self.tasks[task].group;
        let view = self.view(task);
        self.tape.released(at, &view, self.reference(by), de_thread, false);
        self.unhash(task);
        self.truth.did(self.key(task), "released");
        let leader = self.groups[group].leader;
        if de_thread || leader == task || self.tasks[leader].state != State::Zombie || !self.is_sole(group) {
            return;
        }
        if self.tasks[leader].tracer.is_none() && self.parent_ignores(group) {
            let at = self.tick(2);
            let view = self.view(leader);
            self.tape.released(at, &view, self.reference(by), false, true);
            self.pass(leader, false, false);
            self.unhash(leader);
            self.truth.did(self.key(leader), "autoreaped");
            self.truth.did(self.key(leader), "released");
        } else {
            self.truth.did(self.key(leader), "zombie_began");
        }
    }

    pub(super) fn unhash(&mut self, task: TaskNo) {
        let group = self.tasks[task].group;
        self.tasks[task].state = State::Dead;
        self.tasks[task].last_parent = Some(self.groups[group].parent);
        self.tasks[task].tracer = None;
        self.groups[group].members.retain(|&no| no != task);
        if self.tasks[task].switched {
            self.tasks[task].free_due = true;
        }
    }

    /// A wait(2) of `by` reaps a zombie.
    pub(crate) fn reap(&mut self, by: TaskNo, zombie: TaskNo) {
        let group = self.tasks[zombie].group;
        let real = self.tasks[self.groups[group].parent].group;
        let is_foreign = self.tasks[zombie].tracer.is_some() && real != self.tasks[by].group;
        // The rest of the task's own exit, after exit_notify(), can run at the same time as the wait.
        if !is_foreign && self.tasks[zombie].exited_due && self.tasks[by].tid.is_multiple_of(2) {
            self.tasks[zombie].exited_due = false;
            let at = self.tick(2);
            let view = self.view(zombie);
            self.tape.exited_by_function(at, &view, true);
        }
        self.tasks[zombie].tracer = None;
        if is_foreign && self.is_leader(zombie) {
            // EXIT_TRACE: the tracer has reaped the task, and from now on the parent can.
            if self.parent_ignores(group) {
                self.took(by, zombie);
                self.release(zombie, by, false);
            }
            return;
        }
        self.took(by, zombie);
        self.pass(zombie, false, true);
        self.release(zombie, by, false);
    }

    /// Notes to which parent a released leader belonged, and whether a wait(2) of that parent reaped it.
    pub(super) fn pass(&mut self, task: TaskNo, de_thread: bool, by_wait: bool) {
        let group = self.tasks[task].group;
        if self.is_leader(task) && !de_thread {
            let parent = self.tasks[self.groups[group].parent].group;
            self.groups[group].passed.get_or_insert((parent, by_wait));
        }
    }

    pub(super) fn took(&mut self, by: TaskNo, task: TaskNo) {
        let by = self.group_of(by).tgid;
        self.truth.did(self.key(task), format!("reaped by {by}"));
    }
}
