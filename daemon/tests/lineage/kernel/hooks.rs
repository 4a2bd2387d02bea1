//! What the hooks see of a task: after `exit_notify()`, at its last switch, in the RCU callback.

use taskscope::lineage::id::TaskRef;
use taskscope::lineage::record::TaskUsage;

use super::{Kernel, State, TaskNo};

impl Kernel {
    pub(crate) fn after_notify(&mut self, task: TaskNo) {
        self.tasks[task].exited_due = false;
        let at = self.tick(2);
        let view = self.view(task);
        self.tape.exited_by_function(at, &view, false);
    }

    pub(crate) fn final_switch(&mut self, task: TaskNo) {
        self.tasks[task].switch_due = false;
        self.tasks[task].switched = true;
        if self.tasks[task].state == State::Dead {
            self.tasks[task].free_due = true;
        }
        let at = self.tick(2);
        let view = self.view(task);
        let new_reaper = self.sampled_new_reaper(task);
        self.tape.final_switch(at, &view, new_reaper);
    }

    /// Returns the new parent of the first sampled child that has another parent now.
    pub(super) fn sampled_new_reaper(&self, task: TaskNo) -> Option<TaskRef> {
        self.tasks[task].samples.iter().find_map(|&child| {
            // `child->group_leader`: another thread may have taken the child's place.
            let leader = self.group_of(child).leader;
            let parent = self.view(leader).parent;
            (parent.key != self.key(task)).then_some(parent)
        })
    }

    pub(crate) fn rcu_free(&mut self, task: TaskNo) {
        self.tasks[task].free_due = false;
        let at = self.tick(2);
        let view = self.view(task);
        self.tape.freed(at, &view);
    }

    /// A task as a hook reads it.
    pub(crate) fn view(&self, no: TaskNo) -> View {
        let task = &self.tasks[no];
        let group = &self.groups[task.group];
        let parent = task.last_parent.unwrap_or(group.parent);
        let namespace = &self.namespaces[group.namespace];
        View {
            task: self.reference(no),
            leader_start: group.start,
            parent: self.reference(parent),
            tracer: task.tracer.map(|tracer| self.reference(tracer)),
            is_leader: group.leader == no,
            state: task.state,
            exit_code: task.exit_code,
            group_exit: group.group_exit,
            exit_signal: if group.leader == no { group.exit_signal } else { -1 },
            nr_threads: i32::try_from(group.members.len()).unwrap_or(i32::MAX),
            comm: task.comm,
            namespace: u32::try_from(group.namespace).unwrap_or(u32::MAX),
            level: namespace.level,
            usage: usage(no, task.switched),
            is_namespace_init: group.leader == no && self.namespaces[group.namespace].init == task.group,
        }
    }
}

/// What a hook can read of a task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) task: TaskRef,
    pub(crate) leader_start: u64,
    pub(crate) parent: TaskRef,
    pub(crate) tracer: Option<TaskRef>,
    pub(crate) is_leader: bool,
    pub(crate) state: State,
    pub(crate) exit_code: i32,
    pub(crate) group_exit: Option<i32>,
    pub(crate) exit_signal: i32,
    pub(crate) nr_threads: i32,
    pub(crate) comm: u8,
    pub(crate) namespace: u32,
    pub(crate) level: u32,
    pub(crate) usage: TaskUsage,
    pub(crate) is_namespace_init: bool,
}

/// Returns what a task has used at its death; up to its last switch (`switched`) it uses some more. The figures differ for each
/// task, so that a mix-up of two tasks is noticed.
pub(crate) fn usage(no: TaskNo, switched: bool) -> TaskUsage {
    let (no, last) = (no as u64 + 1, u64::from(switched));
    TaskUsage {
        exec_runtime_ns: no * 1_000 + last * 7,
        run_delay_ns: no * 3_000,
        run_count: no + 2,
        utime_ns: no % 3 * 4_000_000,
        stime_ns: (no + last) % 2 * 4_000_000,
        nvcsw: no + last,
        nivcsw: no / 2,
        min_flt: no * 10,
        maj_flt: no % 5,
    }
}
