//! A small model of how Linux makes, hands on and ends tasks, after kernel/fork.c, kernel/exit.c, fs/exec.c and kernel/ptrace.c.
//!
//! It knows nothing of the lineage. Each step does what one task does under the kernel's locks; what the hooks would record of
//! it goes to the [`Tape`]s of both families of rungs, and what really happened to the [`Truth`].

use taskscope::lineage::id::Ktime;
use taskscope::lineage::id::{TaskKey, TaskRef, Tgid, Tid};

use crate::tape::Tape;
use crate::truth::Truth;

/// Place of a task in [`Kernel::tasks`]; never used again.
pub(crate) type TaskNo = usize;
/// Place of a group in [`Kernel::groups`].
pub(crate) type GroupNo = usize;

pub(crate) const SIGCHLD: i32 = 17;
pub(crate) const SIGKILL: i32 = 9;

/// How far a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    Running,
    /// In `do_exit()`, `PF_EXITING` set.
    Exiting,
    /// `EXIT_ZOMBIE`.
    Zombie,
    /// `EXIT_DEAD`, on its way to release itself.
    Going,
    /// `EXIT_DEAD`: released.
    Dead,
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "what a task still owes")]
pub(crate) struct Task {
    pub(crate) tid: u32,
    pub(crate) start: u64,
    pub(crate) group: GroupNo,
    pub(crate) state: State,
    pub(crate) comm: u8,
    pub(crate) exit_code: i32,
    /// Must begin its exit with this code at its next step.
    pub(crate) doomed: Option<i32>,
    /// A vfork'ed child that has neither exec'ed nor exited.
    pub(crate) waits_for: Option<TaskNo>,
    pub(crate) tracer: Option<TaskNo>,
    /// Has passed `exit_notify()`, and not yet what follows it.
    pub(crate) owes_exited: bool,
    pub(crate) owes_switch: bool,
    pub(crate) switched: bool,
    pub(crate) owes_free: bool,
    /// First and last child when it began to die: what the tracepoint rung remembers.
    pub(crate) samples: Vec<TaskNo>,
    /// Real parent at its release.
    pub(crate) last_parent: Option<TaskNo>,
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_field_names, reason = "group_exit is the kernel's word")]
pub(crate) struct Group {
    pub(crate) tgid: u32,
    pub(crate) start: u64,
    pub(crate) leader: TaskNo,
    /// Not released, in the order of `signal->thread_head`.
    pub(crate) members: Vec<TaskNo>,
    /// `real_parent` of its leader.
    pub(crate) parent: TaskNo,
    pub(crate) exit_signal: i32,
    /// `SIGNAL_GROUP_EXIT` and its code.
    pub(crate) group_exit: Option<i32>,
    /// `SIGCHLD` ignored.
    pub(crate) ignores: bool,
    pub(crate) subreaper: bool,
    /// The thread that waits in `de_thread()`.
    pub(crate) execing: Option<TaskNo>,
    pub(crate) namespace: usize,
    /// A namespace's init in `zap_pid_ns_processes()`.
    pub(crate) zapping: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Namespace {
    pub(crate) init: GroupNo,
    pub(crate) level: u32,
    parent: usize,
}

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
    /// With init (1) and kthreadd (2), children of the idle task.
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

    // --- looking at it

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

    /// Tasks that can do something of their own.
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

    fn level(&self, task: TaskNo) -> u32 {
        self.namespaces[self.group_of(task).namespace].level
    }

    /// `wait4()` of a group's thread would find these.
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

    // --- fork.c

