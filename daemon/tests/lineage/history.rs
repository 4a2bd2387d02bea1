//! A random history: steps of a few tasks, in any order that the kernel allows.

use std::fmt;

use proptest::prelude::*;
use taskscope::lineage::record::ExitSource;

use crate::kernel::{Clone as CloneArgs, GroupNo, Kernel, SIGCHLD, SIGKILL, State, TaskNo};
use crate::tape::{Family, Tape};

/// A step. Its numbers choose among the possible actions, so that a history without some of its steps is still valid.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    pub(crate) what: What,
    pub(crate) who: u16,
    pub(crate) how: u16,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({}, {})", self.what, self.who, self.how)
    }
}

/// What a step is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Fork,
    Thread,
    Exec,
    Rename,
    Exit,
    ExitGroup,
    Kill,
    Wait,
    Attitude,
    Attach,
    /// The kernel continues an operation in progress.
    Kernel,
    Time,
}

/// Steps and the kernel they run on.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) steps: Vec<Step>,
    pub(crate) family: Family,
    pub(crate) syncs_group_exit: bool,
    pub(crate) pid_max: u32,
    pub(crate) with_ptrace: bool,
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        6 => Just(What::Fork),
        3 => Just(What::Thread),
        2 => Just(What::Exec),
        1 => Just(What::Rename),
        2 => Just(What::Exit),
        2 => Just(What::ExitGroup),
        1 => Just(What::Kill),
        5 => Just(What::Wait),
        1 => Just(What::Attitude),
        1 => Just(What::Attach),
        24 => Just(What::Kernel),
        1 => Just(What::Time),
    ]
}

pub(crate) fn family() -> impl Strategy<Value = Family> {
    prop_oneof![
        Just(Family::Function(ExitSource::ExitNotify)),
        Just(Family::Function(ExitSource::ProcExitConnector)),
        Just(Family::Function(ExitSource::DoTaskDead)),
        Just(Family::Tracepoint),
    ]
}

/// Histories of up to `most` steps.
pub(crate) fn history(most: usize) -> impl Strategy<Value = History> {
    let step = (what(), any::<u16>(), any::<u16>()).prop_map(|(what, who, how)| Step { what, who, how });
    let pid_max = prop_oneof![Just(24_u32), Just(4000_u32)];
    (prop::collection::vec(step, 1..most), family(), any::<bool>(), pid_max, any::<bool>()).prop_map(
        |(steps, family, syncs_group_exit, pid_max, with_ptrace)| History {
            steps,
            family,
            syncs_group_exit,
            pid_max,
            with_ptrace,
        },
    )
}

/// An operation in flight that the kernel can continue.
#[derive(Clone, Copy, Debug)]
enum Due {
    DoExit(TaskNo),
    Notify(TaskNo),
    Release(TaskNo),
    Zap(TaskNo),
    Exec(TaskNo),
    AfterNotify(TaskNo),
    Switch(TaskNo),
    Free(TaskNo),
}

impl History {
    /// Runs the history, until no operation is in progress.
    pub(crate) fn play(&self) -> Kernel {
        self.play_watched(|_| {})
    }

    /// Does what [`History::play`] does, and calls `watch` with the kernel after each step.
    pub(crate) fn play_watched(&self, mut watch: impl FnMut(&mut Kernel)) -> Kernel {
        let mut kernel = Kernel::new(Tape::new_for(self.family), self.syncs_group_exit, self.pid_max);
        for &step in &self.steps {
            self.play_step(&mut kernel, step);
            watch(&mut kernel);
        }
        while let Some(&due) = all_due(&kernel).first() {
            self.go_on(&mut kernel, due);
            watch(&mut kernel);
        }
        kernel
    }

