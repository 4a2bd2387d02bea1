//! The sending end of the queue to the writer, which the owner of the lineage uses. It sends effects or counts them as lost, and
//! never waits.

use std::{
    io,
    os::fd::RawFd,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
};

use super::{
    Limits,
    batch::{Batch, HistoryLine},
    directory::{Directory, HistoryError, let_group_read},
    frame::FrameMaker,
    held::{Held, lacks_figures},
    read::ReadDirectory,
    segment::close_left_open,
    stats::{Lost, Stats},
    writer::Writer,
};
use crate::{
    cgroup::Cgroups,
    export::Stamp,
    lineage::{
        Life,
        death::Cause,
        effect::{Action, Effect},
        id::{GroupKey, Ktime},
    },
};

/// The most lines in the queue: with the memory that they own, about 20 MB.
const LINES: usize = 16_384;

/// The most batches in the queue.
const BATCHES: usize = 1024;

/// The daemon's history: it is written, or the reason why not is known.
pub struct History {
    path: PathBuf,
    stats: Arc<Stats>,
    stamp: Option<Arc<Stamp>>,
    held: Held,
    directory: Option<RawFd>,
    /// The directory for questions.
    reader: Option<Arc<ReadDirectory>>,
    /// The number of the last request to write all lines.
    requested: u64,
    writer: Option<(SyncSender<Batch>, JoinHandle<()>)>,
    /// The ends of the channel that the writer needs to start.
    waiting: Option<(Receiver<Batch>, SyncSender<Batch>, Writer)>,
}

impl History {
    /// Opens the directory. An error costs nothing but history; [`History::stats`] shows it.
    #[must_use]
    pub fn open(path: &Path, limits: Limits) -> Self {
        let mut history = Self {
            path: path.to_owned(),
            stats: Arc::new(Stats::default()),
            stamp: None,
            held: Held::default(),
            directory: None,
            reader: None,
            requested: 0,
            writer: None,
            waiting: None,
        };
        match history.prepare(limits) {
            Ok(()) => log::info!("history: written to {}", path.display()),
            Err(error) => history.fail(&error),
        }
        history
    }

    fn prepare(&mut self, limits: Limits) -> Result<(), HistoryError> {
        let_group_read();
        let directory = Directory::open(&self.path)?;
        let wrong = |source: io::Error| HistoryError::Open { path: self.path.clone(), source };
        let (cut, is_left_open) = close_left_open(&directory).map_err(wrong)?;
        self.stats.has_cut(cut);
        self.directory = Some(directory.raw_fd());
        let reader = directory.reader().map_err(HistoryError::Start)?;
        self.reader = Some(Arc::new(reader));
        let frames = FrameMaker::new().map_err(HistoryError::Start)?;
        let writer =
            Writer::new(directory, limits, frames, Arc::clone(&self.stats), is_left_open).map_err(wrong)?;
        let (sender, receiver) = sync_channel(BATCHES);
        self.waiting = Some((receiver, sender, writer));
        Ok(())
    }

    fn fail(&mut self, error: &HistoryError) {
        log::error!("{error}; the daemon runs without history");
        self.stats.set_error(Some(error.to_string()));
        (self.directory, self.reader, self.waiting, self.writer) = (None, None, None, None);
    }

    /// Starts the writer, with the privileges that the calling thread has then.
    pub fn start(&mut self) {
        let Some((receiver, sender, writer)) = self.waiting.take() else { return };
        match thread::Builder::new().name("history".into()).spawn(move || writer.run(&receiver)) {
            Ok(thread) => self.writer = Some((sender, thread)),
            Err(error) => self.fail(&HistoryError::Start(error)),
        }
    }

    /// Returns the path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the descriptor of the directory, if history is written.
    #[must_use]
    pub const fn directory(&self) -> Option<RawFd> {
        self.directory
    }

    /// Returns the counters of written and lost lines.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Queues the lines of lives that lacked figures at their release and are complete now, or have waited for them long enough.
    /// `newest` returns a life as it is in memory.
    pub fn settle(&mut self, now: Ktime, stamp: &Stamp, newest: impl Fn(GroupKey) -> Option<Life>) {
        let lines = self.held.due(now, newest);
        self.send(lines, stamp);
    }

