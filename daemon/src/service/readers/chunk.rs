//! A chunk of consecutive events, and their texts. Each event is encoded once for all readers of one layout, when the first of them
//! reads it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    vec::Drain,
};

use axum::body::Bytes;

use super::format::Layout;
use crate::{
    cgroup::{Cgroups, Place},
    export::{Stamp, json::Encoder},
    lineage::{
        Life,
        effect::{Action, Effect},
        id::Ktime,
    },
};

/// The most events in a chunk. A reader's connection holds the text of one chunk while it writes it: about 50 KiB of JSON.
pub(super) const EVENTS: usize = 64;

/// Consecutive events.
pub(super) struct Chunk {
    /// Sequence number of the first.
    pub(super) first: u64,
    pub(super) events: Vec<Effect>,
    /// Heap memory of the events, bytes. This and the time of the youngest event are stored here, so that accounting for a dropped
    /// chunk need not read all its events, which are no longer in the CPU's cache.
    heap_bytes: usize,
    youngest: Option<Ktime>,
    /// The places of these events' tasks, by cgroup id.
    places: Vec<(u64, Option<Arc<Place>>)>,
    stamp: Arc<Stamp>,
    texts: Mutex<HashMap<Layout, Texts>>,
}

/// The texts of a chunk's events in one layout.
enum Texts {
    /// The span of each event's text in the buffer, for events that a reader wanted.
    Some { buffer: Vec<u8>, spans: Vec<Option<(usize, usize)>> },
    /// The texts of all events in order, and where each ends.
    All { bytes: Bytes, ends: Vec<usize> },
}

impl Chunk {
    /// Creates a chunk. `buffer` is memory from [`Chunk::into_buffer`], if there is some.
    pub(super) fn new(
        first: u64,
        effects: &mut Drain<'_, Effect>,
        buffer: Option<Vec<Effect>>,
        stamp: &Arc<Stamp>,
        cgroups: &Cgroups,
    ) -> Self {
        let mut chunk = Self {
            first,
            events: buffer.unwrap_or_else(|| Vec::with_capacity(effects.len().min(EVENTS))),
            heap_bytes: 0,
            youngest: None,
            places: Vec::new(),
            stamp: Arc::clone(stamp),
            texts: Mutex::default(),
        };
        chunk.extend(effects, EVENTS, cgroups);
        chunk
    }

    /// Returns its memory for reuse by another chunk. If it were freed between memory that lives longer, it would fragment the
    /// heap.
    pub(super) fn into_buffer(mut self) -> Option<Vec<Effect>> {
        self.events.clear();
        Some(self.events).filter(|events| events.capacity() == EVENTS)
    }

    /// Moves up to `most` events to a chunk that no reader has seen.
    pub(super) fn extend(&mut self, effects: &mut Drain<'_, Effect>, most: usize, cgroups: &Cgroups) {
        for effect in effects.as_slice().iter().take(most) {
            if let Some(id) = effect.thread.cgroup_id
                && !self.places.iter().any(|(known, _)| *known == id)
            {
                self.places.push((id, cgroups.known(id).cloned()));
            }
            self.heap_bytes += heap_bytes(effect);
            self.youngest = self.youngest.max(Some(effect.at));
        }
        self.events.extend(effects.take(most));
    }

    /// Returns how many more effects this chunk can take; 0 once texts of it exist, or if the wall clock was set since.
    pub(super) fn room(&mut self, stamp: &Arc<Stamp>) -> usize {
        let has_texts = !self.texts.get_mut().unwrap_or_else(PoisonError::into_inner).is_empty();
        if has_texts || !Arc::ptr_eq(&self.stamp, stamp) { 0 } else { EVENTS - self.events.len().min(EVENTS) }
    }

    /// Returns the sequence number after the last event.
    pub(super) const fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// Returns the place of an event's task.
    pub(super) fn place(&self, effect: &Effect) -> Option<&Arc<Place>> {
        let id = effect.thread.cgroup_id?;
        self.places.iter().find(|(known, _)| *known == id)?.1.as_ref()
    }

