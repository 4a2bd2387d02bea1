//! The init of a pid namespace: `zap_pid_ns_processes()`.

use super::{Kernel, SIGKILL, State, TaskNo};

impl Kernel {
    /// Whether `exit_notify()` can be reached: a namespace's init waits until it is alone.
    pub(crate) fn can_notify(&self, task: TaskNo) -> bool {
        self.tasks[task].state == State::Exiting
            && (!self.is_last_of_init(task) || self.is_alone_in_namespace(task))
    }

    pub(super) fn is_last_of_init(&self, task: TaskNo) -> bool {
        let group = self.tasks[task].group;
        let namespace = self.groups[group].namespace;
        namespace != 0 && self.namespaces[namespace].init == group && self.alive_thread(group, task).is_none()
    }

    pub(super) fn is_alone_in_namespace(&self, task: TaskNo) -> bool {
        let group = self.tasks[task].group;
        let own = self.groups[group].namespace;
        self.present().all(|no| {
            let of = self.tasks[no].group;
            of == group || !self.is_below(self.groups[of].namespace, own)
        })
    }

    pub(super) fn is_below(&self, mut namespace: usize, top: usize) -> bool {
        while namespace != top && namespace != 0 {
            namespace = self.namespaces[namespace].parent;
        }
        namespace == top
    }

    /// Whether [`Self::zap`] would do something.
    pub(crate) fn zap_can_go_on(&self, task: TaskNo) -> bool {
        let group = self.tasks[task].group;
        self.is_last_of_init(task) && (!self.groups[group].zapping || !self.reapable(task).is_empty())
    }

    /// `zap_pid_ns_processes()`: kills all, then waits for its children until none is left. True if something was done.
    pub(crate) fn zap(&mut self, task: TaskNo) -> bool {
        if self.tasks[task].state != State::Exiting || !self.is_last_of_init(task) {
            return false;
        }
        let group = self.tasks[task].group;
        let own = self.groups[group].namespace;
        if !self.groups[group].zapping {
            self.groups[group].zapping = true;
            self.groups[group].ignores = true;
            for other in 1..self.groups.len() {
                if other != group
                    && !self.groups[other].members.is_empty()
                    && self.is_below(self.groups[other].namespace, own)
                {
                    self.group_exit(other, SIGKILL);
                }
            }
            return true;
        }
        let child = self.reapable(task).first().copied();
        if let Some(child) = child {
            self.reap(task, child);
        }
        child.is_some()
    }
}