    /// Asks the writer to write all lines that were queued before, and returns what a question reads then. `None` if no history is
    /// written. It does not wait: [`HistoryReading::is_written`] says when the lines are there. Lives that lack figures are written as
    /// they are, so that none is missing in the answer.
    pub fn read(&mut self, stamp: &Stamp) -> Option<HistoryReading> {
        let held = self.held.all();
        self.send(held, stamp);
        let (directory, (sender, _)) = (self.reader.as_ref()?, self.writer.as_ref()?);
        self.requested += 1;
        let batch = Batch { lines: Vec::new(), stamp: Arc::new(stamp.clone()), flush: Some(self.requested) };
        // If the queue is full, the lines in it are not on disk in time, and the answer says so.
        let _ = sender.try_send(batch);
        let (directory, stats) = (Arc::clone(directory), Arc::clone(&self.stats));
        Some(HistoryReading { directory, stats, request: self.requested })
    }

    /// Whether lives are written.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.writer.is_some()
    }

    /// Queues the effects that the history stores. `first` is the sequence number of the first effect.
    pub fn take(&mut self, effects: &[Effect], first: u64, stamp: &Stamp, cgroups: &Cgroups) {
        let place = |effect: &Effect| effect.thread.cgroup_id.and_then(|id| cgroups.known(id).cloned());
        let held = &mut self.held;
        let lines = effects.iter().zip(first..).filter_map(|(effect, sequence)| match &effect.action {
            Action::Released { life: Some(life), .. } if lacks_figures(life) => {
                held.hold(Arc::clone(life), place(effect))
            }
            Action::Released { life: Some(life), .. } => {
                Some(HistoryLine::Life(Arc::clone(life), place(effect)))
            }
            Action::ZombieFlagged { .. }
            | Action::Reparented { .. }
            | Action::BlockedFlagged(_)
            | Action::LeakFlagged(_)
            | Action::ExitStuck { .. } => {
                Some(HistoryLine::Event(Box::new(effect.clone()), sequence, place(effect)))
            }
            Action::GroupExited { death: Some(death), .. } if death.cause != Cause::Exited => {
                Some(HistoryLine::Event(Box::new(effect.clone()), sequence, place(effect)))
            }
            _ => None,
        });
        let lines: Vec<_> = lines.collect();
        self.send(lines, stamp);
    }

    /// Queues a gap: records were lost.
    pub fn lost(&mut self, place: &'static str, count: u64, stamp: &Stamp) {
        self.send(vec![HistoryLine::Gap(place, count)], stamp);
    }

    fn send(&mut self, lines: Vec<HistoryLine>, stamp: &Stamp) {
        let Some((sender, _)) = &self.writer else { return };
        let stamp = match &self.stamp {
            Some(same) if **same == *stamp => Arc::clone(same),
            _ => Arc::clone(self.stamp.insert(Arc::new(stamp.clone()))),
        };
        let count = lines.len();
        if count == 0 {
            return;
        }
        let waiting = &self.stats.waiting;
        if waiting.load(Ordering::Relaxed) + count > LINES {
            self.stats.lost(Lost::Queue, count as u64);
            return;
        }
        waiting.fetch_add(count, Ordering::Relaxed);
        match sender.try_send(Batch { lines, stamp, flush: None }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                waiting.fetch_sub(count, Ordering::Relaxed);
                self.stats.lost(Lost::Queue, count as u64);
            }
            Err(TrySendError::Disconnected(_)) => {
                waiting.fetch_sub(count, Ordering::Relaxed);
                self.stats.lost(Lost::Disk, count as u64);
                self.stats.set_error(Some("the writer ended by a panic, see the log".into()));
            }
        }
    }
}

/// What a question reads.
#[derive(Clone)]
pub struct HistoryReading {
    directory: Arc<ReadDirectory>,
    stats: Arc<Stats>,
    request: u64,
}

impl HistoryReading {
    /// Returns the directory.
    #[must_use]
    pub const fn directory(&self) -> &Arc<ReadDirectory> {
        &self.directory
    }

    /// Whether all lines are on disk that were queued before the question, or are counted as lost.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.stats.flushed.load(Ordering::Acquire) >= self.request
    }
}

impl Drop for History {
    /// Waits until the writer has written all lines in the queue.
    fn drop(&mut self) {
        if let Some(stamp) = self.stamp.clone() {
            let held = self.held.all();
            self.send(held, &stamp);
        }
        if let Some((sender, thread)) = self.writer.take() {
            drop(sender);
            // A panic of the writer has been reported already.
            let _ = thread.join();
        }
    }
}
