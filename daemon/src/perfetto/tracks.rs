//! The tracks of processes and threads that have not ended, and the slices that are open on them.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
    io::Write,
};

use super::trace::{Notes, Trace, Value};

/// The track of a process or thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct Track {
    pub(super) id: u64,
    /// When the process or thread was created; `None` if that is not known.
    pub(super) start: Option<u64>,
    /// The number of slices that are open, one inside the other.
    depth: u32,
    /// When the last slice began or ended.
    last: u64,
    /// Whether the process or thread is dead.
    pub(super) is_dead: bool,
}

impl Track {
    /// Returns a track whose first slice begins at `from` at the earliest.
    pub(super) const fn new(id: u64, start: Option<u64>, from: u64) -> Self {
        Self { id, start, depth: 0, last: from, is_dead: false }
    }

    /// Whether this is the track of the process or thread that was created at this time.
    pub(super) fn is_of(&self, start: Option<u64>) -> bool {
        self.start.is_none() || start.is_none() || self.start == start
    }

    /// Begins a slice inside the open ones, at the earliest when the last slice began or ended: records of different CPUs can be
    /// out of order, but the slices of a track must not.
    pub(super) fn begin(&mut self, trace: &mut Trace<impl Write>, at: u64, name: &str, notes: &Notes<'_>) {
        self.last = self.last.max(at);
        self.depth += 1;
        trace.begin(self.id, self.last, name, notes);
    }

    /// Ends the slices inside the outermost `keep` ones.
    pub(super) fn end(&mut self, trace: &mut Trace<impl Write>, at: u64, keep: u32, notes: &Notes<'_>) {
        self.last = self.last.max(at);
        while self.depth > keep {
            self.depth -= 1;
            trace.end(self.id, self.last, notes);
        }
    }

    pub(super) const fn depth(&self) -> u32 {
        self.depth
    }
}

/// The open tracks of processes by pid, or of threads by tid: at most as many as exist at one time.
#[derive(Debug)]
pub(super) struct Tracks<K: Eq + Hash>(HashMap<K, Track>);

impl<K: Eq + Hash + Copy + Ord> Tracks<K> {
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }

    /// Returns the track of a pid or tid.
    pub(super) fn get(&mut self, number: K, start: Option<u64>) -> Option<&mut Track> {
        self.0.get_mut(&number).filter(|track| track.is_of(start))
    }

    /// Adds a track. Ends an older track of the same pid or tid: the end of its process or thread was not reported.
    pub(super) fn insert(
        &mut self,
        trace: &mut Trace<impl Write>,
        number: K,
        new: Track,
        at: u64,
    ) -> &mut Track {
        match self.0.entry(number) {
            Entry::Occupied(mut old) => {
                let notes = vec![("end_not_seen", Value::True)];
                old.get_mut().end(trace, at, 0, &notes);
                old.insert(new);
                old.into_mut()
            }
            Entry::Vacant(place) => place.insert(new),
        }
    }

    /// Removes a track and ends its slices.
    pub(super) fn remove(&mut self, trace: &mut Trace<impl Write>, number: K, start: Option<u64>, at: u64) {
        if self.get(number, start).is_some()
            && let Some(mut track) = self.0.remove(&number)
        {
            track.end(trace, at, 0, &Notes::new());
        }
    }

    /// Ends all slices at the end of the trace. Their processes and threads still exist.
    pub(super) fn end_all(&mut self, trace: &mut Trace<impl Write>, at: u64) {
        let mut all: Vec<_> = self.0.drain().collect();
        all.sort_by_key(|(number, _)| *number);
        let notes = vec![("goes_on", Value::True)];
        for (_, mut track) in all {
            track.end(trace, at, 0, &notes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perfetto::trace::decoded::decoded;

    #[test]
    fn slices_end_once_in_order_and_never_go_back_in_time() {
        let mut out = Vec::new();
        let mut trace = Trace::new(&mut out);
        let mut tracks: Tracks<u32> = Tracks::new();
        let mut first = Track::new(1, Some(10), 10);
        first.begin(&mut trace, 10, "life", &Notes::new());
        first.begin(&mut trace, 30, "leader dead", &Notes::new());
        tracks.insert(&mut trace, 7, first, 30);
        // A record of another CPU is late.
        if let Some(track) = tracks.get(7, Some(10)) {
            track.end(&mut trace, 20, 1, &Notes::new());
        }
        assert!(tracks.get(7, Some(11)).is_none(), "another process with this pid");
        // The pid is used again, and the end of the first process was not reported.
        let mut second = Track::new(2, Some(40), 40);
        second.begin(&mut trace, 40, "life", &Notes::new());
        tracks.insert(&mut trace, 7, second, 40);
        tracks.remove(&mut trace, 7, Some(10), 50);
        tracks.end_all(&mut trace, 60);
        trace.finish().unwrap();
        let events: Vec<_> = decoded(&out).iter().map(|event| (event.track, event.kind, event.at)).collect();
        assert_eq!(events, [(1, 1, 10), (1, 1, 30), (1, 2, 30), (2, 1, 40), (1, 2, 40), (2, 2, 60)]);
    }
}