    /// Returns the memory of the events, without their texts.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.events.capacity() * size_of::<Effect>() + self.heap_bytes
    }

    /// The time of the youngest event.
    pub(super) const fn youngest(&self) -> Option<Ktime> {
        self.youngest
    }

    /// Returns the texts of the events from `offset` on, and how many were encoded for that.
    pub(super) fn all(&self, offset: usize, layout: Layout, instance: &str) -> (Bytes, usize) {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut made = 0;
        if !matches!(texts.get(&layout), Some(Texts::All { .. })) {
            let mut bytes = Vec::with_capacity(self.events.len() * 1024);
            let mut ends = Vec::with_capacity(self.events.len());
            let mut encoder = Encoder::default();
            for index in 0..self.events.len() {
                made +=
                    usize::from(self.add(Some(&mut encoder), &texts, index, layout, instance, &mut bytes));
                ends.push(bytes.len());
            }
            bytes.shrink_to_fit();
            texts.insert(layout, Texts::All { bytes: bytes.into(), ends });
        }
        let Some(Texts::All { bytes, ends }) = texts.get(&layout) else { return (Bytes::new(), made) };
        let start = offset.checked_sub(1).and_then(|before| ends.get(before).copied()).unwrap_or(0);
        (bytes.slice(start..), made)
    }

    /// Appends the text of one event to `out`. Returns how many were encoded for that.
    pub(super) fn one(&self, index: usize, layout: Layout, instance: &str, out: &mut Vec<u8>) -> usize {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        let start = out.len();
        let made = self.add(None, &texts, index, layout, instance, out);
        if texts.get(&layout).is_none_or(|texts| texts.get(index).is_none()) {
            let count = self.events.len();
            let new = || Texts::Some { buffer: Vec::new(), spans: vec![None; count] };
            if let Texts::Some { buffer, spans } = texts.entry(layout).or_insert_with(new)
                && let (Some(span), Some(text)) = (spans.get_mut(index), out.get(start..))
            {
                *span = Some((buffer.len(), buffer.len() + text.len()));
                buffer.extend_from_slice(text);
            }
        }
        usize::from(made)
    }

    /// Appends the text of one event: a copy of an existing text, or one made from the text of the other layout (with or without
    /// server-sent events), or a newly encoded one. Returns whether it encoded the event.
    fn add(
        &self,
        encoder: Option<&mut Encoder>,
        texts: &HashMap<Layout, Texts>,
        index: usize,
        layout: Layout,
        instance: &str,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(effect) = self.events.get(index) else { return false };
        if let Some(text) = texts.get(&layout).and_then(|texts| texts.get(index)) {
            out.extend_from_slice(text);
            return false;
        }
        let other = texts.get(&layout.other()).and_then(|texts| texts.get(index));
        let other = if layout.server_sent { other } else { other.and_then(Layout::unwrapped) };
        let sequence = self.first + index as u64;
        layout.wrap(instance, sequence, effect.action.name(), out, |out| match other {
            Some(text) => out.extend_from_slice(text),
            None => layout.write(encoder, effect, sequence, &self.stamp, self.place(effect), out),
        });
        other.is_none()
    }

    /// Drops the texts. A reader that is writing one keeps it until it has written it.
    pub(super) fn forget_texts(&self) {
        *self.texts.lock().unwrap_or_else(PoisonError::into_inner) = HashMap::new();
    }
}

impl Texts {
    fn get(&self, index: usize) -> Option<&[u8]> {
        match self {
            Self::Some { buffer, spans } => {
                let (start, end) = (*spans.get(index)?)?;
                buffer.get(start..end)
            }
            Self::All { bytes, ends } => {
                let start = index.checked_sub(1).and_then(|before| ends.get(before).copied()).unwrap_or(0);
                bytes.get(start..*ends.get(index)?)
            }
        }
    }
}

/// Returns the memory that an event holds outside of itself and does not share.
fn heap_bytes(effect: &Effect) -> usize {
    match &effect.action {
        Action::Execed { args: Some((args, _)), .. } => {
            args.iter().map(|arg| arg.capacity() + size_of::<Vec<u8>>()).sum()
        }
        Action::BlockedFlagged(sleep) => sleep.stack.iter().map(|line| line.capacity() + 24).sum(),
        Action::Released { life: Some(_), .. } => size_of::<Life>(),
        _ => 0,
    }
}
