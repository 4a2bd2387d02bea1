//! `events --sched`: every context switch and wakeup of some processes, observed here.

use std::{fs, io, os::fd::AsFd as _, time::Duration};

use probe_common::SchedEvent;
use tokio::{io::Interest, select, time::MissedTickBehavior};

use super::{Args, Format, alone::finish, reader_gone};
use crate::{
    cli::{exit::Exit, output::Output, signals},
    event_loop,
    export::{self, SCHED_ACTIONS, schema::Schema},
    fd::watch,
    kernel::{ladder::in_words, object::default_ring_kib, sched::CHOSEN, sched_trace::SchedTrace},
    lineage::id::Tgid,
    procfs::Procfs,
    runtime::Wall,
};

/// The most events that are handled before other tasks of the event loop run.
const BATCH: usize = 4096;

/// Delay between a poll of the ring that found events and the next one: waking up taskscope for each event would itself cause
/// context switches.
const COALESCE: Duration = Duration::from_millis(2);

/// Time between two checks for losses and for processes that are still alive.
const POLL: Duration = Duration::from_millis(250);

/// Returns what is wrong with the options, if anything is.
pub(super) fn mistake(args: &Args) -> Option<String> {
    if args.pid_selectors.is_empty() {
        return Some("--sched needs --pid: it follows chosen processes only".into());
    }
    if args.pid_selectors.len() > CHOSEN as usize {
        return Some(format!("--sched follows at most {CHOSEN} processes"));
    }
    let unknown = args.action.iter().find(|name| !SCHED_ACTIONS.contains(&name.as_str()));
    unknown.map(|name| format!("--action {name}: with --sched there are {}", SCHED_ACTIONS.join(", ")))
}

/// Where lines are written.
struct Lines<'a> {
    args: &'a Args,
    output: Output,
    wall: Wall,
    buffer: Vec<u8>,
    colour: bool,
    sequence: u64,
    written: u64,
    reported_lost: u64,
}

impl Lines<'_> {
    fn is_full(&self) -> bool {
        self.args.limit.is_some_and(|limit| self.written >= limit)
    }

    fn add(&mut self, event: Option<SchedEvent>) {
        self.sequence += 1;
        let Some(event) = event else { return log::error!("the ring of --sched: an event is too short") };
        let wanted = &self.args.action;
        let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|other| other == name);
        if self.is_full() || !export::sched_action(&event).is_some_and(is_wanted) {
            return;
        }
        let stamp = self.wall.stamp();
        let is_written = match self.args.format {
            Format::Json => {
                let mut is_written = false;
                Schema::from(self.args.schema).write(&mut self.buffer, |out| {
                    is_written = export::write_sched(&event, self.sequence, stamp, out);
                });
                is_written
            }
            Format::Text => export::text::write_sched(&event, stamp, self.colour, &mut self.buffer),
        };
        self.written += u64::from(is_written);
    }

    fn gap(args: &Args, place: &'static str, lost: u64) -> Vec<u8> {
        let mut line = Vec::new();
        match args.format {
            Format::Json => Schema::from(args.schema)
                .write(&mut line, |out| export::json::write_gap(place, Some(lost), out)),
            Format::Text => export::text::write_gap(place, Some(lost), &mut line),
        }
        line
    }

    fn push(&mut self, count: u64) {
        let args = self.args;
        self.output.push(&mut self.buffer, count, |lost| Self::gap(args, "output", lost));
    }

    /// Handles the events in the ring, up to a batch.
    fn take(&mut self, trace: &mut SchedTrace) -> usize {
        let before = self.written;
        let taken = trace.drain(BATCH, |event| self.add(event));
        self.push(self.written - before);
        taken
    }

    /// Reports what was lost since the last check.
    fn check_losses(&mut self, trace: &SchedTrace) {
        match trace.lost() {
            Ok(lost) => {
                let lost: u64 = lost.iter().sum();
                if lost > self.reported_lost {
                    log::warn!(
                        "{} steps lost: the ring was full, or there were too many tasks",
                        lost - self.reported_lost
                    );
                    self.buffer = Self::gap(self.args, "ring", lost - self.reported_lost);
                    self.push(1);
                    self.reported_lost = lost;
                }
            }
            Err(error) => log::error!("{error}"),
        }
    }
}

