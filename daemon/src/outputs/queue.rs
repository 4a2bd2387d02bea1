//! The sending end of the queue to the outputs, which the owner of the lineage uses. It queues or counts, and never waits.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{sync::mpsc, task::JoinSet, time::timeout};

use super::{
    batch::{Batch, OutputLine, Waiting},
    buffer::Buffer,
    deliver::{Outlet, Sender},
    dispatch::{Dispatcher, Route},
    settings::{OutputSettings, TargetSettings, needs_all},
    spill::Spill,
    stats::OutputStats,
    target::{Encoding, Target, client::Names},
};
use crate::{
    cgroup::Cgroups,
    event_loop,
    export::Stamp,
    host::Identity,
    lineage::{Lineage, WantedActions, effect::Effect},
};

/// The most lines and batches in the queue: with the memory that they own, about 20 MB.
const LINES: usize = 16_384;
const BATCHES: usize = 1024;

/// How long outputs may send what is left when the daemon ends.
const FINAL_SEND: Duration = Duration::from_secs(2);

/// What the sandbox must allow for outputs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// TCP ports of servers.
    pub ports: BTreeSet<u16>,
    /// Whether names of hosts are looked up.
    pub names: bool,
    /// Sockets of journald.
    pub sockets: Vec<PathBuf>,
    /// Files with certificates, keys and credentials, which are read again for new connections.
    pub files: Vec<PathBuf>,
    /// Whether outputs write to spill files, which are opened before the sandbox is installed.
    pub spills: bool,
}

/// The outputs of the daemon.
pub struct Outputs {
    wanted: WantedActions,
    each: Vec<(WantedActions, Arc<OutputStats>)>,
    reach: Reach,
    waiting: Waiting,
    stamp: Option<Arc<Stamp>>,
    running: Option<(mpsc::Sender<Batch>, JoinHandle<()>)>,
    prepared: Option<Prepared>,
    settings: Vec<OutputSettings>,
}

/// What the thread needs to start.
struct Prepared {
    settings: Vec<OutputSettings>,
    routes: Vec<Route>,
    host: Arc<Identity>,
    instance: String,
}

impl Outputs {
    /// Opens what outputs need: call it before the sandbox is installed. An output that cannot be opened is left out, with an error
    /// in its figures.
    #[must_use]
    pub fn open(settings: &[OutputSettings], lineage: &Lineage, instance: &str, zombie_ns: u64) -> Self {
        let mut outputs = Self {
            wanted: WantedActions::default(),
            each: Vec::new(),
            reach: Reach::default(),
            waiting: Waiting::default(),
            stamp: None,
            running: None,
            prepared: None,
            settings: Vec::new(),
        };
        let mut prepared = Prepared {
            settings: Vec::new(),
            routes: Vec::new(),
            host: Arc::new(Identity::read()),
            instance: instance.to_owned(),
        };
        for output in settings {
            let stats = Arc::new(OutputStats::new(&output.name, output.target.name()));
            let wanted = output.wanted(zombie_ns);
            outputs.each.push((wanted, Arc::clone(&stats)));
            outputs.settings.push(output.clone());
            // The configuration was checked: there is no unknown action.
            let Ok(filter) = output.selection.clone().filter(lineage) else { continue };
            let spill = output.spill.as_ref().and_then(|path| match Spill::open(path, output.spill_size) {
                Ok((spill, 0)) => Some(spill),
                Ok((spill, damaged)) => {
                    log::warn!("output {}: {} has {damaged} damaged bytes", output.name, path.display());
                    Some(spill)
                }
                Err(error) => {
                    let what = format!("{}: {error}; what does not fit in memory is dropped", path.display());
                    log::error!("output {}: {what}", output.name);
                    None
                }
            });
            outputs.wanted = outputs.wanted.and(wanted);
            outputs.reach.add(output, spill.is_some());
            let encoding = Encoding::of(&output.target);
            let buffer = Buffer::new(output.queue, spill);
            let outlet = Arc::new(Outlet::new(stats, buffer, encoding, Arc::clone(&prepared.host)));
            outlet.count_waiting();
            // The owner leaves out zombies that no alert can be about.
            prepared.routes.push(Route { filter, wanted: output.wanted(0), encoding, outlet });
            prepared.settings.push(output.clone());
        }
        if !prepared.routes.is_empty() {
            outputs.prepared = Some(prepared);
        }
        outputs
    }

    /// Starts the threads, with the privileges that the calling thread has then.
    pub fn start(&mut self) {
        let Some(prepared) = self.prepared.take() else { return };
        let (sender, batches) = mpsc::channel(BATCHES);
        let (waiting, needs_names) = (self.waiting.clone(), self.reach.names);
        let started = prepared.start(batches, waiting, needs_names);
        match started {
            Ok(thread) => self.running = Some((sender, thread)),
            Err(error) => {
                let why = format!("starting the thread of outputs: {error}; raise pids.max or RLIMIT_NPROC");
                log::error!("{why}; the daemon runs without outputs");
                for (_, stats) in &self.each {
                    stats.failed(&why);
                }
            }
        }
    }

