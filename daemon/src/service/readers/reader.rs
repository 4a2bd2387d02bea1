//! One reader of events: its position in the log, and which of the log's events it wants.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker},
};

use axum::body::Bytes;

use super::{
    Shared,
    chunk::Chunk,
    format::{Format, Layout},
    log::{Cursor, Step},
};
use crate::{
    export::Filter,
    lineage::id::{GroupKey, Ktime},
};

/// How many chunks are searched before other tasks get a turn.
const CHUNKS: usize = 16;

/// A piece that is put together for one reader is sent at this length, bytes.
const PIECE_BYTES: usize = 32 << 10;

/// The request of a reader.
pub(in crate::service) struct Wanted {
    pub(in crate::service) filter: Filter,
    pub(in crate::service) layout: Layout,
    /// Resume after this event; false if it was another daemon's.
    pub(in crate::service) after: Option<(u64, bool)>,
    /// Begin with events since this time.
    pub(in crate::service) since: Option<Ktime>,
    /// End after this many events.
    pub(in crate::service) limit: Option<u64>,
}

/// A reader of events.
pub(in crate::service) struct Reader {
    shared: Arc<Shared>,
    id: u64,
    cursor: Cursor,
    filter: Filter,
    layout: Layout,
    left: Option<u64>,
    /// Leave out events before this time that were in the log when the reader joined.
    since: Option<(Ktime, u64)>,
    /// The piece that is put together for this reader.
    buffer: Vec<u8>,
    /// Whether it follows a subtree and lost events that it needs for that.
    needs_members: bool,
}

impl Reader {
    pub(super) fn new(shared: &Arc<Shared>, wanted: Wanted) -> Self {
        let Wanted { filter, layout, after, since, limit } = wanted;
        let mut buffer = Vec::new();
        let mut log = shared.log();
        let last = log.last();
        let start = match after {
            Some((after, true)) if after <= last => {
                let missing = log.missing_after(after);
                if missing > 0 {
                    layout.write_gap("backlog", Some(missing), &mut buffer);
                }
                Some(after + 1)
            }
            Some(_) => {
                layout.write_gap("restart", None, &mut buffer);
                Some(0)
            }
            None => since.map(|since| {
                if log.has_dropped_since(since) {
                    layout.write_gap("backlog", None, &mut buffer);
                }
                0
            }),
        };
        let (id, cursor) = log.join(start);
        drop(log);
        if layout.format == Format::Life {
            shared.of_lives.fetch_add(1, Ordering::Relaxed);
        }
        let since = since.map(|since| (since, last));
        let shared = Arc::clone(shared);
        Self { shared, id, cursor, filter, layout, left: limit, since, buffer, needs_members: false }
    }

    /// Returns the next piece; `None` at the end.
    pub(in crate::service) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        for _ in 0..CHUNKS {
            if self.left == Some(0) || self.buffer.len() >= PIECE_BYTES {
                return Poll::Ready(self.piece());
            }
            match self.step(context.waker()) {
                Step::End { is_closed } if is_closed || !self.buffer.is_empty() => {
                    return Poll::Ready(self.piece());
                }
                Step::End { .. } => return Poll::Pending,
                Step::Gap(place, lost) => self.layout.write_gap(place, lost, &mut self.buffer),
                Step::Lost(lost) => {
                    self.shared.lost(lost);
                    self.layout.write_gap("output", Some(lost), &mut self.buffer);
                    self.needs_members |= self.filter.subtree().is_some();
                }
                Step::Events(chunk, offset) => {
                    if self.takes_all() {
                        let (bytes, made) = chunk.all(offset, self.layout, &self.shared.instance);
                        self.count(chunk.events.len() - offset, made, bytes.len());
                        return Poll::Ready(Some(bytes));
                    }
                    self.choose(&chunk, offset);
                }
            }
        }
        if self.buffer.is_empty() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.piece())
    }

    fn step(&mut self, waker: &Waker) -> Step {
        self.shared.log().step(self.id, &mut self.cursor, waker)
    }

    /// Returns the piece that was put together so far; `None` if it is empty.
    fn piece(&mut self) -> Option<Bytes> {
        Some(std::mem::take(&mut self.buffer)).filter(|buffer| !buffer.is_empty()).map(Bytes::from)
    }

    fn takes_all(&self) -> bool {
        self.buffer.is_empty() && self.left.is_none() && self.since.is_none() && self.filter.wants_all()
    }

    /// Takes the wanted events from a chunk.
    fn choose(&mut self, chunk: &Chunk, offset: usize) {
        let (start, mut chosen, mut made) = (self.buffer.len(), 0, 0);
        for (index, effect) in chunk.events.iter().enumerate().skip(offset) {
            // The filter must see every event, because it follows the members of the subtree by them.
            let is_wanted = self.filter.wants(effect, chunk.place(effect).map(AsRef::as_ref));
            let is_old = self
                .since
                .is_some_and(|(since, last)| chunk.first + (index as u64) <= last && effect.at < since);
            if is_wanted && !is_old && self.left != Some(0) {
                made += chunk.one(index, self.layout, &self.shared.instance, &mut self.buffer);
                self.left = self.left.map(|left| left - 1);
                chosen += 1;
            }
        }
        self.since = self.since.filter(|(_, last)| chunk.end() <= *last);
        self.count(chosen, made, self.buffer.len() - start);
    }

    /// Counts events that the reader got, and how many of them were encoded for it.
    fn count(&self, sent: usize, made: usize, bytes: usize) {
        self.shared.sent(sent as u64, made as u64);
        if made > 0 {
            self.shared.log().made_texts(&self.cursor, bytes);
        }
    }

    /// Returns a heartbeat, which shows that there was no event.
    pub(in crate::service) fn heartbeat(&self) -> Bytes {
        let mut text = Vec::new();
        self.layout.write_heartbeat(&self.shared.instance, self.cursor.sequence - 1, &mut text);
        text.into()
    }

    /// Returns the root of the subtree whose members the reader needs, because it lost events of the subtree.
    pub(in crate::service) fn lacks_members_of(&self) -> Option<u32> {
        if self.needs_members { self.filter.subtree() } else { None }
    }

    /// Sets the members of the reader's subtree.
    pub(in crate::service) fn give_members(&mut self, members: HashSet<GroupKey>) {
        self.needs_members = false;
        self.filter.add_members(members);
    }

    /// Counts the rest as lost, because the connection is closed before the reader has read everything.
    pub(in crate::service) fn give_up(&mut self) {
        let (dropped, unread) = self.shared.log().leave(self.id);
        self.shared.lost(dropped + unread);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let (dropped, _) = self.shared.log().leave(self.id);
        self.shared.lost(dropped);
        if self.layout.format == Format::Life {
            self.shared.of_lives.fetch_sub(1, Ordering::Relaxed);
        }
        // Events that only this reader needed are dropped.
        self.shared.changed.notify_one();
    }
}