/// Observes until a signal, the limit, a reader that is gone, or the end of all processes.
pub(super) async fn observe(args: &Args) -> Exit {
    for pid in &args.pid {
        match group_of(*pid) {
            Some(tgid) if tgid == *pid && is_alive(tgid) => {}
            Some(tgid) if tgid != *pid => {
                log::error!("--pid {pid}: a thread of the process {tgid}: give --pid {tgid}");
                return Exit::Failure;
            }
            _ => {
                log::error!("--pid {pid}: no such process; `taskscope tree` shows all");
                return Exit::Failure;
            }
        }
    }
    let ring_bytes = args.ring_kib.unwrap_or_else(default_ring_kib).saturating_mul(1024);
    let mut trace = match SchedTrace::start(&args.pid, ring_bytes, args.attach.unwrap_or_default().into()) {
        Ok(trace) => trace,
        Err(error) => {
            log::error!("{error}");
            return Exit::from(&error);
        }
    };
    log::info!("ready: {}", in_words(&trace.hooks));
    let output = match Output::start() {
        Ok(output) => output,
        Err(error) => return Exit::failed_at("preparing to write events", error),
    };
    let mut lines = Lines {
        args,
        output,
        wall: Wall::of_this_boot(),
        buffer: Vec::with_capacity(256 << 10),
        colour: args.is_coloured(),
        sequence: 0,
        written: 0,
        reported_lost: 0,
    };
    let outcome = follow(&mut trace, &mut lines).await;
    trace.detach();
    while lines.take(&mut trace) > 0 {}
    lines.check_losses(&trace);
    let written = finish(&mut lines.output).await;
    log::info!("summary: {} events; lost {}", lines.written, lines.reported_lost);
    match outcome.and(written) {
        Ok(()) => Exit::Success,
        Err(error) => Exit::failed_at("following the scheduler", error),
    }
}

async fn follow(trace: &mut SchedTrace, lines: &mut Lines<'_>) -> io::Result<()> {
    let closed = lines.output.closed();
    let signal = signals::stop()?;
    let stop = async {
        select! {
            () = signal => {}
            () = closed => {}
            () = reader_gone() => {}
        }
    };
    tokio::pin!(stop);
    let ring = watch(trace.as_fd().try_clone_to_owned()?, Interest::READABLE)?;
    let mut poll = event_loop::every(POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !lines.is_full() {
        select! {
            biased;
            () = &mut stop => break,
            _ = poll.tick() => {
                lines.wall.follow();
                lines.check_losses(trace);
                if !lines.args.pid.iter().any(|pid| is_alive(*pid)) {
                    log::info!("all processes to follow have ended");
                    break;
                }
            }
            ready = ring.readable() => {
                let mut ready = ready?;
                let taken = lines.take(trace);
                if taken == 0 {
                    ready.clear_ready();
                } else if taken < BATCH {
                    tokio::time::sleep(COALESCE).await;
                }
            }
        }
    }
    Ok(())
}

/// Returns the thread group of a tid.
pub(super) fn group_of(tid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

/// Returns whether a process with this pid exists and can still run.
fn is_alive(pid: u32) -> bool {
    let (procfs, pid) = (Procfs::default(), Tgid(pid));
    let Ok(Some(stat)) = procfs.stat(pid) else { return false };
    // A process whose main thread has ended while other threads live looks like a zombie but is not one.
    !matches!(stat.state, b'Z' | b'X') || procfs.tasks(pid).is_ok_and(|tasks| tasks.len() > 1)
}
