//! Tracers: attach, detach, and the exit of a tracer.

use super::{Kernel, State, TaskNo};

impl Kernel {
    pub(crate) fn attach(&mut self, tracer: TaskNo, victim: TaskNo) {
        let is_own = self.tasks[tracer].group == self.tasks[victim].group;
        if is_own
            || self.tasks[victim].tracer.is_some()
            || self.tasks[victim].state != State::Running
            || victim <= 2
        {
            return;
        }
        self.tasks[victim].tracer = Some(tracer);
    }

    /// Detaches the tracees of an exiting tracer. Returns dead ones that only the tracer had to wait for.
    pub(super) fn exit_ptrace(&mut self, tracer: TaskNo) -> Vec<TaskNo> {
        let mut dead = Vec::new();
        for victim in self.present().collect::<Vec<_>>() {
            if self.tasks[victim].tracer != Some(tracer) {
                continue;
            }
            self.tasks[victim].tracer = None;
            if self.tasks[victim].state != State::Zombie {
                continue;
            }
            let group = self.tasks[victim].group;
            let real = self.tasks[self.groups[group].parent].group;
            let goes = if !self.is_leader(victim) {
                true
            } else if !self.is_sole(group) {
                false
            } else if real != self.tasks[tracer].group {
                self.parent_ignores(group)
            } else {
                self.groups[real].ignores
            };
            if goes {
                dead.push(victim);
            }
        }
        dead
    }
}
