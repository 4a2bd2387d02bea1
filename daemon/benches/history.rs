//! Writes a day of lives through the lineage and the writer of the history, and measures how long questions about it take.
//!
//! `cargo bench -p taskscope --bench history -- --lives 10000000 --directory DIR` keeps the segments; without `--directory` they are
//! written below the temporary directory and removed. The default is a small day, so that the bench runs everywhere.
#![allow(
    clippy::expect_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_wrap,
    clippy::cast_possible_truncation,
    reason = "a measurement"
)]

use std::{
    env, fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use taskscope::{
    answer::life::{LifeFilter, LifeRecord},
    cgroup::Cgroups,
    export::Stamp,
    history::{
        History, Limits,
        read::{LatestSearch, LifeSearch, ReadDirectory, Times, known},
    },
    lineage::{
        Config, Effect, Lineage,
        id::{Ktime, TaskKey, TaskRef, Tgid, Tid},
        record::{
            Comm, Exec, ExitParts, ExitSource, Exited, Exiting, Fact, GroupExit, New, Record, ReleaseSource,
            Released, TaskPlace, TaskUsage,
        },
    },
};

/// Names of programs, the common ones first.
const NAMES: [&str; 24] = [
    "sh", "bash", "sleep", "grep", "sed", "awk", "date", "cat", "python3", "curl", "git", "cc1", "ld",
    "make", "ssh", "sshd", "cron", "nginx", "postgres", "java", "node", "rsync", "gzip", "apt",
];

/// Pids that are used in turn.
const PIDS: u32 = 100_000;

/// One of this many processes lives for an hour; the others end at once.
const LONG_ONE_IN: u64 = 1000;
const HOUR_NS: u64 = 3_600_000_000_000;
const DAY_NS: u64 = 24 * HOUR_NS;

/// The most lives that are queued for the disk.
const QUEUED: u64 = 12_000;

fn process(tid: u32, start: u64) -> TaskRef {
    TaskRef { key: TaskKey { tid: Tid(tid), start: Ktime(start) }, tgid: Tgid(tid) }
}

fn comm(name: &str) -> Comm {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(name.bytes().take(15)) {
        *to = from;
    }
    Comm(bytes)
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
        place: TaskPlace { cgroup_id: Some(1), namespace: None, credentials: Some((1000, 1000)) },
        comm: Some(comm("sh")),
    })
}

/// One life from fork to release, a child of `parent`.
fn life(n: u64, at: u64, parent: TaskRef, records: &mut Vec<Record>) {
    // Squaring the random number makes the first names more common.
    let dice = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let share = (dice % 1000) * (dice % 1000) / 1000;
    let name = NAMES[share as usize * NAMES.len() / 1000];
    let start = if n.is_multiple_of(LONG_ONE_IN) { at.saturating_sub(HOUR_NS).max(2) } else { at };
    let task = process(100 + (n % u64::from(PIDS)) as u32, start);
    // One in a thousand is killed, one in a hundred exits with 1.
    let code = if n % 1000 == 7 { 9 } else { i32::from(n % 100 == 3) << 8 };
    let exit = ExitParts { exit_code: Some(code), group: Some(GroupExit { code, by_group: true }) };
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
            exec_runtime_ns: 500_000 + dice % 5_000_000,
            run_delay_ns: dice % 100_000,
            run_count: 3 + dice % 7,
            nvcsw: 1 + dice % 5,
            min_flt: 100 + dice % 300,
            ..TaskUsage::default()
        }),
    };
    let mut record = |after: u64, fact| records.push(Record { at: Ktime(at + after), cpu: 0, fact });
    let path = format!("/usr/bin/{name}").into_bytes();
    record(1, new(task, parent));
    record(
        1000,
        Fact::Exec(Box::new(Exec {
            task,
            old_tid: None,
            place: TaskPlace::default(),
            task_flags: Some(0),
            exit_signal: Some(17),
            comm: Some(comm(name)),
            path: Some(path.clone()),
            executable: Some(path),
            truncated: false,
        })),
    );
    let exiting = Exiting {
        task,
        exit,
        task_flags: Some(4),
        nr_threads: Some(1),
        exit_signal: Some(17),
        has_children: Some(false),
        tracer: None,
        seccomp_mode: None,
        parent_ignores_sigchld: Some(false),
    };
    record(500_000, Fact::Exiting(exiting));
    record(501_000, Fact::Exited(exited(ExitSource::ProcExitConnector)));
    record(502_000, Fact::Exited(exited(ExitSource::FinalSwitch)));
    let released = Released {
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
    };
    record(600_000 + dice % 100_000, Fact::Released(released));
}

