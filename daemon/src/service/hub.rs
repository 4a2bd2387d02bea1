//! Readers of events: a backlog to resume from, and a bounded queue for each reader.
//!
//! Sequence numbers count every event of this daemon. A reader that is too slow loses its own events, whole ones, and is told
//! how many before the next one that it gets.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::body::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{
    cgroup::Cgroups,
    export::{Filter, Stamp, json, text},
    lineage::{effect::Effect, id::Ktime},
};

/// Bytes that may wait for one reader.
const QUEUE_BYTES: usize = 4 << 20;

/// How an event is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Format {
    /// One JSON object a line.
    #[default]
    Json,
    /// One aligned line.
    Text,
    /// The same with colours.
    Colour,
}

/// What a reader asks for.
pub(super) struct Wanted {
    pub(super) filter: Filter,
    pub(super) format: Format,
    /// As server-sent events, each with this daemon and its sequence number as id.
    pub(super) server_sent: bool,
    /// Go on after this event; false if it was another daemon's.
    pub(super) after: Option<(u64, bool)>,
    /// Begin with those since then.
    pub(super) since: Option<Ktime>,
    /// End after this many.
    pub(super) limit: Option<u64>,
}

/// The reading end of a reader's queue.
pub(super) struct Reader {
    receiver: UnboundedReceiver<Bytes>,
    waiting: Arc<AtomicUsize>,
}

impl Reader {
    /// The next piece; `None` when there is no more.
    pub(super) fn poll(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<Option<Bytes>> {
        self.receiver.poll_recv(context).map(|piece| {
            if let Some(piece) = &piece {
                self.waiting.fetch_sub(piece.len(), Ordering::Relaxed);
            }
            piece
        })
    }
}

struct Queue {
    wanted: Wanted,
    sender: UnboundedSender<Bytes>,
    waiting: Arc<AtomicUsize>,
    /// Lost since the last piece that had room.
    lost_now: u64,
    buffer: Vec<u8>,
    /// Events in the buffer.
    buffered: u64,
    sent: u64,
    instance: Arc<str>,
}

/// All readers, and what they can resume from.
pub(super) struct Hub {
    instance: Arc<str>,
    backlog: VecDeque<(u64, Effect)>,
    /// Events kept at most, by the settings and as long as memory is short.
    keep: usize,
    keep_now: usize,
    sequence: u64,
    queues: Vec<Queue>,
    /// Events that readers were too slow for, all readers together.
    pub(super) lost: u64,
    /// Events that went to readers.
    pub(super) sent: u64,
}

impl Hub {
    pub(super) fn new(keep: usize, instance: &str) -> Self {
        Self {
            instance: instance.into(),
            backlog: VecDeque::new(),
            keep,
            keep_now: keep,
            sequence: 0,
            queues: Vec::new(),
            lost: 0,
            sent: 0,
        }
    }

    /// Readers now.
    pub(super) fn readers(&self) -> usize {
        self.queues.iter().filter(|queue| !queue.sender.is_closed()).count()
    }

    /// Events so far.
    pub(super) const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Events in the backlog.
    pub(super) fn backlog_len(&self) -> usize {
        self.backlog.len()
    }

    /// Bytes of the backlog. What few events have besides is left out: arguments, kernel stacks.
    pub(super) fn backlog_bytes(&self) -> usize {
        self.backlog.capacity() * size_of::<(u64, Effect)>()
    }

    /// Bytes that wait for readers.
    pub(super) fn reader_bytes(&self) -> usize {
        let waiting = |queue: &Queue| queue.waiting.load(Ordering::Relaxed) + queue.buffer.capacity();
        self.queues.iter().map(waiting).sum::<usize>() + self.queues.capacity() * size_of::<Queue>()
    }

    /// Keeps so many of the newest events and no more until [`Hub::restore`]; answers the bytes that came free.
    pub(super) fn shed(&mut self, keep: usize) -> usize {
        let before = self.backlog_bytes();
        self.keep_now = keep.min(self.keep);
        self.backlog.drain(..self.backlog.len().saturating_sub(self.keep_now));
        self.backlog.shrink_to_fit();
        before.saturating_sub(self.backlog_bytes())
    }

    /// Keeps as many events as the settings say again.
    pub(super) const fn restore(&mut self) {
        self.keep_now = self.keep;
    }

