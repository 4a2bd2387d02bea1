//! What live tasks, zombies and remembered lives cost.

use super::fixture::Fixture;
use crate::model::id::{Ktime, TaskKey, TaskRef, Tgid, Tid};
use crate::model::record::{
    Comm, Exec, ExitParts, ExitSource, Exited, Fact, GroupExit, New, Place, Record, ReleaseSource, Released,
    Reparented, Usage,
};
use crate::{Config, Lineage};

/// The budget of DESIGN.md 7.
const BYTES_PER_TASK: usize = 256;
/// The same for a zombie, all that is known of its life included.
const BYTES_PER_ZOMBIE: usize = 256;
/// One that was handed to another parent.
const BYTES_PER_ORPHAN: usize = 328;
/// A life that is over, without children: all of a million are 192 MB.
const BYTES_PER_LIFE: usize = 192;
/// One that had children.
const BYTES_PER_PARENT: usize = 512;

const PROCESSES: u32 = 100_000;

fn process(tid: u32, start: u64) -> TaskRef {
    TaskRef { key: TaskKey { tid: Tid(tid), start: Ktime(start) }, tgid: Tgid(tid) }
}

/// The parent of all.
fn init() -> TaskRef {
    process(1, 1)
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

    /// A child is forked and execs.
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
            place: Place { cgroup_id: Some(4711), namespace: None, credentials: Some((1000, 1000)) },
            comm: Some(Comm(*b"sh\0\0\0\0\0\0\0\0\0\0\0\0\0\0")),
        }));
        self.apply(Fact::Exec(Box::new(Exec {
            task,
            old_tid: None,
            place: Place::default(),
            task_flags: Some(0),
            exit_signal: Some(17),
            comm: Some(Comm(*b"sleep\0\0\0\0\0\0\0\0\0\0\0")),
            path: Some(b"/usr/bin/sleep".to_vec()),
            executable: Some(b"/usr/bin/sleep".to_vec()),
            truncated: false,
        })));
        task
    }

    /// It ends, and nobody waits.
    fn exit(&mut self, task: TaskRef, parent: TaskRef) {
        for source in [ExitSource::ProcExitConnector, ExitSource::FinalSwitch] {
            self.apply(Fact::Exited(Box::new(Exited {
                task,
                source,
                exit_state: Some(32),
                exit: ExitParts { exit_code: Some(0), group: Some(GroupExit { code: 0, by_group: true }) },
                exit_signal: Some(17),
                task_flags: Some(4),
                nr_threads: Some(1),
                parent: Some(parent),
                tracer: Some(None),
                new_reaper: None,
                usage: Some(Usage {
                    exec_runtime_ns: 90_000_000_000,
                    run_delay_ns: 1_000_000,
                    run_count: 40_000,
                    utime_ns: 80_000_000_000,
                    stime_ns: 9_000_000_000,
                    nvcsw: 30_000,
                    nivcsw: 9_000,
                    min_flt: 200_000,
                    maj_flt: 100,
                }),
            })));
        }
    }

    /// Its parent waits.
    fn reap(&mut self, task: TaskRef, parent: TaskRef) {
        self.apply(Fact::Released(Box::new(Released {
            task,
            source: ReleaseSource::Entry,
            by: Some(parent),
            parent: Some(parent),
            tracer: Some(None),
            exit_state: Some(16),
            exit: ExitParts::default(),
            exit_signal: Some(17),
            task_flags: Some(4),
            de_thread: false,
        })));
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

#[test]
fn a_zombie_costs_no_more_than_its_budget() {
    let mut host = Host::new(0);
    for tid in 2..PROCESSES {
        let task = host.fork(tid, init());
        host.exit(task, init());
    }
    assert_eq!(host.lineage.zombie_count(), PROCESSES as usize - 2);
    let per_zombie = host.lineage.memory().live / PROCESSES as usize;
    println!("{per_zombie} bytes each");
    assert!(per_zombie <= BYTES_PER_ZOMBIE, "{per_zombie} bytes a zombie");
}

#[test]
fn a_zombie_that_was_handed_to_another_parent_costs_little_more() {
    let mut host = Host::new(0);
    let parent = host.fork(2, init());
    for tid in 3..PROCESSES {
        let task = host.fork(tid, parent);
        host.exit(task, parent);
    }
    for tid in 3..PROCESSES {
        let child = host.lineage.task(Tid(tid)).unwrap().task;
        host.apply(Fact::Reparented(Reparented {
            child,
            old_parent: Some(parent),
            new_parent: init(),
            exit_signal: Some(17),
        }));
    }
    assert_eq!(host.lineage.zombie_count(), PROCESSES as usize - 3);
    assert_eq!(host.lineage.group(Tgid(3)).unwrap().parent().unwrap().key().tgid, Tgid(1));
    let per_zombie = host.lineage.memory().live / PROCESSES as usize;
    println!("{per_zombie} bytes each");
    assert!(per_zombie <= BYTES_PER_ORPHAN, "{per_zombie} bytes a zombie");
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
    // Half of them are childless.
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