    fn play_step(&self, kernel: &mut Kernel, step: Step) {
        let Step { what, who, how } = step;
        let actors = kernel.free_to_act();
        let actor = pick(&actors, who);
        match (what, actor) {
            (What::Kernel, _) => {
                let due = all_due(kernel);
                if let Some(due) = pick(&due, who) {
                    self.go_on(kernel, due);
                }
            }
            (What::Time, _) => drop(kernel.tick(u64::from(how) * 10_000)),
            (What::Fork, Some(task)) => drop(kernel.fork(task, clone_args(kernel, task, how))),
            (What::Thread, Some(task)) => drop(kernel.thread(task)),
            (What::Exec, Some(task)) if !is_init(kernel, task) => kernel.exec(task),
            (What::Rename, Some(task)) => kernel.rename(task, (how % 200) as u8),
            (What::Exit, Some(task)) if !is_init(kernel, task) || !kernel.is_leader(task) => {
                kernel.do_exit(task, i32::from(how % 256) << 8);
            }
            (What::ExitGroup, Some(task)) if !is_init(kernel, task) => {
                let code = i32::from(how % 256) << 8;
                let group = kernel.tasks[task].group;
                kernel.group_exit(group, code);
                kernel.do_exit(task, code);
            }
            (What::Kill, Some(task)) if !is_init(kernel, task) => {
                let signals = [SIGKILL, 15, 0x8b];
                kernel.group_exit(kernel.tasks[task].group, signals[usize::from(how) % 3]);
            }
            (What::Wait, Some(task)) => {
                let zombies = kernel.reapable(task);
                if let Some(zombie) = pick(&zombies, how) {
                    kernel.reap(task, zombie);
                }
            }
            (What::Attitude, Some(task)) => {
                let group = kernel.tasks[task].group;
                let is_namespace_init = kernel.namespaces.iter().any(|namespace| namespace.init == group);
                // A hook reads the parent's SIGCHLD disposition when the child begins to die, and the kernel uses it a moment
                // later. So the disposition must not change in between.
                let is_being_read = kernel.tasks.iter().any(|task| {
                    let parent = kernel.groups[task.group].parent;
                    matches!(task.state, State::Exiting | State::Going) && kernel.tasks[parent].group == group
                });
                let group = &mut kernel.groups[group];
                match how % 3 {
                    0 if !is_being_read => group.ignores = !group.ignores,
                    _ if !is_namespace_init => group.subreaper = how % 3 == 1,
                    _ => {}
                }
            }
            (What::Attach, Some(task)) if self.with_ptrace => {
                let others: Vec<_> = kernel.present().collect();
                if let Some(other) = pick(&others, how) {
                    kernel.attach(task, other);
                }
            }
            _ => {}
        }
    }

    /// Whether a hook at a return reports the death at once.
    fn sees_exit_notify(&self) -> bool {
        self.family == Family::Function(ExitSource::ExitNotify)
    }

    fn go_on(&self, kernel: &mut Kernel, due: Due) {
        match due {
            Due::DoExit(task) => {
                let code = kernel.tasks[task].doomed.unwrap_or(0);
                kernel.do_exit(task, code);
            }
            Due::Notify(task) => {
                kernel.exit_notify(task);
                if self.sees_exit_notify() && kernel.tasks[task].state != State::Going {
                    kernel.after_notify(task);
                }
            }
            Due::Release(task) => {
                kernel.release_itself(task);
                if self.sees_exit_notify() {
                    kernel.after_notify(task);
                }
            }
            Due::Zap(task) => drop(kernel.zap(task)),
            Due::Exec(task) => kernel.finish_exec(task),
            Due::AfterNotify(task) => kernel.after_notify(task),
            Due::Switch(task) => kernel.final_switch(task),
            Due::Free(task) => kernel.rcu_free(task),
        }
    }
}

fn pick<T: Copy>(from: &[T], number: u16) -> Option<T> {
    from.get(usize::from(number) % from.len().max(1)).copied()
}

fn is_init(kernel: &Kernel, task: TaskNo) -> bool {
    kernel.group_of(task).tgid == 1
}

fn clone_args(kernel: &Kernel, creator: TaskNo, how: u16) -> CloneArgs {
    let group: GroupNo = kernel.tasks[creator].group;
    let unkillable = kernel.namespaces.iter().any(|namespace| namespace.init == group);
    let parent = how & 7 == 1 && !unkillable;
    CloneArgs {
        parent,
        vfork: how & 0x38 == 0x08,
        vm: how & 0x38 == 0x10,
        new_pid_ns: how & 0x1c0 == 0x40 && !parent && kernel.namespaces.len() < 4,
        exit_signal: match how >> 9 & 15 {
            1 => 10,
            2 => 0,
            _ => SIGCHLD,
        },
    }
}

fn all_due(kernel: &Kernel) -> Vec<Due> {
    let mut due = Vec::new();
    for (no, task) in kernel.tasks.iter().enumerate().skip(1) {
        if task.state == State::Running && task.doomed.is_some() {
            due.push(Due::DoExit(no));
        }
        if task.state == State::Exiting {
            if kernel.can_notify(no) {
                due.push(Due::Notify(no));
            } else if kernel.zap_can_go_on(no) {
                due.push(Due::Zap(no));
            }
        }
        if task.state == State::Going {
            due.push(Due::Release(no));
        } else if task.exited_due {
            due.push(Due::AfterNotify(no));
        } else if task.switch_due {
            due.push(Due::Switch(no));
        }
        if task.free_due {
            due.push(Due::Free(no));
        }
        if kernel.exec_is_due(task.group) && kernel.groups[task.group].execing == Some(no) {
            due.push(Due::Exec(no));
        }
    }
    due
}
