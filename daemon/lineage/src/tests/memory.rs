//! The memory that live tasks, zombies and stored lives take.

use super::fixture::Fixture;
use crate::model::id::{Ktime, TaskKey, TaskRef, Tgid, Tid};
use crate::model::record::{
    Comm, Exec, ExitParts, ExitSource, Exited, Fact, GroupExit, New, Record, ReleaseSource, Released,
    Renamed, Reparented, TaskPlace, TaskUsage,
};
use crate::{Config, Lineage};

/// The budget for a live task, bytes.
const BYTES_PER_TASK: usize = 256;
/// The budget for a zombie, bytes: its task, group, usage and side tables.
const BYTES_PER_ZOMBIE: usize = 256;
/// The budget for an ended life without children, bytes: a million take 192 MB.
const BYTES_PER_LIFE: usize = 192;
/// The budget for an ended life that had children, bytes.
const BYTES_PER_PARENT: usize = 512;

/// CPU time of each task, ns. The sum of four tasks fits into the 37 bits of `PackedUsage`.
const CPU_NS: u64 = 30_000_000_000;

const PROCESSES: u32 = 100_000;

fn process(tid: u32, start: u64) -> TaskRef {
    TaskRef { key: TaskKey { tid: Tid(tid), start: Ktime(start) }, tgid: Tgid(tid) }
}

/// The parent of all processes.
fn init() -> TaskRef {
    process(1, 1)
}

fn exited(
    task: TaskRef,
    source: ExitSource,
    exit_state: u32,
    parent: Option<TaskRef>,
    nr_threads: Option<i32>,
) -> Fact {
    Fact::Exited(Exited {
        task,
        source,
        exit_state: Some(exit_state),
        exit: ExitParts { exit_code: Some(0), group: Some(GroupExit { code: 0, by_group: true }) },
        exit_signal: Some(if task.is_leader() { 17 } else { -1 }),
        task_flags: Some(4),
        nr_threads,
        parent,
        tracer: Some(None),
        new_reaper: None,
        usage: Some(TaskUsage {
            exec_runtime_ns: CPU_NS,
            run_delay_ns: 1_000_000,
            run_count: 40_000,
            utime_ns: CPU_NS / 10 * 9,
            stime_ns: CPU_NS / 10,
            nvcsw: 30_000,
            nivcsw: 9_000,
            min_flt: 200_000,
            maj_flt: 100,
        }),
    })
}

fn released(task: TaskRef, by: TaskRef, parent: Option<TaskRef>, exit_signal: Option<i32>) -> Fact {
    Fact::Released(Released {
        task,
        source: ReleaseSource::Entry,
        by: Some(by),
        parent,
        tracer: Some(None),
        exit_state: Some(16),
        exit: ExitParts::default(),
        exit_signal,
        task_flags: Some(4),
        de_thread: false,
    })
}

struct Host {
    lineage: Lineage,
    now: u64,
}

impl Host {
    fn new(dead_lives: usize) -> Self {
        let config = Config { dead_lives, ..Config::default() };
        Self { lineage: Lineage::new(config), now: 1_000_000_000 }
    }

    fn apply(&mut self, fact: Fact) {
        self.now += 1;
        let record = Record { at: Ktime(self.now), cpu: 0, fact };
        self.lineage.apply(&record, record.at, &mut Vec::new());
    }

    /// Forks a child, which calls execve(2).
    fn fork(&mut self, tid: u32, parent: TaskRef) -> TaskRef {
        let task = process(tid, self.now + 1);
        self.apply(Fact::New(New {
            task,
            leader_start: Some(task.key.start),
            creator: Some(parent),
            parent: Some(parent),
            clone_flags: Some(0x120_0000),
            exit_signal: Some(17),
            task_flags: Some(0x40),
            place: TaskPlace { cgroup_id: Some(4711), namespace: None, credentials: Some((1000, 1000)) },
            comm: Some(Comm(*b"sh\0\0\0\0\0\0\0\0\0\0\0\0\0\0")),
        }));
        self.apply(Fact::Exec(Box::new(Exec {
            task,
            old_tid: None,
            place: TaskPlace::default(),
            task_flags: Some(0),
            exit_signal: Some(17),
            comm: Some(Comm(*b"sleep\0\0\0\0\0\0\0\0\0\0\0")),
            path: Some(b"/usr/bin/sleep".to_vec()),
            executable: Some(b"/usr/bin/sleep".to_vec()),
            truncated: false,
        })));
        task
    }

    /// Adds a thread to a process.
    fn thread(&mut self, leader: TaskRef) -> TaskRef {
        let key = TaskKey { tid: Tid(PROCESSES + leader.tgid.0), start: Ktime(self.now + 1) };
        let task = TaskRef { key, tgid: leader.tgid };
        self.apply(Fact::New(New {
            task,
            leader_start: Some(leader.key.start),
            creator: Some(leader),
            parent: None,
            clone_flags: Some(0x3d_0f00),
            exit_signal: Some(-1),
            task_flags: Some(0x40),
            place: TaskPlace::default(),
            comm: Some(Comm(*b"worker\0\0\0\0\0\0\0\0\0\0")),
        }));
        task
    }

