//! What the daemon does at intervals.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::{select, sync::mpsc, time::MissedTickBehavior};

use super::{
    Service, budget,
    http::{self, Workers},
    notify::{say, watchdog_every},
    status::Status,
};
use crate::{cgroup_mounts::CgroupMounts, event_loop, runtime::Question};

/// Interval at which the scheduling histograms and the tasks of units are read.
const POLL_EVERY: Duration = Duration::from_secs(5);

/// Interval of status notifications to systemd.
const STATUS_EVERY: Duration = Duration::from_secs(10);

/// Interval at which the memory guard is called if there is a limit: in this time a storm adds about ten megabytes.
const MEMORY_EVERY: Duration = Duration::from_millis(250);

/// Reads the limits on pids at intervals, on the threads that also complete answers.
pub(super) async fn read_limits(
    questions: mpsc::Sender<Question<Service>>,
    workers: Workers,
    mounts: CgroupMounts,
) {
    let mut timer = event_loop::every(budget::EVERY);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        let mounts = mounts.clone();
        let Ok(reading) = workers.run(move || budget::PidLimits::of(&mounts)).await else { continue };
        let question: Question<Service> =
            Box::new(move |pipeline, service| service.take_limits(pipeline, reading));
        if questions.send(caught(question)).await.is_err() {
            return;
        }
    }
}

/// Reads, at intervals, the scheduling histograms, the tasks of units and the memory in use, and notifies systemd.
pub(super) async fn housekeeping(questions: mpsc::Sender<Question<Service>>, has_memory_limit: bool) {
    let mut polls = event_loop::every(POLL_EVERY);
    let mut memory = event_loop::every(MEMORY_EVERY);
    let mut status = event_loop::every(STATUS_EVERY);
    let mut watchdog = event_loop::every(watchdog_every().unwrap_or(Duration::from_secs(3600)));
    for timer in [&mut polls, &mut memory, &mut status, &mut watchdog] {
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    loop {
        let question: Question<Service> = select! {
            _ = polls.tick() => Box::new(|pipeline, service| {
                service.poll_sched(pipeline);
                service.poll_units(pipeline);
                service.poll_life_readers(pipeline);
                service.poll_history(pipeline);
            }),
            _ = memory.tick(), if has_memory_limit => Box::new(|pipeline, service| {
                service.poll_memory(pipeline);
            }),
            _ = status.tick() => Box::new(|pipeline, service| {
                say(&[NotifyState::Status(&Status::of(pipeline, service).line())]);
            }),
            // systemd must restart a daemon that sees nothing or is stuck, but not one that is overloaded.
            _ = watchdog.tick() => Box::new(|pipeline, service| {
                match service.is_ready(pipeline) {
                    Ok(_) => say(&[NotifyState::Watchdog]),
                    Err(why) => log::error!("systemd's watchdog is not notified: {why}"),
                }
            }),
        };
        if questions.send(caught(question)).await.is_err() {
            return;
        }
    }
}

/// Wraps a question, so that a panic in it is logged and affects nothing else.
fn caught(question: Question<Service>) -> Question<Service> {
    Box::new(move |pipeline, service| {
        let _ = http::asked(pipeline, service, question);
    })
}
