//! Measures how many records a second the lineage applies, with few and with many live tasks.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use taskscope::kernel::memory::prefer_huge_pages;
use taskscope::lineage::id::{Ktime, TaskKey, TaskRef, Tgid, Tid};
use taskscope::lineage::record::{
    Comm, Exec, ExitParts, ExitSource, Exited, Exiting, Fact, GroupExit, New, Record, ReleaseSource,
    Released, TaskPlace, TaskUsage,
};
use taskscope::lineage::{Config, Effect, Lineage};

/// Records of one short life: fork, exec, start of the exit, end of the exit, reaping, last switch.
const RECORDS_A_LIFE: u64 = 6;
/// Lives whose records are applied in one batch: as many records as the daemon takes from the ring at a time.
const BATCH: usize = 512 / RECORDS_A_LIFE as usize;

fn process(tid: u32, start: u64) -> TaskRef {
    TaskRef { key: TaskKey { tid: Tid(tid), start: Ktime(start) }, tgid: Tgid(tid) }
}

fn record(at: u64, fact: Fact) -> Record {
    Record { at: Ktime(at), cpu: 0, fact }
}

fn new(task: TaskRef, parent: TaskRef) -> Fact {
    Fact::New(New {
        task,
        leader_start: Some(task.key.start),
        creator: Some(parent),
        parent: Some(parent),
        clone_flags: Some(0),
        exit_signal: Some(17),
        task_flags: Some(0x40),
        place: TaskPlace { cgroup_id: Some(1), namespace: None, credentials: Some((0, 0)) },
        comm: Some(Comm(*b"sh\0\0\0\0\0\0\0\0\0\0\0\0\0\0")),
    })
}

/// One life from fork to last switch, a child of `parent`.
fn life(tid: u32, at: u64, parent: TaskRef, records: &mut Vec<Record>) {
    let task = process(tid, at);
    let exit = ExitParts { exit_code: Some(0), group: Some(GroupExit { code: 0, by_group: true }) };
    let exited = |source| Exited {
        task,
        source,
        exit_state: Some(32),
        exit,
        exit_signal: Some(17),
        task_flags: Some(4),
        nr_threads: Some(1),
        parent: Some(parent),
        tracer: Some(None),
        new_reaper: None,
        usage: Some(TaskUsage {
            exec_runtime_ns: at,
            run_delay_ns: 1,
            nvcsw: 1,
            min_flt: 20,
            ..TaskUsage::default()
        }),
    };
    records.push(record(at + 1, new(task, parent)));
    records.push(record(
        at + 2,
        Fact::Exec(Box::new(Exec {
            task,
            old_tid: None,
            place: TaskPlace::default(),
            task_flags: Some(0),
            exit_signal: Some(17),
            comm: Some(Comm(*b"true\0\0\0\0\0\0\0\0\0\0\0\0")),
            path: Some(b"/usr/bin/true".to_vec()),
            executable: Some(b"/usr/bin/true".to_vec()),
            truncated: false,
        })),
    ));
    records.push(record(
        at + 3,
        Fact::Exiting(Exiting {
            task,
            exit,
            task_flags: Some(4),
            nr_threads: Some(1),
            exit_signal: Some(17),
            has_children: Some(false),
            tracer: None,
            seccomp_mode: None,
            parent_ignores_sigchld: Some(false),
        }),
    ));
    records.push(record(at + 4, Fact::Exited(exited(ExitSource::ProcExitConnector))));
    records.push(record(at + 5, Fact::Exited(exited(ExitSource::FinalSwitch))));
    records.push(record(
        at + 6,
        Fact::Released(Released {
            task,
            source: ReleaseSource::Entry,
            by: Some(parent),
            parent: Some(parent),
            tracer: Some(None),
            exit_state: Some(16),
            exit,
            exit_signal: Some(17),
            task_flags: Some(4),
            de_thread: false,
        }),
    ));
}

fn lineage(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("records");
    for live in [1_000_u32, 100_000, 1_000_000] {
        let mut lineage = Lineage::new(Config { room: Some(prefer_huge_pages), ..Config::default() });
        let mut effects: Vec<Effect> = Vec::new();
        for tid in 1..=live {
            let parent = if tid == 1 { process(0, 0) } else { process(1, 1_001) };
            let start = u64::from(tid) + 1_000;
            lineage.apply(&record(start, new(process(tid, start), parent)), Ktime(start), &mut effects);
            effects.clear();
        }
        println!("{live} live tasks: {} bytes each", lineage.memory().live / live as usize);
        let mut at = u64::from(live) + 2_000;
        let (mut dice, mut turn) = (1_u32, 0);
        group.throughput(Throughput::Elements(RECORDS_A_LIFE * BATCH as u64));
        group.bench_function(BenchmarkId::from_parameter(live), |bencher| {
            bencher.iter_batched(
                || {
                    let mut records = Vec::with_capacity(BATCH * 6);
                    for _ in 0..BATCH {
                        at += 10_000;
                        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        // Any live task can be the parent; tids wrap around above those of live tasks.
                        let parent = dice % live + 1;
                        let tid = live + 1 + turn % 100_000;
                        turn += 1;
                        life(tid, at, process(parent, u64::from(parent) + 1_000), &mut records);
                    }
                    records
                },
                |records| {
                    for records in records.chunks(Lineage::PREFETCHED) {
                        lineage.prefetch(records);
                        for record in records {
                            lineage.apply(black_box(record), record.at, &mut effects);
                        }
                    }
                    black_box(&effects);
                    effects.clear();
                    records
                },
                // Each batch is made right before it is applied, as the daemon decodes records and applies them.
                criterion::BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// Cache lines of cold memory that a life touches: four of its parent (entry in the index, task, group, account), and one of the
/// sibling that it is linked in front of.
const COLD_LINES_A_LIFE: usize = 5;

/// Measures the cost of memory accesses alone: for each life as many dependent accesses as the lineage makes, in as many slots of
/// the same size. Compare the result with the difference between the lineage's times with many and with few tasks.
fn floor(criterion: &mut Criterion) {
    const LINES_A_SLOT: usize = 4;
    let mut group = criterion.benchmark_group("floor");
    for live in [1_000_usize, 100_000, 1_000_000] {
        let mut slots = vec![[0_u64; 8]; live * LINES_A_SLOT];
        for (n, slot) in slots.iter_mut().enumerate() {
            slot[0] = n as u64 * 7;
        }
        let mut dice = 1_u64;
        group.throughput(Throughput::Elements(RECORDS_A_LIFE * BATCH as u64));
        group.bench_function(BenchmarkId::from_parameter(live), |bencher| {
            bencher.iter(|| {
                for _ in 0..BATCH * COLD_LINES_A_LIFE {
                    let place = (dice >> 20) as usize % slots.len();
                    let slot = &mut slots[place];
                    slot[1] += 1;
                    dice = (dice ^ slot[0])
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                }
                black_box(dice)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, lineage, floor);
criterion_main!(benches);