    /// Ends a thread, which releases itself.
    fn exit_thread(&mut self, thread: TaskRef) {
        self.apply(released(thread, thread, None, Some(-1)));
        self.apply(exited(thread, ExitSource::FinalSwitch, 16, None, None));
    }

    fn rename(&mut self, task: TaskRef) {
        let old = Comm(*b"sleep\0\0\0\0\0\0\0\0\0\0\0");
        let new = Comm(*b"worker-1\0\0\0\0\0\0\0\0");
        self.apply(Fact::Renamed(Renamed { task, old, new }));
    }

    /// Applies `exit_notify()` of a leader with `nr_threads` tasks in its group.
    fn notify(&mut self, task: TaskRef, parent: TaskRef, threads: i32) {
        self.apply(exited(task, ExitSource::ProcExitConnector, 32, Some(parent), Some(threads)));
    }

    /// Ends a process, which becomes a zombie.
    fn exit(&mut self, task: TaskRef, parent: TaskRef) {
        self.notify(task, parent, 1);
        self.apply(exited(task, ExitSource::FinalSwitch, 32, Some(parent), Some(1)));
    }

    /// Lets tombstones expire and uncertain reparentings settle.
    fn settle(&mut self) {
        self.lineage.tick(Ktime(self.now + 3_600_000_000_000), &mut Vec::new());
    }

    /// Returns the bytes per zombie. Slots that live tasks had are free and not counted.
    fn bytes_per_zombie(&self, zombies: u32) -> usize {
        assert_eq!(self.lineage.zombie_count(), zombies as usize);
        let memory = self.lineage.memory();
        let bytes = (memory.live - memory.spare) / zombies as usize;
        println!("{bytes} bytes each");
        bytes
    }

    /// Lets the parent reap a zombie.
    fn reap(&mut self, task: TaskRef, parent: TaskRef) {
        self.apply(released(task, parent, Some(parent), Some(17)));
    }
}

#[test]
fn a_live_task_costs_no_more_than_its_budget() {
    let mut fixture = Fixture::new();
    let init = fixture.init();
    let template = fixture.new_of(init, 2, "sh");
    for tid in 2..PROCESSES {
        let start = Ktime(2_000_000 + u64::from(tid));
        let mut new = template;
        new.task = TaskRef { key: TaskKey { tid: Tid(tid), start }, tgid: Tgid(tid) };
        let record = Record { at: start, cpu: 0, fact: Fact::New(new) };
        fixture.lineage.apply(&record, start, &mut fixture.effects);
        fixture.effects.clear();
    }
    let per_task = fixture.lineage.memory().live / PROCESSES as usize;
    println!("{per_task} bytes each");
    assert!(per_task <= BYTES_PER_TASK, "{per_task} bytes a live process");
}

/// Creates zombies one after the other and returns the bytes of each. `live` is called with the host, a process and its parent.
fn bytes_per_zombie(live: impl Fn(&mut Host, TaskRef)) -> usize {
    let mut host = Host::new(0);
    for tid in 2..PROCESSES {
        let task = host.fork(tid, init());
        live(&mut host, task);
    }
    host.settle();
    host.bytes_per_zombie(PROCESSES - 2)
}

#[test]
fn a_zombie_costs_no_more_than_its_budget() {
    let bytes = bytes_per_zombie(|host, task| host.exit(task, init()));
    assert!(bytes <= BYTES_PER_ZOMBIE, "{bytes} bytes a zombie");
}

#[test]
fn so_does_one_that_had_threads() {
    let bytes = bytes_per_zombie(|host, task| {
        for _ in 0..3 {
            let thread = host.thread(task);
            host.exit_thread(thread);
        }
        host.exit(task, init());
    });
    assert!(bytes <= BYTES_PER_ZOMBIE, "{bytes} bytes a zombie");
}

#[test]
fn so_does_one_whose_leader_died_before_its_threads() {
    let bytes = bytes_per_zombie(|host, task| {
        let thread = host.thread(task);
        host.notify(task, init(), 2);
        host.apply(exited(task, ExitSource::FinalSwitch, 32, Some(init()), Some(2)));
        host.exit_thread(thread);
    });
    assert!(bytes <= BYTES_PER_ZOMBIE, "{bytes} bytes a zombie");
}

#[test]
fn so_does_one_that_was_renamed() {
    let bytes = bytes_per_zombie(|host, task| {
        host.rename(task);
        host.exit(task, init());
    });
    assert!(bytes <= BYTES_PER_ZOMBIE, "{bytes} bytes a zombie");
}

