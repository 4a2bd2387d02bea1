//! A host with the tasks of a recording, and a daemon on it that suffers faults.

use std::{collections::BTreeMap, fmt::Write as _};

use taskscope::{
    lineage::{
        Effect, Lineage, TaskState,
        flags::{EXIT_ZOMBIE, PF_EXITING},
        id::{Ktime, TaskKey, Tgid},
        record::{ExitParts, Fact, Record, Snapshot, SnapshotSource, TaskPlace},
    },
    recording::{Entry, Header},
    runtime::replay::{Replay, change_lineage},
};

use crate::{faults::Kind, ring::may_pass};

/// Hooks on two CPUs that are further apart than this, ns, do not run at the same time.
const TOGETHER_NS: u64 = 20_000;

/// Later than every time limit.
const LATER_NS: u64 = 100_000_000_000;

/// What really happened, and what the daemon knows of it.
pub(crate) struct Host {
    header: Header,
    /// The recording without faults: it stands for the kernel.
    real: Daemon,
    faulty: Daemon,
    /// Records that are still to be lost, to come twice, or to be passed.
    lose: u32,
    double: u32,
    pass: u32,
    /// Records lost since the last tick.
    lost: u32,
    /// Whether the tree has to be compared at the next tick.
    comparison_due: bool,
    hidden: Vec<Tgid>,
    now: Ktime,
    steps: u64,
}

/// A lineage, and how many records were passed to it.
struct Daemon {
    lineage: Lineage,
    effects: Vec<Effect>,
    handed: u64,
}

impl Daemon {
    fn new(header: &Header) -> Self {
        Self { lineage: Replay::new(header, true).lineage, effects: Vec::new(), handed: 0 }
    }

    fn apply(&mut self, record: &Record, now: Ktime) {
        self.lineage.apply(record, now, &mut self.effects);
        self.handed += 1;
    }

    /// Makes the call of an entry again.
    fn step(&mut self, entry: &Entry) {
        match entry {
            Entry::Record { record, now } => self.apply(record, *now),
            _ => change_lineage(&mut self.lineage, entry, &mut self.effects),
        }
        self.handed += u64::from(matches!(entry, Entry::ShownUnchanged(_)));
        self.effects.clear();
    }

    /// The invariants, and the sums: each record that was passed in was counted.
    fn check(&self) -> Result<(), String> {
        self.lineage.check()?;
        let stats = self.lineage.stats();
        if stats.records != self.handed {
            return Err(format!("{} records were passed in and {} counted", self.handed, stats.records));
        }
        Ok(())
    }
}

impl Host {
    pub(crate) fn new(header: &Header) -> Self {
        Self {
            real: Daemon::new(header),
            faulty: Daemon::new(header),
            header: header.clone(),
            lose: 0,
            double: 0,
            pass: 0,
            lost: 0,
            comparison_due: false,
            hidden: Vec::new(),
            now: header.begun,
            steps: 0,
        }
    }

    /// Returns whether the daemon gets the second of two entries first.
    pub(crate) fn passes(&mut self, earlier: &Entry, later: &Entry) -> bool {
        let (Entry::Record { record: one, .. }, Entry::Record { record: other, .. }) = (earlier, later)
        else {
            return false;
        };
        let is_shown = |record: &Record| matches!(record.fact, Fact::Snapshot(_));
        if self.pass == 0 || is_shown(one) || is_shown(other) {
            return false;
        }
        self.pass -= 1;
        let distance = other.at.since(one.at).max(one.at.since(other.at));
        one.cpu != other.cpu && distance < TOGETHER_NS && may_pass(one, other)
    }

    /// Applies `entry` to the daemon and `really` to the kernel. They differ if the daemon gets two records in the wrong order.
    pub(crate) fn step(&mut self, entry: &Entry, really: &Entry) -> Result<(), String> {
        self.steps += 1;
        self.now = Replay::time_of(entry).unwrap_or_default().max(self.now);
        self.real.step(really);
        match entry {
            Entry::Record { record, .. } if !matches!(record.fact, Fact::Snapshot(_)) => {
                self.deliver(entry, record);
            }
            Entry::Hidden(groups) => {
                self.hidden.clone_from(groups);
                self.faulty.step(entry);
            }
            Entry::Tick { now, .. } => {
                self.notice(*now)?;
                self.faulty.step(entry);
                self.faulty.check()?;
            }
            _ => self.faulty.step(entry),
        }
        Ok(())
    }

    fn deliver(&mut self, entry: &Entry, record: &Record) {
        if self.lose > 0 {
            self.lose -= 1;
            self.lost += 1;
            return;
        }
        self.faulty.step(entry);
        // A failed clone is not repeated, because two equal records would be two failures.
        if self.double > 0 && !matches!(record.fact, Fact::CloneFailed(_)) {
            self.double -= 1;
            self.faulty.step(entry);
        }
    }

    /// The daemon reads the counters.
    fn notice(&mut self, now: Ktime) -> Result<(), String> {
        if self.lost > 0 {
            self.lost = 0;
            self.comparison_due = true;
            self.faulty.lineage.doubt_signals(now);
            self.faulty.lineage.doubt_zombies(now);
        } else if self.comparison_due && self.lose == 0 {
            self.compare()?;
        }
        Ok(())
    }

