//! `do_exit()` up to `exit_notify()`, and what that decides.

use super::{GroupNo, Kernel, SIGCHLD, State, TaskNo};

impl Kernel {
    pub(crate) fn group_exit(&mut self, group: GroupNo, code: i32) {
        if self.groups[group].group_exit.is_some() {
            return;
        }
        self.groups[group].group_exit = Some(code);
        self.groups[group].execing = None;
        for task in self.groups[group].members.clone() {
            if self.tasks[task].state == State::Running {
                self.tasks[task].doomed = Some(code);
                self.tasks[task].waits_for = None;
            }
        }
    }

    /// `do_exit()` up to `exit_notify()`.
    pub(crate) fn do_exit(&mut self, task: TaskNo, code: i32) {
        let at = self.tick(10);
        let group = self.tasks[task].group;
        let has_children = !self.children_of(task).is_empty();
        let ignored = self.groups[self.tasks[self.groups[group].parent].group].ignores;
        let before = self.view(task);
        self.tape.exiting_by_function(at, &before, code, has_children, ignored);
        self.tasks[task].state = State::Exiting;
        self.tasks[task].exit_code = code;
        self.tasks[task].doomed = None;
        self.tasks[task].waits_for = None;
        let others_run =
            self.groups[group].members.iter().any(|&other| self.tasks[other].state == State::Running);
        if self.syncs_group_exit && !others_run && self.groups[group].group_exit.is_none() {
            self.groups[group].group_exit = Some(code);
        }
        let at = self.tick(2);
        let view = self.view(task);
        self.tape.exiting_by_tracepoint(at, &view, code, has_children, ignored);
        let children = self.children_of(task);
        let ends = [children.first(), children.last()];
        self.tasks[task].samples =
            ends.into_iter().flatten().map(|&child| self.groups[child].leader).collect();
        self.truth.did(self.key(task), "exiting");
        self.let_parent_go(task);
        if self.groups[group].execing == Some(task) {
            self.groups[group].execing = None;
        }
    }

    pub(crate) fn exit_notify(&mut self, task: TaskNo) {
        let group = self.tasks[task].group;
        let mut dead = self.exit_ptrace(task);
        let children = self.children_of(task);
        if !children.is_empty() {
            let reaper = self.find_new_reaper(task);
            for child in children {
                self.reparent(child, task, reaper, &mut dead);
            }
        }
        self.tasks[task].exited_due = true;
        self.tasks[task].switch_due = true;
        let is_leader = self.groups[group].leader == task;
        let goes = if self.tasks[task].tracer.is_some() {
            // A traced task waits for its tracer, leader or not, even if the parent ignores SIGCHLD.
            false
        } else if is_leader {
            self.is_sole(group) && self.parent_ignores(group)
        } else {
            true
        };
        self.tasks[task].state = if goes { State::Going } else { State::Zombie };
        self.truth.did(self.key(task), if goes { "exited EXIT_DEAD" } else { "exited EXIT_ZOMBIE" });
        if self.groups[group].members.iter().all(|&no| self.tasks[no].state >= State::Zombie) {
            let leader = self.groups[group].leader;
            self.truth.did(self.key(leader), "group_exited");
        }
        if goes {
            // The task counts as a child of the parent whose SIGCHLD disposition decided this, even if that parent ends before the
            // release.
            self.pass(task, false, false);
            self.truth.did(self.key(task), "autoreaped");
        } else if is_leader && self.is_sole(group) {
            self.truth.did(self.key(task), "zombie_began");
        }
        for task_no in dead {
            if self.tasks[task_no].state != State::Dead {
                self.took(task, task_no);
                self.release(task_no, task, false);
            }
        }
    }

    /// The end of `exit_notify()`, after the lock was released: an autoreaped task releases itself.
    pub(crate) fn release_itself(&mut self, task: TaskNo) {
        self.release(task, task, false);
    }

    pub(super) fn parent_ignores(&self, group: GroupNo) -> bool {
        let parent = self.tasks[self.groups[group].parent].group;
        self.groups[group].exit_signal == SIGCHLD && self.groups[parent].ignores
    }
}