/// Creates zombies whose parent dies, and returns the bytes of each. `before` is called with each child and the parent before the
/// reparenting, `after` afterwards.
fn bytes_per_orphan(
    before: impl Fn(&mut Host, TaskRef, TaskRef),
    reparent: impl Fn(&mut Host, &[TaskRef], TaskRef),
    after: impl Fn(&mut Host, TaskRef),
) -> usize {
    let mut host = Host::new(0);
    let parent = host.fork(2, init());
    let children: Vec<_> = (3..PROCESSES).map(|tid| host.fork(tid, parent)).collect();
    for &child in &children {
        before(&mut host, child, parent);
    }
    reparent(&mut host, &children, parent);
    for &child in &children {
        after(&mut host, child);
    }
    assert_eq!(host.lineage.group(Tgid(3)).unwrap().parent().unwrap().key().tgid, Tgid(1));
    host.settle();
    host.bytes_per_zombie(PROCESSES - 3)
}

/// A record shows each reparenting.
fn shown(host: &mut Host, children: &[TaskRef], parent: TaskRef) {
    for &child in children {
        host.apply(Fact::Reparented(Reparented {
            child,
            old_parent: Some(parent),
            new_parent: init(),
            exit_signal: Some(17),
        }));
    }
}

/// Only the end of the parent is recorded.
fn concluded(host: &mut Host, _: &[TaskRef], parent: TaskRef) {
    host.exit(parent, init());
    host.reap(parent, init());
}

#[test]
fn so_does_one_that_was_handed_to_another_parent() {
    let bytes = bytes_per_orphan(Host::exit, shown, |_, _| {});
    assert!(bytes <= BYTES_PER_ZOMBIE, "{bytes} bytes a zombie");
}

#[test]
fn so_does_one_that_was_handed_to_another_parent_and_died_then() {
    let bytes = bytes_per_orphan(|_, _, _| {}, shown, |host, task| host.exit(task, init()));
    assert!(bytes <= BYTES_PER_ZOMBIE, "{bytes} bytes a zombie");
}

#[test]
fn so_does_one_whose_new_parent_was_concluded() {
    let bytes = bytes_per_orphan(|_, _, _| {}, concluded, |host, task| host.exit(task, init()));
    assert!(bytes <= BYTES_PER_ZOMBIE, "{bytes} bytes a zombie");
    let bytes = bytes_per_orphan(Host::exit, concluded, |_, _| {});
    assert!(bytes <= BYTES_PER_ZOMBIE, "{bytes} bytes a zombie");
}

#[test]
fn so_does_an_orphan_that_had_threads_and_another_name() {
    let live = |host: &mut Host, task, _| {
        let thread = host.thread(task);
        host.rename(task);
        host.exit_thread(thread);
    };
    let bytes = bytes_per_orphan(live, shown, |host, task| host.exit(task, init()));
    assert!(bytes <= BYTES_PER_ZOMBIE, "{bytes} bytes a zombie");
}

#[test]
fn a_remembered_life_costs_no_more_than_its_budget() {
    let mut host = Host::new(PROCESSES as usize);
    for n in 0..2 * PROCESSES {
        let task = host.fork(2 + n % 30_000, init());
        host.exit(task, init());
        host.reap(task, init());
    }
    assert_eq!(host.lineage.remembered(), PROCESSES as usize);
    let per_life = host.lineage.memory().dead / PROCESSES as usize;
    println!("{per_life} bytes each");
    assert!(per_life <= BYTES_PER_LIFE, "{per_life} bytes a life");
}

#[test]
fn a_remembered_parent_costs_no_more_than_its_budget() {
    let mut host = Host::new(PROCESSES as usize);
    for n in 0..PROCESSES {
        let parent = host.fork(2 + n % 30_000, init());
        let child = host.fork(40_000 + n % 30_000, parent);
        host.exit(child, parent);
        host.reap(child, parent);
        host.exit(parent, init());
        host.reap(parent, init());
    }
    assert_eq!(host.lineage.remembered(), PROCESSES as usize);
    // Half of the processes have no children.
    let per_parent = host.lineage.memory().dead / (PROCESSES as usize / 2) - BYTES_PER_LIFE;
    println!("{per_parent} bytes each");
    assert!(per_parent <= BYTES_PER_PARENT, "{per_parent} bytes a life");
}

#[test]
fn lives_are_shed_from_the_oldest_on_and_their_memory_comes_back() {
    let mut host = Host::new(PROCESSES as usize);
    for n in 0..10_000 {
        let task = host.fork(2 + n, init());
        host.exit(task, init());
        host.reap(task, init());
    }
    let before = host.lineage.memory().dead;
    let freed = host.lineage.shed_lives(100);
    assert_eq!(host.lineage.remembered(), 100);
    assert!(freed > before * 9 / 10, "{freed} of {before}");
    assert!(host.lineage.life(Tgid(2), Ktime(host.now)).is_none());
    assert!(host.lineage.life(Tgid(10_001), Ktime(host.now)).is_some());
    host.lineage.check().unwrap();
}
