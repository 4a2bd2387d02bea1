//! `copy_process()`: a tid, a task, a group, maybe a pid namespace; and a changed comm.

use super::task::{Group, Task};
use super::{Clone, Kernel, Namespace, State, TaskNo};

impl Kernel {
    pub(super) fn free_tid(&mut self) -> Option<u32> {
        for _ in 0..self.pid_max {
            self.last_tid = if self.last_tid + 1 >= self.pid_max { 3 } else { self.last_tid + 1 };
            let tid = self.last_tid;
            // Tids wrap around. A tid is not used again before its last task has left its CPU.
            let is_free = |no: TaskNo| {
                let task = &self.tasks[no];
                let is_used = task.state != State::Dead || !task.switched;
                !(is_used && (task.tid == tid || self.group_of(no).tgid == tid))
            };
            if (0..self.tasks.len()).all(is_free) {
                return Some(tid);
            }
        }
        None
    }

    pub(crate) fn fork(&mut self, creator: TaskNo, clone: Clone) -> Option<TaskNo> {
        let Some(tid) = self.free_tid() else {
            self.tick(10);
            self.tape.clone_failed(self.now, self.reference(creator), clone.flags());
            return None;
        };
        let start = self.tick(10);
        let no = self.tasks.len();
        let parent = if clone.parent { self.group_of(creator).parent } else { creator };
        let exit_signal = if clone.parent { self.group_of(creator).exit_signal } else { clone.exit_signal };
        let mut namespace = self.group_of(creator).namespace;
        let group_no = self.groups.len();
        if clone.new_pid_ns {
            let level = self.namespaces[namespace].level + 1;
            self.namespaces.push(Namespace { init: group_no, level, parent: namespace });
            namespace = self.namespaces.len() - 1;
        }
        let mut group = Group::new(tid, start, no, parent);
        group.members.push(no);
        group.exit_signal = exit_signal;
        group.namespace = namespace;
        self.groups.push(group);
        let mut task = Task::new(tid, start, group_no);
        task.comm = self.tasks[creator].comm;
        self.tasks.push(task);
        if clone.vfork {
            self.tasks[creator].waits_for = Some(no);
        }
        self.record_birth(no, creator, clone.flags());
        Some(no)
    }

    pub(crate) fn thread(&mut self, creator: TaskNo) -> Option<TaskNo> {
        let tid = self.free_tid()?;
        let start = self.tick(10);
        let no = self.tasks.len();
        let group = self.tasks[creator].group;
        let mut task = Task::new(tid, start, group);
        task.comm = self.tasks[creator].comm;
        self.tasks.push(task);
        self.groups[group].members.push(no);
        self.record_birth(no, creator, 0x003d_0f00);
        Some(no)
    }

    pub(super) fn record_birth(&mut self, no: TaskNo, creator: TaskNo, flags: u64) {
        self.tick(2);
        let view = self.view(no);
        let creator = self.reference(creator);
        self.tape.born(self.now, &view, creator, flags);
        self.truth.did(self.key(no), "forked");
    }

    pub(crate) fn rename(&mut self, task: TaskNo, comm: u8) {
        let old = std::mem::replace(&mut self.tasks[task].comm, comm);
        let at = self.tick(10);
        self.tape.renamed(at, self.reference(task), old, comm);
        self.truth.did(self.key(task), format!("renamed {comm}"));
    }
}