    /// Sets another age at which zombies are flagged.
    pub fn set_zombie_ns(&mut self, zombie_ns: u64) {
        self.wanted = WantedActions::default();
        for (output, (wanted, _)) in self.settings.iter().zip(&mut self.each) {
            *wanted = output.wanted(zombie_ns);
            self.wanted = self.wanted.and(*wanted);
        }
    }

    /// Returns what the sandbox must allow.
    #[must_use]
    pub const fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Returns the counters of each output.
    pub fn stats(&self) -> impl Iterator<Item = &OutputStats> {
        self.each.iter().map(|(_, stats)| &**stats)
    }

    /// The actions whose effects outputs need.
    #[must_use]
    pub fn wanted(&self) -> WantedActions {
        if self.running.is_some() { self.wanted } else { WantedActions::default() }
    }

    /// Whether outputs need all effects.
    #[must_use]
    pub fn needs_all(&self) -> bool {
        needs_all(self.wanted())
    }

    /// Queues the effects that an output may want. `first` is the sequence number of the first effect.
    pub fn take(&mut self, effects: &[Effect], first: u64, stamp: &Stamp, cgroups: &Cgroups) {
        let wanted = self.wanted();
        if wanted.kinds == 0 {
            return;
        }
        let place = |effect: &Effect| effect.thread.cgroup_id.and_then(|id| cgroups.known(id).cloned());
        let chosen = effects.iter().zip(first..).filter(|(effect, _)| wanted.has(&effect.action));
        let lines: Vec<_> = chosen
            .map(|(effect, sequence)| OutputLine::Event(Box::new(effect.clone()), sequence, place(effect)))
            .collect();
        self.send(lines, stamp);
    }

    /// Queues a gap: records were lost.
    pub fn lost(&mut self, place: &'static str, count: u64, stamp: &Stamp) {
        self.send(vec![OutputLine::Gap(place, count)], stamp);
    }

    fn send(&mut self, lines: Vec<OutputLine>, stamp: &Stamp) {
        let Some((sender, _)) = &self.running else { return };
        let count = lines.len();
        if count == 0 {
            return;
        }
        let stamp = match &self.stamp {
            Some(same) if **same == *stamp => Arc::clone(same),
            _ => Arc::clone(self.stamp.insert(Arc::new(stamp.clone()))),
        };
        let Waiting(waiting) = &self.waiting;
        let is_full = waiting.load(Ordering::Relaxed) + count > LINES;
        waiting.fetch_add(count, Ordering::Relaxed);
        let refused = if is_full {
            Some(lines)
        } else {
            sender.try_send(Batch { lines, stamp }).err().map(|error| error.into_inner().lines)
        };
        if let Some(lines) = refused {
            self.waiting.less(count);
            for (wanted, stats) in &self.each {
                // The count includes events that the output's filter would have left out.
                let dropped = lines.iter().filter(
                    |line| matches!(line, OutputLine::Event(effect, ..) if wanted.has(&effect.action)),
                );
                stats.dropped_unreported(dropped.count() as u64);
            }
        }
    }
}

impl Prepared {
    fn start(
        self,
        batches: mpsc::Receiver<Batch>,
        waiting: Waiting,
        needs_names: bool,
    ) -> std::io::Result<JoinHandle<()>> {
        let Self { settings, routes, host, instance } = self;
        let names = if needs_names { Names::start()? } else { Names::none() };
        let mut senders = Vec::new();
        for (output, route) in settings.iter().zip(&routes) {
            match Target::new(&output.target, &names, &host, &instance) {
                Ok(target) => senders.push(Sender::new(Arc::clone(&route.outlet), target)),
                Err(why) => {
                    log::error!("output {}: {why}; it sends nothing until the next start", output.name);
                    route.outlet.stats.failed(&why);
                }
            }
        }
        let outlets: Vec<_> = routes.iter().map(|route| Arc::clone(&route.outlet)).collect();
        let dispatcher = Dispatcher { routes, host, instance, waiting };
        let runtime = event_loop::start().map_err(|error| error.0)?;
        thread::Builder::new().name("outputs".into()).spawn(move || {
            runtime.block_on(async {
                let mut sending = JoinSet::new();
                for sender in senders {
                    sending.spawn(sender.run());
                }
                dispatcher.run(batches).await;
                let _ = timeout(FINAL_SEND, async { while sending.join_next().await.is_some() {} }).await;
            });
            for outlet in outlets {
                let unsent = outlet.buffer().save();
                outlet.stats.dropped(unsent);
                if unsent > 0 {
                    log::warn!("output {}: {unsent} events were not sent before the end", outlet.stats.name);
                }
            }
        })
    }
}

impl Reach {
    fn add(&mut self, output: &OutputSettings, spills: bool) {
        self.spills |= spills;
        if let Some(server) = output.target.server() {
            self.ports.insert(server.url.port);
            self.names |= server.url.ip().is_none();
        }
        self.files.extend(output.target.files().map(Path::to_owned));
        if let TargetSettings::Journald { socket } = &output.target {
            self.sockets.push(socket.clone());
        }
    }
}

impl Drop for Outputs {
    /// Waits until what is left is sent, for a limited time.
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.running.take() {
            drop(sender);
            // A panic of the thread has been reported already.
            let _ = thread.join();
        }
    }
}
