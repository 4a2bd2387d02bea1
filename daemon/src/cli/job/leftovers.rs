//! The end of a job: waits for its last events, finds the processes that it left, and kills them if asked to.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::time::sleep;

use super::{Exit, Observed, Shared};
use crate::{
    bounded,
    job::{self, Cost, Leftover, Member},
    kernel::clock,
    lineage::id::{Ktime, Tgid},
    procfs::{Procfs, Stat},
};

/// How long the last events are waited for. On the tracepoint rung a release is reported an RCU grace period after it.
const LAST_EVENTS: Duration = Duration::from_secs(10);

/// The pause between two checks.
const PAUSE: Duration = Duration::from_millis(10);

/// How long a leftover may take to end after SIGTERM.
const AFTER_TERM: Duration = Duration::from_secs(5);

/// The most bytes of a file of /proc that is read here.
const MOST_BYTES: usize = 64 << 10;

/// The most threads of a leftover whose CPU time is read.
const MOST_THREADS: usize = 4096;

/// The end of a job.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// When the report was made, ns of `CLOCK_BOOTTIME`.
    pub(super) now_ns: u64,
    /// What was left, and what was done to it.
    pub(super) leftovers: Vec<Leftover>,
}

impl Observed {
    /// Returns a failure. It is never used, because observing ends only after the command has ended.
    pub(super) fn nothing() -> Self {
        let status = Err(Exit::failed("observing ended before the command did"));
        Self { status, ending: Ending::default() }
    }
}

impl Ending {
    /// Waits for the last events of the job, reads what its leftovers have used so far, and ends them if asked to.
    pub(super) async fn wait(shared: &Shared, kills: bool) -> Self {
        settle(shared).await;
        let now_ns = clock::boottime().0;
        add_costs(shared);
        let found = |shared: &Shared| {
            shared.borrow().members().map_or_else(Vec::new, |members| job::leftovers(members, now_ns))
        };
        let mut leftovers = found(shared);
        if kills {
            let mut done = kill(shared).await;
            for leftover in &mut leftovers {
                leftover.killed = done.remove(&leftover.pid);
            }
            // The others were forked while the leftovers were being ended.
            leftovers.extend(done.into_iter().map(|(pid, killed)| Leftover {
                pid,
                name: "?".into(),
                killed: Some(killed),
                ..Leftover::default()
            }));
        }
        Self { now_ns, leftovers }
    }
}

/// Adds what the living have used so far.
fn add_costs(shared: &Shared) {
    let procfs = Procfs::default();
    let mut collector = shared.borrow_mut();
    let Some(members) = collector.members_mut() else { return };
    let alive = members.alive().filter(|(_, member)| member.ended.is_none());
    let costs: Vec<_> = alive.filter_map(|(at, member)| Some((at, cost(&procfs, member)?))).collect();
    for (at, cost) in costs {
        if let Some(member) = members.get_mut(at) {
            member.cost = Some(cost);
        }
    }
}

/// Waits until all processes of the job that are gone have been reported so.
async fn settle(shared: &Shared) {
    let until = Instant::now() + LAST_EVENTS;
    while !is_settled(shared) {
        if Instant::now() >= until {
            let note = "the last events of some processes have not come; they may be shown as left, or with figures that are too small";
            shared.borrow_mut().notes.push(note.into());
            return;
        }
        sleep(PAUSE).await;
    }
}

fn is_settled(shared: &Shared) -> bool {
    let collector = shared.borrow();
    if collector.has_ended {
        return true;
    }
    let Some(members) = collector.members() else { return true };
    let Some(command) = members.command() else { return false };
    let procfs = Procfs::default();
    command.is_released && members.all().iter().all(|member| member.is_released || is_there(&procfs, member))
}

/// Whether /proc still has it.
fn is_there(procfs: &Procfs, member: &Member) -> bool {
    stat(procfs, member).is_some()
}

fn stat(procfs: &Procfs, member: &Member) -> Option<Stat> {
    let found = procfs.stat(Tgid(member.pid)).ok().flatten()?;
    procfs.began(&found, Ktime(member.start_ns)).then_some(found)
}

