//! A small model of how Linux creates, reparents and ends tasks, after kernel/fork.c, kernel/exit.c, fs/exec.c and
//! kernel/ptrace.c.
//!
//! It does not use the lineage. Each step does what one task does under the kernel's locks. The [`Tape`]s of both families of
//! rungs get the records that the hooks would make; the [`Truth`] gets what really happened.

mod clone;
mod exec;
mod exit;
mod fork;
mod hooks;
mod namespace;
mod ptrace;
mod release;
mod reparent;
mod task;

use taskscope::lineage::id::Ktime;
use taskscope::lineage::id::{TaskKey, TaskRef, Tgid, Tid};

pub(crate) use self::clone::Clone;
pub(crate) use self::hooks::{View, usage};
pub(crate) use self::task::State;
use self::task::{Group, Namespace, Task};
use crate::tape::Tape;
use crate::truth::Truth;

/// Index of a task in [`Kernel::tasks`]; it is never reused.
pub(crate) type TaskNo = usize;
/// Index of a group in [`Kernel::groups`].
pub(crate) type GroupNo = usize;

pub(crate) const SIGCHLD: i32 = 17;
pub(crate) const SIGKILL: i32 = 9;

pub(crate) struct Kernel {
    pub(crate) now: u64,
    pub(crate) tasks: Vec<Task>,
    pub(crate) groups: Vec<Group>,
    pub(crate) namespaces: Vec<Namespace>,
    pub(crate) tape: Tape,
    pub(crate) truth: Truth,
    /// `synchronize_group_exit()`, from 5.17 on.
    pub(crate) syncs_group_exit: bool,
    pub(crate) pid_max: u32,
    last_tid: u32,
}

impl Kernel {
    /// Returns a kernel with init (1) and kthreadd (2), which are children of the idle task.
    pub(crate) fn new(tape: Tape, syncs_group_exit: bool, pid_max: u32) -> Self {
        let idle = Task::new(0, 0, 0);
        let mut idle_group = Group::new(0, 0, 0, 0);
        idle_group.members.push(0);
        let mut kernel = Self {
            now: 1000,
            tasks: vec![idle],
            groups: vec![idle_group],
            namespaces: vec![Namespace { init: 1, level: 0, parent: 0 }],
            tape,
            truth: Truth::default(),
            syncs_group_exit,
            pid_max,
            last_tid: 0,
        };
        kernel.fork(0, Clone::default());
        kernel.fork(0, Clone::default());
        kernel
    }

    pub(crate) fn tick(&mut self, ns: u64) -> u64 {
        self.now += ns;
        self.now
    }

    pub(crate) fn reference(&self, task: TaskNo) -> TaskRef {
        let group = &self.groups[self.tasks[task].group];
        TaskRef { key: self.key(task), tgid: Tgid(group.tgid) }
    }

    pub(crate) fn key(&self, task: TaskNo) -> TaskKey {
        let task = &self.tasks[task];
        TaskKey { tid: Tid(task.tid), start: Ktime(task.start) }
    }

    pub(crate) fn is_leader(&self, task: TaskNo) -> bool {
        self.group_of(task).leader == task
    }

    pub(crate) fn group_of(&self, task: TaskNo) -> &Group {
        &self.groups[self.tasks[task].group]
    }

    pub(crate) fn is_sole(&self, group: GroupNo) -> bool {
        self.groups[group].members.len() == 1
    }

    /// Every task not released.
    pub(crate) fn present(&self) -> impl Iterator<Item = TaskNo> + '_ {
        (1..self.tasks.len()).filter(|&task| self.tasks[task].state != State::Dead)
    }

    /// Returns tasks that can take a step by themselves.
    pub(crate) fn free_to_act(&self) -> Vec<TaskNo> {
        self.present()
            .filter(|&no| {
                let task = &self.tasks[no];
                task.state == State::Running
                    && task.doomed.is_none()
                    && task.waits_for.is_none()
                    && self.group_of(no).execing.is_none()
                    && task.tid != 2
            })
            .collect()
    }

    pub(crate) fn children_of(&self, task: TaskNo) -> Vec<GroupNo> {
        (1..self.groups.len())
            .filter(|&group| self.groups[group].parent == task && !self.groups[group].members.is_empty())
            .collect()
    }

    pub(super) fn level(&self, task: TaskNo) -> u32 {
        self.namespaces[self.group_of(task).namespace].level
    }

    /// Returns the tasks that `wait4()` of a thread of this group would find.
    pub(crate) fn reapable(&self, parent: TaskNo) -> Vec<TaskNo> {
        let of = self.tasks[parent].group;
        self.present()
            .filter(|&no| {
                let task = &self.tasks[no];
                let group = self.group_of(no);
                let is_mine = self.tasks[group.parent].group == of;
                match task.tracer {
                    Some(tracer) => {
                        self.tasks[tracer].group == of
                            && task.state == State::Zombie
                            && (!self.is_leader(no) || group.members.len() == 1)
                    }
                    None => {
                        is_mine
                            && self.is_leader(no)
                            && task.state == State::Zombie
                            && group.members.len() == 1
                    }
                }
            })
            .collect()
    }
}
