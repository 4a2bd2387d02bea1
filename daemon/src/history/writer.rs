//! The thread that writes. It takes batches from the queue, packs lines into frames, and keeps the directory within its limits.

use std::{
    io,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
    thread::sleep,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{
    HELD_MS, Limits,
    batch::{Batch, HistoryLine},
    directory::{Directory, Found},
    frame::FrameMaker,
    index::{Field, IndexMaker, key},
    keys,
    name::{SegmentKind, SegmentName, moment_at, ms_of, rfc3339_of},
    segment::{Segment, moment_of},
    stats::{Lost, Stats},
};
use crate::{
    answer::life,
    export::{
        Stamp,
        json::{self, Encoder},
    },
    lineage::id::Ktime,
};

/// Bytes of text in a frame. More text hardly improves the compression, and a crash can lose one frame.
const FRAME_BYTES: usize = 1 << 20;

/// The longest time before a line is written to the disk.
const FLUSH_AFTER: Duration = Duration::from_secs(5);

/// The pause after a batch, so that the owner of the lineage does not have to wake this thread for each batch.
const PAUSE: Duration = Duration::from_millis(100);

/// The interval at which old segments are removed if no line arrives.
const IDLE: Duration = Duration::from_secs(600);

/// The time after a failure before the writer tries the disk again.
const AGAIN: Duration = Duration::from_secs(5);

/// A segment is closed at this size, or at this age.
const SEGMENT_BYTES: u64 = 16 << 20;
const SEGMENT_AGE: Duration = Duration::from_secs(3600);

/// Lines of one kind that are not written yet.
struct Stream {
    text: Vec<u8>,
    lines: u64,
    /// The content of the index of their frame.
    index: IndexMaker,
    /// When the oldest of these lines arrived.
    since: Option<Instant>,
    segment: Option<(Segment, Instant)>,
}

impl Stream {
    fn new() -> Self {
        Self { text: Vec::new(), lines: 0, index: IndexMaker::default(), since: None, segment: None }
    }

    fn added(&mut self) {
        self.lines += 1;
        self.since.get_or_insert_with(Instant::now);
    }
}

/// The state of the writer's thread.
pub(super) struct Writer {
    directory: Directory,
    limits: Limits,
    frames: FrameMaker,
    encoder: Encoder,
    stats: Arc<Stats>,
    lives: Stream,
    events: Stream,
    /// Closed segments, the oldest first.
    closed: Vec<Found>,
    /// After a failure, nothing is written before this time.
    again: Option<Instant>,
    /// The number of lost lines that gap lines have reported.
    reported: u64,
    /// The time up to which all lines were written, before the first of these was lost: RFC 3339.
    lost_since: Option<String>,
    /// The gap before this daemon, until its line is written.
    before: Option<Before>,
    /// The stamp of the last batch, for the wall clock.
    stamp: Option<Arc<Stamp>>,
}

/// The time before this daemon, in which no history was written.
struct Before {
    /// When it ended, ns of the wall clock.
    until_ns: i128,
    /// The last time that an earlier daemon knew of.
    since: Option<String>,
}

impl Writer {
    pub(super) fn new(
        directory: Directory,
        limits: Limits,
        frames: FrameMaker,
        stats: Arc<Stats>,
        is_left_open: bool,
    ) -> io::Result<Self> {
        let mut closed = directory.segments()?;
        // Sort by the last time, because segments are removed in that order.
        closed.sort_by(|one, other| one.name.to.cmp(&other.name.to));
        let (lives, events) = (Stream::new(), Stream::new());
        // Lives are written last of each flush: until the last of them, nothing is missing but lives that were held.
        let of_lives = closed.iter().rev().find(|found| found.name.kind == SegmentKind::Lives);
        let since = of_lives.and_then(|found| {
            let last = found.name.to.as_deref()?;
            // A daemon that was killed may have held lives that were released shortly before the last one on disk.
            let held_since = ms_of(last).filter(|_| is_left_open).map(|ms| moment_at(ms - HELD_MS));
            let known_until = held_since.map(|since| since.max(found.name.from.clone()));
            rfc3339_of(known_until.as_deref().unwrap_or(last))
        });
        let before = Before { until_ns: wall_ns(), since };
        if let Some(since) = before.since.as_ref().filter(|_| is_left_open) {
            log::warn!(
                "history: taskscope was killed before this start; lines after {since} that it had not written are missing"
            );
        }
        let mut writer = Self {
            directory,
            limits,
            frames,
            encoder: Encoder::default(),
            stats,
            lives,
            events,
            closed,
            again: None,
            reported: 0,
            lost_since: None,
            before: Some(before),
            stamp: None,
        };
        writer.keep_limits(0);
        Ok(writer)
    }

    /// Runs until the queue is closed.
    pub(super) fn run(mut self, queue: &Receiver<Batch>) {
        loop {
            let due = [&self.lives, &self.events].into_iter().filter_map(|stream| stream.since).min();
            let timeout = due.map_or(IDLE, |since| FLUSH_AFTER.saturating_sub(since.elapsed()));
            match queue.recv_timeout(timeout) {
                Ok(batch) => self.add(&batch),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.finish(),
            }
            loop {
                match queue.try_recv() {
                    Ok(batch) => self.add(&batch),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return self.finish(),
                }
            }
            self.flush(false);
            self.keep_limits(0);
            sleep(PAUSE);
        }
    }

    fn add(&mut self, batch: &Batch) {
        if self.stamp.as_ref().is_some_and(|stamp| is_set(stamp, &batch.stamp)) {
            // The wall clock was set, so a new segment begins.
            self.flush(true);
            self.end_segments(None);
        }
        self.stamp = Some(Arc::clone(&batch.stamp));
        self.add_gap_before();
        for line in &batch.lines {
            match line {
                HistoryLine::Life(life, place) => {
                    life::write(life, &batch.stamp, place.as_deref(), &mut self.lives.text);
                    keys::of_life(life, &batch.stamp, place.as_deref(), &mut self.lives.index);
                    self.lives.added();
                }
                HistoryLine::Event(effect, sequence, place) => {
                    self.encoder.write(
                        effect,
                        *sequence,
                        &batch.stamp,
                        place.as_ref(),
                        &mut self.events.text,
                    );
                    keys::of_event(effect, place.as_deref(), &mut self.events.index);
                    self.events.added();
                }
                HistoryLine::Gap(place, lost) => self.add_gap(place, Some(*lost), None, wall_ns()),
            }
        }
        self.stats.waiting.fetch_sub(batch.lines.len(), Ordering::Relaxed);
        if let Some(request) = batch.flush {
            self.flush(true);
            self.stats.flushed.store(request, Ordering::Release);
        }
        if self.lives.text.len() >= FRAME_BYTES || self.events.text.len() >= FRAME_BYTES {
            self.flush(false);
        }
    }

    /// Adds the line of a gap that ends at a time of the wall clock.
    fn add_gap(&mut self, place: &str, lost: Option<u64>, since: Option<&str>, until_ns: i128) {
        let Some(stamp) = &self.stamp else { return };
        let until = stamp.at_wall(until_ns).unwrap_or(Ktime(0));
        json::write_gap_at(stamp, until, place, lost, since, &mut self.events.text);
        self.events.index.add(key(Field::Action, b"gap"));
        self.events.added();
    }

    /// Adds the line of the gap before this daemon, once.
    fn add_gap_before(&mut self) {
        if let Some(Before { until_ns, since }) = self.before.take() {
            self.add_gap("not_running", None, since.as_deref(), until_ns);
        }
    }

    /// Writes all lines if those of one kind are many enough or old enough, or if asked to.
    fn flush(&mut self, all: bool) {
        let lost = self.stats.lost_so_far();
        if lost > self.reported && self.again.is_none_or(|again| Instant::now() >= again) {
            let since = self.lost_since.take();
            self.add_gap("history", Some(lost - self.reported), since.as_deref(), wall_ns());
            self.reported = lost;
        }
        let is_due = |stream: &Stream| {
            stream.since.is_some_and(|since| since.elapsed() >= FLUSH_AFTER)
                || stream.text.len() >= FRAME_BYTES
        };
        if !(all || is_due(&self.lives) || is_due(&self.events)) {
            return;
        }
        // Both, and lives last, so that the time of the last life on disk is a time until which no line is missing, except those of
        // lives that are held.
        for kind in [SegmentKind::Events, SegmentKind::Lives] {
            if self.stream(kind).lines > 0 {
                self.write(kind);
            }
        }
    }

    const fn stream(&mut self, kind: SegmentKind) -> &mut Stream {
        match kind {
            SegmentKind::Lives => &mut self.lives,
            SegmentKind::Events => &mut self.events,
        }
    }

    /// Writes the lines of one kind. Lines that cannot be written are counted as lost and dropped.
    fn write(&mut self, kind: SegmentKind) {
        let before = rfc3339_of(&now_as_name());
        let outcome = match self.again {
            Some(again) if Instant::now() < again => None,
            _ => Some(self.try_writing(kind)),
        };
        let stream = self.stream(kind);
        let (lines, text_bytes) = (stream.lines, stream.text.len() as u64);
        let oldest = stream.text.split(|&byte| byte == b'\n').find_map(moment_of);
        (stream.lines, stream.since) = (0, None);
        stream.text.clear();
        stream.index.clear();
        if !matches!(outcome, Some(Ok(_))) {
            let since = oldest.as_deref().and_then(rfc3339_of).or(before);
            self.lost_since = self.lost_since.take().or(since);
        }
        match outcome {
            Some(Ok(bytes)) => {
                let [of_lives, of_events] = if kind == SegmentKind::Lives { [lines, 0] } else { [0, lines] };
                self.stats.wrote(of_lives, of_events, bytes, text_bytes);
                self.again = None;
                if self.stats.set_error(None) {
                    log::info!("history: writing works again");
                }
            }
            Some(Err(error)) => {
                self.again = Some(Instant::now() + AGAIN);
                self.stats.lost(Lost::Disk, lines);
                let path = self.directory.path().display();
                let text = format!("writing to {path}: {error}; make room, or set another `history`");
                if self.stats.set_error(Some(text.clone())) {
                    log::error!("history: {text}; the daemon runs without it and tries again");
                }
            }
            None => self.stats.lost(Lost::Disk, lines),
        }
    }

    fn try_writing(&mut self, kind: SegmentKind) -> io::Result<u64> {
        let text = match kind {
            SegmentKind::Lives => &self.lives.text,
            SegmentKind::Events => &self.events.text,
        };
        let moments = || text.split(|&byte| byte == b'\n').filter_map(moment_of);
        let (first, last) =
            (moments().min().unwrap_or_else(now_as_name), moments().max().unwrap_or_else(now_as_name));
        let mut frame = self.frames.frame(text)?;
        let stream = self.stream(kind);
        frame.extend(stream.index.frame(stream.lines, &first, &last));
        self.keep_limits(frame.len() as u64);
        let (limit, is_old) = (self.segment_bytes(), |since: &Instant| since.elapsed() >= SEGMENT_AGE);
        let stream = self.stream(kind);
        if stream.segment.as_ref().is_some_and(|(segment, since)| segment.bytes >= limit || is_old(since)) {
            self.end_segment(kind, None);
        }
        let Self { directory, lives, events, .. } = self;
        let stream = if kind == SegmentKind::Lives { lives } else { events };
        let segment = match &mut stream.segment {
            Some((segment, _)) => segment,
            none => &mut none.insert((Segment::begin(directory, kind, &first)?, Instant::now())).0,
        };
        segment.add(&frame, &last)?;
        Ok(frame.len() as u64)
    }

    /// Returns the size of a segment, small enough that removing one removes a small part of the history.
    fn segment_bytes(&self) -> u64 {
        SEGMENT_BYTES.min(self.limits.bytes / 16).max(1)
    }

    /// Closes a segment. `known_until` is a time until which no line is missing, as in a name.
    fn end_segment(&mut self, kind: SegmentKind, known_until: Option<String>) {
        let Some((segment, _)) = self.stream(kind).segment.take() else { return };
        let (bytes, name) = (segment.bytes, segment.name.clone());
        if let Err(error) = segment.end(&self.directory, known_until) {
            log::error!("history: closing {name}: {error}; the next start of taskscope does it");
        }
        // The segment is listed with its present name.
        match self.directory.segments() {
            Ok(found) => {
                let is_open = |name: &SegmentName| name.to.is_none();
                self.closed = found.into_iter().filter(|found| !is_open(&found.name)).collect();
                self.closed.sort_by(|one, other| one.name.to.cmp(&other.name.to));
            }
            Err(error) => {
                log::error!("history: reading the directory: {error}");
                self.closed.push(Found { name, bytes });
            }
        }
    }

    fn end_segments(&mut self, known_until: Option<&str>) {
        for kind in SegmentKind::ALL {
            self.end_segment(kind, known_until.map(str::to_owned));
        }
    }

    /// Removes segments that are too old, and then the oldest ones until `more` bytes fit.
    fn keep_limits(&mut self, more: u64) {
        let open: u64 = [&self.lives, &self.events]
            .iter()
            .filter_map(|stream| Some(stream.segment.as_ref()?.0.bytes))
            .sum();
        let mut total = self.closed.iter().map(|found| found.bytes).sum::<u64>() + open;
        let age_ns = i128::try_from(self.limits.age.as_nanos()).unwrap_or(i128::MAX);
        let before = (wall_ns().saturating_sub(age_ns)) / 1_000_000;
        let before = moment_at(i64::try_from(before).unwrap_or(0));
        let mut gone = 0;
        for found in &self.closed {
            let is_old = found.name.to.as_ref().is_some_and(|to| *to < before);
            if total + more <= self.limits.bytes && !is_old {
                break;
            }
            if let Err(error) = self.directory.remove(&found.name)
                && error.kind() != io::ErrorKind::NotFound
            {
                log::error!("history: removing {}: {error}", found.name);
                break;
            }
            total -= found.bytes;
            gone += 1;
        }
        self.closed.drain(..gone);
        let segments = [&self.lives, &self.events].iter().filter(|stream| stream.segment.is_some()).count();
        self.stats.holds(total, (self.closed.len() + segments) as u64);
    }

    fn finish(mut self) {
        self.flush(true);
        self.end_segments(Some(&now_as_name()));
        self.keep_limits(0);
    }
}

/// Whether the wall clock was set between two stamps, by more than slewing could change it.
fn is_set(before: &Stamp, now: &Stamp) -> bool {
    (before.wall_ns(Ktime(0)) - now.wall_ns(Ktime(0))).abs() > 1_000_000_000
}

/// Returns the wall clock, ns since the epoch.
fn wall_ns() -> i128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i128::try_from(since.as_nanos()).unwrap_or(0)
}

fn now_as_name() -> String {
    moment_at(i64::try_from(wall_ns() / 1_000_000).unwrap_or(i64::MAX))
}