    /// Adds a reader, and gives it what it resumes with.
    pub(super) fn join(&mut self, mut wanted: Wanted, stamp: &Stamp, cgroups: &Cgroups) -> Reader {
        let (sender, receiver) = unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let after = wanted.after.take();
        let mut queue = Queue {
            wanted,
            sender,
            waiting: Arc::clone(&waiting),
            lost_now: 0,
            buffer: Vec::new(),
            buffered: 0,
            sent: 0,
            instance: Arc::clone(&self.instance),
        };
        if let Some((after, is_ours)) = after {
            let oldest = self.backlog.front().map_or(self.sequence + 1, |(sequence, _)| *sequence);
            let is_ours = is_ours && after <= self.sequence;
            if !is_ours {
                queue.gap("restart", None);
            } else if after + 1 < oldest {
                queue.gap("backlog", Some(oldest - after - 1));
            }
            let after = if is_ours { after } else { 0 };
            for (sequence, effect) in self.backlog.iter().filter(|(sequence, _)| *sequence > after) {
                queue.add(effect, *sequence, stamp, cgroups);
            }
        }
        if let Some(since) = queue.wanted.since {
            for (sequence, effect) in self.backlog.iter().filter(|(_, effect)| effect.at >= since) {
                queue.add(effect, *sequence, stamp, cgroups);
            }
        }
        self.lost += queue.flush();
        self.sent += queue.sent;
        // One that the past has satisfied ends now, and not when something happens again.
        if !queue.is_full() {
            self.queues.push(queue);
        }
        Reader { receiver, waiting }
    }

    /// Tells all readers.
    pub(super) fn tell(&mut self, effects: &[Effect], stamp: &Stamp, cgroups: &Cgroups) {
        self.queues.retain(|queue| !queue.sender.is_closed() && !queue.is_full());
        let before = self.sequence;
        for effect in effects {
            self.sequence += 1;
            for queue in &mut self.queues {
                queue.add(effect, self.sequence, stamp, cgroups);
            }
        }
        self.remember(effects, before);
        for queue in &mut self.queues {
            let before = queue.sent;
            self.lost += queue.flush();
            self.sent += queue.sent - before;
        }
        // One whose wish is fulfilled ends here, and not only when more happens.
        self.queues.retain(|queue| !queue.is_full());
    }

    /// Keeps the last events for readers that resume; the first of these comes after event number `before`.
    fn remember(&mut self, effects: &[Effect], before: u64) {
        let kept = effects.len().min(self.keep_now);
        // Dropped where they are: taken out one by one, each would be copied first.
        self.backlog.drain(..(self.backlog.len() + kept).saturating_sub(self.keep_now));
        let numbered = (before + 1..).zip(effects).skip(effects.len() - kept);
        self.backlog.extend(numbered.map(|(sequence, effect)| (sequence, effect.clone())));
    }

    /// Tells all readers that something is missing from here on.
    pub(super) fn tell_gap(&mut self, place: &str, lost: Option<u64>) {
        for queue in &mut self.queues {
            queue.gap(place, lost);
            self.lost += queue.flush();
        }
    }
}

impl Queue {
    fn is_full(&self) -> bool {
        self.wanted.limit.is_some_and(|limit| self.sent + self.buffered >= limit) && self.buffered == 0
    }

    fn add(&mut self, effect: &Effect, sequence: u64, stamp: &Stamp, cgroups: &Cgroups) {
        let place = effect.thread.cgroup_id.and_then(|id| cgroups.known(id)).map(AsRef::as_ref);
        if !self.wanted.filter.wants(effect, place)
            || self.wanted.limit.is_some_and(|limit| self.sent + self.buffered >= limit)
        {
            return;
        }
        self.buffered += 1;
        if self.wanted.server_sent {
            let head = format!("id: {}-{sequence}\nevent: {}\ndata: ", self.instance, effect.action.name());
            self.buffer.extend_from_slice(head.as_bytes());
        }
        match self.wanted.format {
            Format::Json => json::write(effect, sequence, stamp, place, &mut self.buffer),
            Format::Text => text::write(effect, stamp, false, &mut self.buffer),
            Format::Colour => text::write(effect, stamp, true, &mut self.buffer),
        }
        if self.wanted.server_sent {
            self.buffer.push(b'\n');
        }
    }

    fn gap(&mut self, place: &str, lost: Option<u64>) {
        if self.wanted.server_sent {
            self.buffer.extend_from_slice(b"event: gap\ndata: ");
        }
        match self.wanted.format {
            Format::Json => json::write_gap(place, lost, &mut self.buffer),
            Format::Text | Format::Colour => text::write_gap(place, lost, &mut self.buffer),
        }
        if self.wanted.server_sent {
            self.buffer.push(b'\n');
        }
    }

    /// Sends what is buffered, if there is room; answers how many events were lost.
    fn flush(&mut self) -> u64 {
        if self.buffer.is_empty() {
            return 0;
        }
        let count = std::mem::take(&mut self.buffered);
        let mut piece = std::mem::take(&mut self.buffer);
        if self.waiting.load(Ordering::Relaxed) + piece.len() > QUEUE_BYTES {
            self.lost_now += count;
            return count;
        }
        if self.lost_now > 0 {
            let lost = std::mem::take(&mut self.lost_now);
            self.gap("output", Some(lost));
            let mut with_gap = std::mem::take(&mut self.buffer);
            with_gap.append(&mut piece);
            piece = with_gap;
        }
        self.sent += count;
        self.waiting.fetch_add(piece.len(), Ordering::Relaxed);
        // It fails only when the reader is gone; then it is taken off the list at the next event.
        let _ = self.sender.send(piece.into());
        0
    }
}
