//! `de_thread()` and what comes after it.

use super::{GroupNo, Kernel, SIGCHLD, State, TaskNo};

impl Kernel {
    pub(crate) fn exec(&mut self, task: TaskNo) {
        let group = self.tasks[task].group;
        if self.is_sole(group) {
            self.finish_exec(task);
            return;
        }
        self.groups[group].execing = Some(task);
        for other in self.groups[group].members.clone() {
            if other != task && self.tasks[other].state == State::Running {
                self.tasks[other].doomed.get_or_insert(0);
            }
        }
    }

    /// Whether a thread that waits in `de_thread()` can continue.
    pub(crate) fn exec_is_due(&self, group: GroupNo) -> bool {
        let group = &self.groups[group];
        let Some(task) = group.execing else { return false };
        if self.tasks[task].doomed.is_some() || self.tasks[task].state != State::Running {
            return false;
        }
        if group.leader == task {
            group.members.len() == 1
        } else {
            group.members.len() == 2 && self.tasks[group.leader].state == State::Zombie
        }
    }

    pub(crate) fn finish_exec(&mut self, task: TaskNo) {
        let group = self.tasks[task].group;
        self.groups[group].execing = None;
        let old_tid = self.tasks[task].tid;
        let leader = self.groups[group].leader;
        if leader != task {
            let (tid, start) = (self.tasks[leader].tid, self.tasks[leader].start);
            self.tasks[leader].tid = old_tid;
            self.tasks[task].tid = tid;
            self.tasks[task].start = start;
            self.groups[group].leader = task;
            // `leader->exit_signal = -1`, `ptrace_unlink()`
            self.tasks[leader].tracer = None;
            self.truth.did(self.key(task), "exec_takeover");
            self.release(leader, task, true);
        }
        let comm = self.tasks[task].comm.wrapping_add(1);
        self.groups[group].exit_signal = SIGCHLD;
        self.rename(task, comm);
        let at = self.tick(10);
        let view = self.view(task);
        self.tape.exec(at, &view, old_tid);
        self.truth.did(self.key(task), "execed");
        self.let_parent_go(task);
    }

    /// `mm_release()`: resumes the parent that a vfork held.
    pub(super) fn let_parent_go(&mut self, child: TaskNo) {
        for task in &mut self.tasks {
            if task.waits_for == Some(child) {
                task.waits_for = None;
            }
        }
    }
}