    fn free_tid(&mut self) -> Option<u32> {
        for _ in 0..self.pid_max {
            self.last_tid = if self.last_tid + 1 >= self.pid_max { 3 } else { self.last_tid + 1 };
            let tid = self.last_tid;
            // Tids go round: one is not handed out again before its last owner has left its CPU.
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

    fn record_birth(&mut self, no: TaskNo, creator: TaskNo, flags: u64) {
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

    // --- exec.c

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

    /// Whether a thread that waits in `de_thread()` can go on.
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

    /// `mm_release()`: the parent that a vfork held goes on.
    fn let_parent_go(&mut self, child: TaskNo) {
        for task in &mut self.tasks {
            if task.waits_for == Some(child) {
                task.waits_for = None;
            }
        }
    }

    // --- exit.c

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

    /// Whether `exit_notify()` can be reached: a namespace's init waits until it is alone.
    pub(crate) fn can_notify(&self, task: TaskNo) -> bool {
        self.tasks[task].state == State::Exiting
            && (!self.is_last_of_init(task) || self.is_alone_in_namespace(task))
    }

    fn is_last_of_init(&self, task: TaskNo) -> bool {
        let group = self.tasks[task].group;
        let namespace = self.groups[group].namespace;
        namespace != 0 && self.namespaces[namespace].init == group && self.alive_thread(group, task).is_none()
    }

    fn is_alone_in_namespace(&self, task: TaskNo) -> bool {
        let group = self.tasks[task].group;
        let own = self.groups[group].namespace;
        self.present().all(|no| {
            let of = self.tasks[no].group;
            of == group || !self.is_below(self.groups[of].namespace, own)
        })
    }

    fn is_below(&self, mut namespace: usize, top: usize) -> bool {
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

    fn alive_thread(&self, group: GroupNo, except: TaskNo) -> Option<TaskNo> {
        self.groups[group]
            .members
            .iter()
            .copied()
            .find(|&no| no != except && self.tasks[no].state == State::Running)
    }

    fn find_new_reaper(&self, father: TaskNo) -> TaskNo {
        let group = self.tasks[father].group;
        if let Some(thread) = self.alive_thread(group, father) {
            return thread;
        }
        let mut above = self.groups[group].parent;
        while above != 0 && self.level(above) == self.level(father) {
            let reaper = self.tasks[above].group;
            if self.groups[reaper].subreaper
                && let Some(thread) = self.alive_thread(reaper, father)
            {
                return thread;
            }
            above = self.groups[reaper].parent;
        }
        // `child_reaper`: its init's live thread, or the one that is in `zap_pid_ns_processes()`.
        let init = self.namespaces[self.groups[group].namespace].init;
        let members = &self.groups[init].members;
        let dying = || members.iter().copied().find(|&no| self.tasks[no].state == State::Exiting);
        self.alive_thread(init, father).or_else(dying).unwrap_or(self.groups[init].leader)
    }

    pub(crate) fn exit_notify(&mut self, task: TaskNo) {
        let group = self.tasks[task].group;
        let mut dead = self.exit_ptrace(task);
        let children = self.children_of(task);
        if !children.is_empty() {
            let reaper = self.find_new_reaper(task);
            for child in children {
                self.hand_on(child, task, reaper, &mut dead);
            }
        }
        self.tasks[task].owes_exited = true;
        self.tasks[task].owes_switch = true;
        let is_leader = self.groups[group].leader == task;
        let goes = if self.tasks[task].tracer.is_some() {
            // The tracer takes leaders and threads alike, whatever anyone ignores.
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

    /// The end of `exit_notify()`, the lock let go in between: a task nobody waits for releases itself.
    pub(crate) fn release_itself(&mut self, task: TaskNo) {
        self.release(task, task, false);
    }

    fn parent_ignores(&self, group: GroupNo) -> bool {
        let parent = self.tasks[self.groups[group].parent].group;
        self.groups[group].exit_signal == SIGCHLD && self.groups[parent].ignores
    }

    fn hand_on(&mut self, child: GroupNo, father: TaskNo, reaper: TaskNo, dead: &mut Vec<TaskNo>) {
        self.groups[child].parent = reaper;
        let leader = self.groups[child].leader;
        // `reparent_leader()` leaves one alone that is on its way out.
        if self.tasks[reaper].group == self.tasks[father].group || self.tasks[leader].state == State::Going {
            return;
        }
        self.groups[child].exit_signal = SIGCHLD;
        if self.tasks[leader].state == State::Zombie
            && self.tasks[leader].tracer.is_none()
            && self.is_sole(child)
            && self.parent_ignores(child)
        {
            dead.push(leader);
        }
        let at = self.tick(2);
        let (child, old, new) = (self.reference(leader), self.reference(father), self.reference(reaper));
        self.tape.reparented(at, child, old, new);
        self.truth.did(self.key(leader), format!("reparented {}", new.tgid));
    }

    /// `release_task()`, its second turn included.
    fn release(&mut self, task: TaskNo, by: TaskNo, de_thread: bool) {
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
            self.unhash(leader);
            self.truth.did(self.key(leader), "autoreaped");
            self.truth.did(self.key(leader), "released");
        } else {
            self.truth.did(self.key(leader), "zombie_began");
        }
    }

    fn unhash(&mut self, task: TaskNo) {
        let group = self.tasks[task].group;
        self.tasks[task].state = State::Dead;
        self.tasks[task].last_parent = Some(self.groups[group].parent);
        self.tasks[task].tracer = None;
        self.groups[group].members.retain(|&no| no != task);
        if self.tasks[task].switched {
            self.tasks[task].owes_free = true;
        }
    }

    /// A wait(2) by `by` takes a zombie.
    pub(crate) fn reap(&mut self, by: TaskNo, zombie: TaskNo) {
        let group = self.tasks[zombie].group;
        let real = self.tasks[self.groups[group].parent].group;
        let is_foreign = self.tasks[zombie].tracer.is_some() && real != self.tasks[by].group;
        // The task's own way from exit_notify() to what follows it may cross with the wait.
        if !is_foreign && self.tasks[zombie].owes_exited && self.tasks[by].tid.is_multiple_of(2) {
            self.tasks[zombie].owes_exited = false;
            let at = self.tick(2);
            let view = self.view(zombie);
            self.tape.exited_by_function(at, &view, true);
        }
        self.tasks[zombie].tracer = None;
        if is_foreign && self.is_leader(zombie) {
            // EXIT_TRACE: its tracer has seen it; now it is its parent's.
            if self.parent_ignores(group) {
                self.took(by, zombie);
                self.release(zombie, by, false);
            }
            return;
        }
        self.took(by, zombie);
        self.release(zombie, by, false);
    }

    fn took(&mut self, by: TaskNo, task: TaskNo) {
        let by = self.group_of(by).tgid;
        self.truth.did(self.key(task), format!("reaped by {by}"));
    }

    // --- ptrace.c

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

    /// A dying tracer lets its tracees go; those only it waited for are dead.
    fn exit_ptrace(&mut self, tracer: TaskNo) -> Vec<TaskNo> {
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

    // --- what follows exit_notify()

    pub(crate) fn after_notify(&mut self, task: TaskNo) {
        self.tasks[task].owes_exited = false;
        let at = self.tick(2);
        let view = self.view(task);
        self.tape.exited_by_function(at, &view, false);
    }

    pub(crate) fn final_switch(&mut self, task: TaskNo) {
        self.tasks[task].owes_switch = false;
        self.tasks[task].switched = true;
        if self.tasks[task].state == State::Dead {
            self.tasks[task].owes_free = true;
        }
        let at = self.tick(2);
        let view = self.view(task);
        let heir = self.sampled_heir(task);
        self.tape.final_switch(at, &view, heir);
    }

    /// The new parent of a remembered child that has another one now.
    fn sampled_heir(&self, task: TaskNo) -> Option<TaskRef> {
        self.tasks[task].samples.iter().find_map(|&child| {
            // `child->group_leader`: another thread may have taken the child's place.
            let leader = self.group_of(child).leader;
            let parent = self.view(leader).parent;
            (parent.key != self.key(task)).then_some(parent)
        })
    }

    pub(crate) fn rcu_free(&mut self, task: TaskNo) {
        self.tasks[task].owes_free = false;
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
    pub(crate) is_namespace_init: bool,
}

/// How to clone.
#[expect(clippy::struct_excessive_bools, reason = "as the flags of clone(2)")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clone {
    pub(crate) parent: bool,
    pub(crate) vfork: bool,
    pub(crate) vm: bool,
    pub(crate) new_pid_ns: bool,
    pub(crate) exit_signal: i32,
}

impl Default for Clone {
    fn default() -> Self {
        Self { parent: false, vfork: false, vm: false, new_pid_ns: false, exit_signal: SIGCHLD }
    }
}

impl Clone {
    fn flags(self) -> u64 {
        let bit = |set: bool, bit: u64| if set { bit } else { 0 };
        bit(self.parent, 0x8000)
            | bit(self.vfork, 0x4100)
            | bit(self.vm, 0x100)
            | bit(self.new_pid_ns, 0x2000_0000)
    }
}

impl Task {
    fn new(tid: u32, start: u64, group: GroupNo) -> Self {
        Self {
            tid,
            start,
            group,
            state: State::Running,
            comm: 1,
            exit_code: 0,
            doomed: None,
            waits_for: None,
            tracer: None,
            owes_exited: false,
            owes_switch: false,
            switched: false,
            owes_free: false,
            samples: Vec::new(),
            last_parent: None,
        }
    }
}

impl Group {
    fn new(tgid: u32, start: u64, leader: TaskNo, parent: TaskNo) -> Self {
        Self {
            tgid,
            start,
            leader,
            members: Vec::new(),
            parent,
            exit_signal: SIGCHLD,
            group_exit: None,
            ignores: false,
            subreaper: false,
            execing: None,
            namespace: 0,
            zapping: false,
        }
    }
}