/// Returns what the threads of a live process have used so far; those that ended are not in it.
fn cost(procfs: &Procfs, member: &Member) -> Option<Cost> {
    stat(procfs, member)?;
    let path = PathBuf::from(format!("/proc/{}", member.pid));
    let mut cost = Cost { at_least: true, ..Cost::default() };
    for task in std::fs::read_dir(path.join("task")).ok()?.flatten().take(MOST_THREADS) {
        let text = bounded::read(&task.path().join("schedstat"), MOST_BYTES).ok();
        let text = text.and_then(|text| String::from_utf8(text).ok()).unwrap_or_default();
        let mut figures = text.split_ascii_whitespace().filter_map(|figure| figure.parse::<u64>().ok());
        cost.cpu_ns = cost.cpu_ns.saturating_add(figures.next().unwrap_or(0));
        cost.run_delay_ns = cost.run_delay_ns.saturating_add(figures.next().unwrap_or(0));
    }
    let text = bounded::read(&path.join("stat"), MOST_BYTES).ok()?;
    let text = String::from_utf8_lossy(&text);
    let fields: Vec<u64> =
        text.rsplit(')').next()?.split_ascii_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    let field = |number: usize| fields.get(number).copied().unwrap_or(0);
    // proc(5): minflt, majflt, utime, stime are the fields 10, 12, 14, 15; the comm is the second.
    (cost.minor_faults, cost.major_faults) = (field(7), field(9));
    let (user, system) = (field(11), field(12));
    let ticks = u128::from(user) + u128::from(system);
    let share = u128::from(cost.cpu_ns) * u128::from(system) / ticks.max(1);
    cost.system_ns = u64::try_from(share).unwrap_or(0);
    cost.user_ns = cost.cpu_ns.saturating_sub(cost.system_ns);
    Some(cost)
}

/// Sends SIGTERM to all that is left, and SIGKILL to what does not end; returns what was done to which pid.
async fn kill(shared: &Shared) -> BTreeMap<u32, String> {
    let mut done = BTreeMap::new();
    signal_all(shared, Signal::TERM, "ended by SIGTERM", &mut done);
    wait_for_ends(shared, AFTER_TERM).await;
    // Processes that were forked in the meantime get SIGKILL at once. Further rounds are for processes that are forked during a
    // round.
    for _ in 0..3 {
        if left(shared).is_empty() {
            break;
        }
        signal_all(shared, Signal::KILL, "ended by SIGKILL", &mut done);
        wait_for_ends(shared, AFTER_TERM).await;
    }
    let still: Vec<_> = left(shared).into_iter().map(|(pid, _)| pid).collect();
    for pid in still {
        done.entry(pid).or_insert_with(String::new).push_str(", but is still there");
    }
    settle(shared).await;
    done
}

/// Returns pids and starts of processes that have not ended.
fn left(shared: &Shared) -> Vec<(u32, u64)> {
    let procfs = Procfs::default();
    let collector = shared.borrow();
    let members = collector.members().into_iter().flat_map(crate::job::Members::alive);
    members
        .filter(|(_, member)| member.ended.is_none())
        .filter(|(_, member)| stat(&procfs, member).is_some_and(|stat| !matches!(stat.state, b'Z' | b'X')))
        .map(|(_, member)| (member.pid, member.start_ns))
        .collect()
}

fn signal_all(shared: &Shared, signal: Signal, done: &str, by_pid: &mut BTreeMap<u32, String>) {
    let procfs = Procfs::default();
    for (pid, start_ns) in left(shared) {
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let outcome = raw.ok_or(rustix::io::Errno::SRCH).and_then(|raw| {
            let fd = pidfd_open(raw, PidfdFlags::empty())?;
            // The descriptor is of the process that has the pid now: is that still the same one?
            let found = procfs.stat(Tgid(pid)).ok().flatten();
            if found.is_some_and(|found| procfs.began(&found, Ktime(start_ns))) {
                pidfd_send_signal(&fd, signal)
            } else {
                Err(rustix::io::Errno::SRCH)
            }
        });
        match outcome {
            Ok(()) => {
                by_pid.insert(pid, done.into());
            }
            // It ended by itself.
            Err(rustix::io::Errno::SRCH) => {}
            Err(error) => {
                by_pid.insert(pid, format!("cannot be signalled: {error}"));
            }
        }
    }
}

async fn wait_for_ends(shared: &Shared, at_most: Duration) {
    let until = Instant::now() + at_most;
    while !left(shared).is_empty() && Instant::now() < until {
        sleep(PAUSE).await;
    }
}