/// Writes a day with this many lives; the day ends now.
fn write(path: &Path, lives: u64, stamp: &Stamp) {
    let limits = Limits { bytes: 8 << 30, age: Duration::from_secs(30 * 86_400) };
    let mut history = History::open(path, limits);
    history.start();
    assert!(history.is_on(), "the history cannot be written");
    let config = Config { reports_lives: true, dead_lives: 1000, ..Config::default() };
    let mut lineage = Lineage::new(config);
    let cgroups = Cgroups::of_host();
    let (mut effects, mut records): (Vec<Effect>, Vec<Record>) = (Vec::new(), Vec::new());
    let parent = process(1, 1);
    lineage.apply(&Record { at: Ktime(1), cpu: 0, fact: new(parent, process(0, 0)) }, Ktime(1), &mut effects);
    let step = DAY_NS / lives;
    let began = Instant::now();
    for n in 0..lives {
        life(n, HOUR_NS + n * step, parent, &mut records);
        if records.len() < 600 && n + 1 < lives {
            continue;
        }
        effects.clear();
        for record in &records {
            lineage.apply(record, record.at, &mut effects);
        }
        records.clear();
        history.take(&effects, 1, stamp, &cgroups);
        loop {
            let figures = history.stats().figures();
            assert_eq!(figures.lost_queue + figures.lost_disk, 0, "{figures:?}");
            if n.saturating_sub(figures.lives_written) < QUEUED {
                break;
            }
            sleep(Duration::from_millis(1));
        }
    }
    drop(history);
    println!("{lives} lives written in {:.1} s", began.elapsed().as_secs_f64());
}

/// Runs a question three times; prints the shortest time and the answer's size.
fn ask(what: &str, question: impl Fn() -> String) {
    let mut best = Duration::MAX;
    let mut answer = String::new();
    for _ in 0..3 {
        let began = Instant::now();
        answer = question();
        best = best.min(began.elapsed());
    }
    println!("{:>9.1} ms  {what}: {answer}", best.as_secs_f64() * 1000.0);
}

fn all(directory: &Arc<ReadDirectory>, times: Times, filter: &LifeFilter) -> String {
    let mut search = LifeSearch::new(Arc::clone(directory), times, filter.clone());
    let mut count = 0_u64;
    let mut each = |_: &[u8], _: LifeRecord| {
        count += 1;
        ControlFlow::Continue(())
    };
    while !search.go_on(Duration::from_secs(1), &mut each).expect("the directory is readable") {}
    let damage = search.finish();
    assert!(!damage.is_any(), "{damage:?}");
    format!("{count} lives; {} frames read, {} passed", damage.frames_read, damage.frames_passed)
}

fn latest(directory: &Arc<ReadDirectory>, filter: &LifeFilter) -> String {
    let search = LatestSearch::new(Arc::clone(directory), Times::ALL, filter.clone(), 100);
    let mut search = search.expect("the directory is readable");
    while !search.go_on(Duration::from_secs(1)).expect("the directory is readable") {}
    let (lives, damage) = search.finish();
    format!("{} lives; {} frames read, {} passed", lives.len(), damage.frames_read, damage.frames_passed)
}

fn main() {
    let args: Vec<String> = env::args().collect();
    let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
    let lives = value("--lives").map_or(20_000, |text| text.parse().expect("a number of lives"));
    let kept = value("--directory").map(PathBuf::from);
    let path =
        kept.clone().unwrap_or_else(|| env::temp_dir().join(format!("taskscope-day-{}", std::process::id())));
    let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_nanos() as i128;
    let stamp = Stamp::new("0badcafe", now_ns - i128::from(DAY_NS + HOUR_NS));
    if !path.exists() {
        write(&path, lives, &stamp);
    }
    let bytes: u64 = fs::read_dir(&path)
        .expect("the directory")
        .filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()))
        .sum();
    println!("{:.1} bytes of disk for each life", bytes as f64 / lives as f64);
    let open = || Arc::new(ReadDirectory::open(&path).expect("a history"));
    let directory = open();
    ask("opening, and what is known since when", || {
        let known = known(&open(), i64::MIN).expect("the directory is readable");
        format!("{} gaps", known.gaps.len())
    });
    let noon_ms = (now_ns / 1_000_000) as i64 - 12 * 3_600_000;
    let filter = LifeFilter::default;
    let pid = 100 + 4711;
    ask("every process of a day that had one pid", || {
        all(&directory, Times::ALL, &LifeFilter { pids: vec![pid], ..filter() })
    });
    ask("the processes that existed twelve hours ago (tree --at)", || {
        all(&directory, Times::since(noon_ms), &LifeFilter { at_ms: Some(noon_ms), ..filter() })
    });
    ask("the process that had one pid twelve hours ago (explain --at)", || {
        all(
            &directory,
            Times::since(noon_ms),
            &LifeFilter { at_ms: Some(noon_ms), pids: vec![pid], ..filter() },
        )
    });
    ask("the last 100 that failed (deaths --since 1d)", || {
        latest(&directory, &LifeFilter { failed: true, ..filter() })
    });
    ask("the last 100 of a cause that none has (deaths --since 1d --cause oom)", || {
        latest(&directory, &LifeFilter { causes: vec!["oom".into()], failed: true, ..filter() })
    });
    ask("five minutes of twelve hours ago", || {
        all(&directory, Times { from_ms: noon_ms, to_ms: noon_ms + 300_000 }, &filter())
    });
    if args.iter().any(|arg| arg == "--scan") {
        ask("every life", || all(&directory, Times::ALL, &filter()));
    }
    if kept.is_none() {
        fs::remove_dir_all(&path).expect("the temporary directory");
    }
}
