//! The thread that asks all hosts, so that no answer delays a key.

use std::{collections::HashMap, thread, time::Duration};

use tokio::{
    select,
    sync::{mpsc, watch},
    task::{Id, JoinSet},
    time::{Instant, sleep_until},
};

use super::{
    poll::{self, Memory},
    schedule::Schedule,
};
use crate::{
    answer::fleet::{ErrorKind, HostSample, NoAnswer},
    cli::{
        exit::Exit,
        fleet::{access::Access, client::Failure, hosts::Host},
    },
    event_loop,
    view::fleet::FleetInput,
};

/// The most answers that wait for the view.
const INPUTS: usize = 256;

/// How hosts are asked.
pub(super) struct Plan {
    pub(super) hosts: Vec<Host>,
    pub(super) access: Access,
    pub(super) every: Duration,
    pub(super) parallel: usize,
}

/// The channels to the thread, which ends when these are dropped.
pub(super) struct Poller {
    pub(super) inputs: mpsc::Receiver<FleetInput>,
    /// While this is true, no host is asked.
    pub(super) paused: watch::Sender<bool>,
    /// The interval at which a host that answers quickly is asked.
    pub(super) every: Duration,
}

impl Poller {
    /// Starts the thread.
    pub(super) fn start(plan: Plan) -> Result<Self, Exit> {
        let (to_view, inputs) = mpsc::channel(INPUTS);
        let (paused, is_paused) = watch::channel(false);
        let runtime = event_loop::start().map_err(Exit::failed)?;
        let schedule = Schedule::new(plan.hosts.len(), plan.every, plan.parallel, Instant::now());
        let every = schedule.every();
        let work = move || runtime.block_on(run(plan, schedule, to_view, is_paused));
        thread::Builder::new()
            .name("poller".into())
            .spawn(work)
            .map_err(|error| Exit::failed_at("starting a thread that asks the hosts", error))?;
        Ok(Self { inputs, paused, every })
    }
}

/// The result of a poll, and what is known of the host for the next poll.
type Outcome = (Result<HostSample, Failure>, Memory);

async fn run(
    plan: Plan,
    mut schedule: Schedule,
    inputs: mpsc::Sender<FleetInput>,
    mut paused: watch::Receiver<bool>,
) {
    let Plan { hosts, access, .. } = plan;
    let mut memories: Vec<Memory> = vec![Memory::default(); hosts.len()];
    let mut polls: JoinSet<Outcome> = JoinSet::new();
    // The host of each poll, and when it began.
    let mut asked: HashMap<Id, (usize, Instant)> = HashMap::new();
    loop {
        let is_paused = *paused.borrow();
        while !is_paused && let Some(index) = schedule.next(Instant::now()) {
            let (Some(host), Some(memory)) = (hosts.get(index), memories.get_mut(index)) else { continue };
            let (access, host, mut memory) = (access.clone(), host.clone(), std::mem::take(memory));
            let poll = polls.spawn(async move {
                let outcome = poll::host(&access, &host, &mut memory).await;
                (outcome, memory)
            });
            asked.insert(poll.id(), (index, Instant::now()));
        }
        let wakes_at = schedule.wakes_at().filter(|_| !is_paused);
        select! {
            () = inputs.closed() => return,
            changed = paused.changed() => if changed.is_err() { return },
            Some(done) = polls.join_next_with_id() => {
                let (id, outcome) = match done {
                    Ok((id, outcome)) => (id, Some(outcome)),
                    // The panic hook has logged the panic.
                    Err(error) => (error.id(), None),
                };
                let Some((index, began)) = asked.remove(&id) else { continue };
                let now = Instant::now();
                schedule.ended(index, now - began, now);
                let answer = match outcome {
                    Some((answer, memory)) => {
                        if let Some(kept) = memories.get_mut(index) {
                            *kept = memory;
                        }
                        answer.map_err(|Failure { kind, message, .. }| NoAnswer { kind, message })
                    }
                    None => Err(NoAnswer {
                        kind: ErrorKind::Local,
                        message: "a bug of taskscope: its answer caused a panic".into(),
                    }),
                };
                if inputs.send(FleetInput { index, answer }).await.is_err() {
                    return;
                }
            }
            () = sleep_until(wakes_at.unwrap_or_else(Instant::now)), if wakes_at.is_some() => {}
        }
    }
}