    pub(crate) fn inflict(&mut self, fault: Kind) -> Result<(), String> {
        match fault {
            Kind::Lose(count) => self.lose += u32::from(count),
            Kind::Double(count) => self.double += u32::from(count),
            Kind::Pass(count) => self.pass += u32::from(count),
            Kind::Restart => {
                self.faulty = Daemon::new(&self.header);
                self.faulty.lineage.set_hidden(self.hidden.iter().copied());
                self.lost = 0;
                self.compare()?;
            }
            Kind::Compare => self.compare()?,
            Kind::Doubt => {
                self.faulty.lineage.doubt_zombies(self.now);
                self.comparison_due = true;
            }
        }
        Ok(())
    }

    /// Reads all tasks of the kernel.
    fn compare(&mut self) -> Result<(), String> {
        self.comparison_due = self.lost > 0;
        let at = Ktime(self.now.0 + 1);
        self.now = at;
        let shown = shown(&self.real.lineage, &self.hidden, at);
        let faulty = &mut self.faulty;
        faulty.lineage.begin_snapshot(at);
        for record in &shown {
            faulty.apply(record, at);
        }
        faulty.lineage.end_snapshot(Ktime(at.0 + 1), &mut faulty.effects);
        faulty.effects.clear();
        faulty.check()
    }

    /// After a comparison and some time, the daemon has the kernel's tasks. Returns how many entries were played.
    pub(crate) fn end(mut self) -> Result<u64, String> {
        self.lost = 0;
        self.faulty.lineage.doubt_zombies(self.now);
        self.compare()?;
        for daemon in [&mut self.real, &mut self.faulty] {
            daemon.lineage.tick(Ktime(self.now.0 + LATER_NS), &mut daemon.effects);
            daemon.check()?;
        }
        let (expected, found) = (tasks(&self.real.lineage), tasks(&self.faulty.lineage));
        let mut wrong = String::new();
        for (key, text) in &expected {
            if found.get(key) != Some(text) {
                let _ = writeln!(wrong, "{key:?}\n  kernel: {text}\n  daemon: {:?}", found.get(key));
            }
        }
        for (key, text) in found.iter().filter(|(key, _)| !expected.contains_key(key)) {
            let _ = writeln!(wrong, "{key:?}\n  kernel: nothing\n  daemon: {text}");
        }
        let zombies = |daemon: &Daemon| (daemon.lineage.zombie_count(), daemon.lineage.unconfirmed_count());
        let (real, of_daemon) = (zombies(&self.real), zombies(&self.faulty));
        if of_daemon != (real.0 + real.1, 0) {
            let _ = writeln!(wrong, "zombies, and uncertain ones: kernel {real:?}, daemon {of_daemon:?}");
        }
        if wrong.is_empty() { Ok(self.steps) } else { Err(format!("the trees differ:\n{wrong}")) }
    }
}

/// The tasks as the kernel's iterator would show them; groups that it hides are read from /proc.
fn shown(real: &Lineage, hidden: &[Tgid], at: Ktime) -> Vec<Record> {
    let mut shown: Vec<Record> = real
        .tasks()
        .filter(|task| task.task.key.tid.0 != 0 && task.state < TaskState::Dead)
        .map(|task| {
            let group = real.group(task.task.tgid);
            let exiting = if task.state >= TaskState::Exiting { PF_EXITING } else { 0 };
            let snapshot = Snapshot {
                task: task.task,
                leader_start: group.and_then(|group| group.key().start),
                source: if hidden.contains(&task.task.tgid) {
                    SnapshotSource::Procfs
                } else {
                    SnapshotSource::Iterator
                },
                parent: group.and_then(|group| group.parent_task()),
                tracer: None,
                exit_state: Some(if task.state == TaskState::Zombie { EXIT_ZOMBIE } else { 0 }),
                exit: ExitParts { exit_code: task.thread.exit_code, group: None },
                exit_signal: task.thread.exit_signal,
                task_flags: Some(task.thread.flags.unwrap_or(0) & !PF_EXITING | exiting),
                nr_threads: group.and_then(|group| i32::try_from(group.threads().count()).ok()),
                state: None,
                place: TaskPlace { cgroup_id: task.thread.cgroup_id, ..TaskPlace::default() },
                comm: task.thread.name,
                usage: None,
            };
            Record { at, cpu: 0, fact: Fact::Snapshot(Box::new(snapshot)) }
        })
        .collect();
    // The BPF iterator visits tasks in the order of their tids.
    shown.sort_by_key(|record| match &record.fact {
        Fact::Snapshot(seen) => seen.task.key.tid,
        _ => unreachable!("only snapshots are made here"),
    });
    shown
}

/// Tasks in a form that can be compared.
fn tasks(lineage: &Lineage) -> BTreeMap<TaskKey, String> {
    let of = |task: taskscope::lineage::TaskView| {
        let state = match task.state {
            TaskState::Implied | TaskState::Running => "running",
            state => state.name(),
        };
        let name = task.thread.name.map(|name| String::from_utf8_lossy(name.bytes()).into_owned());
        let mut text = format!("{state} of {} called {name:?}", task.task.tgid);
        if task.task.is_leader()
            && let Some(parent) = lineage.group(task.task.tgid).and_then(|group| group.parent())
        {
            let _ = write!(text, " below {}", parent.key().tgid);
        }
        (task.task.key, text)
    };
    lineage.tasks().filter(|task| task.task.key.tid.0 != 0 && task.state < TaskState::Dead).map(of).collect()
}
