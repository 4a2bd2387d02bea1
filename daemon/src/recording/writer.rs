//! Writes a recording: entries are collected, and each frame that they fill is written whole.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;
use zstd::{bulk::Compressor, zstd_safe::CParameter};

use super::{
    RecordingError,
    entry::{Encoder, End, Entry},
    header::Header,
    redact::Redaction,
};
use crate::{
    failpoint::{self, Point},
    lineage::{id::Ktime, record::Record},
};

/// The level of compression, see docs/recordings.md.
const LEVEL: i32 = 3;

/// Bytes of entries that fill a frame.
const FRAME_BYTES: usize = 256 << 10;

/// A frame that is not full is written after this time, ns. So if the recorder is killed, at most about a second is lost.
const FRAME_NS: u64 = 1_000_000_000;

/// Room that is kept for the last frame, which says why recording ended, bytes.
const END_BYTES: u64 = 512;

/// The recording that is being written. Clones write to the same file.
#[derive(Clone)]
pub struct Journal {
    recorder: Arc<Mutex<Recorder>>,
    stopped: Arc<Notify>,
}

struct Recorder {
    path: PathBuf,
    file: File,
    frames: Compressor<'static>,
    encoder: Encoder,
    content: Vec<u8>,
    /// When the last frame was written because of its age.
    begun: Ktime,
    /// Bytes of whole frames in the file.
    bytes: u64,
    max_bytes: u64,
    records: u64,
    redaction: Option<Redaction>,
    state: RecordingState,
    stopped: Arc<Notify>,
}

enum RecordingState {
    Recording,
    Ended(End),
    Failed(RecordingError),
}

/// What was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Records.
    pub records: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Why it ended.
    pub end: End,
}

impl Journal {
    /// Creates the file. A file that has content is not overwritten.
    pub fn create(path: &Path, max_bytes: u64, redaction: Option<Redaction>) -> Result<Self, RecordingError> {
        let wrong = |source| RecordingError::Create { path: path.to_owned(), source };
        let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = open.map_err(wrong)?;
        if file.metadata().map_err(wrong)?.len() > 0 {
            return Err(RecordingError::Exists { path: path.to_owned() });
        }
        let mut frames = Compressor::new(LEVEL).map_err(wrong)?;
        frames.set_parameter(CParameter::ChecksumFlag(true)).map_err(wrong)?;
        let stopped = Arc::new(Notify::new());
        let recorder = Recorder {
            path: path.to_owned(),
            file,
            frames,
            encoder: Encoder::default(),
            content: Vec::with_capacity(FRAME_BYTES + (64 << 10)),
            begun: Ktime(0),
            bytes: 0,
            max_bytes,
            records: 0,
            redaction,
            state: RecordingState::Recording,
            stopped: Arc::clone(&stopped),
        };
        Ok(Self { recorder: Arc::new(Mutex::new(recorder)), stopped })
    }

    /// Resolves when recording has ended because the file is full or cannot be written.
    pub fn stopped(&self) -> impl Future<Output = ()> + use<> {
        let stopped = Arc::clone(&self.stopped);
        async move { stopped.notified().await }
    }

    /// Writes the header, as a frame of its own. The error is that of [`Journal::finish`].
    pub fn begin(&self, header: Header) {
        let mut recorder = self.lock();
        let redacted = recorder.redaction.is_some();
        recorder.entry(Entry::Header(Box::new(Header { redacted, ..header })));
        recorder.write_frame();
    }

    /// Adds a record that is applied at the time `now`.
    pub fn record(&self, record: &Record, now: Ktime) {
        self.lock().record(record, now);
    }

    /// Adds another entry.
    pub fn note(&self, entry: Entry) {
        self.lock().entry(entry);
    }

    /// Writes the collected entries as a frame if a second has passed since this last happened. The first such frame has the
    /// snapshot.
    pub fn pass_time(&self, now: Ktime) {
        let mut recorder = self.lock();
        if now.since(recorder.begun) >= FRAME_NS {
            recorder.begun = now;
            recorder.write_frame();
        }
    }

    /// Ends the recording: all entries are on the disk then.
    pub fn finish(&self, now: Ktime) -> Result<Recorded, RecordingError> {
        let mut recorder = self.lock();
        if matches!(recorder.state, RecordingState::Recording) {
            recorder.write_frame();
        }
        recorder.end(End::Stopped, now);
        let Recorder { records, bytes, .. } = *recorder;
        match std::mem::replace(&mut recorder.state, RecordingState::Ended(End::Stopped)) {
            RecordingState::Failed(error) => Err(error),
            RecordingState::Ended(end) => {
                let synced = recorder.file.sync_data();
                // A device or pipe cannot be synced.
                if let Err(error) = synced.filter_unsupported() {
                    return Err(recorder.failure(error));
                }
                Ok(Recorded { records, bytes, end })
            }
            RecordingState::Recording => Ok(Recorded { records, bytes, end: End::Stopped }),
        }
    }

    /// Removes the file, because nothing was recorded.
    pub fn discard(&self) {
        let recorder = self.lock();
        if let Err(error) = std::fs::remove_file(&recorder.path) {
            log::debug!("removing {}: {error}", recorder.path.display());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Recorder> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Errors of fsync(2) on files that have nothing to sync.
trait FilterUnsupported {
    fn filter_unsupported(self) -> io::Result<()>;
}

impl FilterUnsupported for io::Result<()> {
    fn filter_unsupported(self) -> io::Result<()> {
        match self {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            other => other,
        }
    }
}

impl Recorder {
    fn record(&mut self, record: &Record, now: Ktime) {
        if !matches!(self.state, RecordingState::Recording) {
            return;
        }
        let Self { encoder, content, redaction, .. } = self;
        match redaction {
            Some(redaction) => encoder.record(&redaction.record(record), now, content),
            None => encoder.record(record, now, content),
        }
        self.records += 1;
        self.write_full();
    }

    fn entry(&mut self, entry: Entry) {
        if !matches!(self.state, RecordingState::Recording) {
            return;
        }
        let entry = match &self.redaction {
            Some(redaction) => redaction.entry(entry),
            None => entry,
        };
        self.encoder.entry(&entry, &mut self.content);
        self.write_full();
    }

    fn write_full(&mut self) {
        if self.content.len() >= FRAME_BYTES {
            self.write_frame();
        }
    }

    /// Writes what is collected as a frame, unless that would exceed the size.
    fn write_frame(&mut self) {
        if self.content.is_empty() {
            return;
        }
        let frame = self.frames.compress(&self.content);
        self.content.clear();
        self.encoder = Encoder::default();
        match frame {
            Ok(frame) if self.bytes + frame.len() as u64 + END_BYTES > self.max_bytes => {
                // Nothing of the frame is in the file, so the recording ends before it.
                self.end(End::Full, self.begun);
                self.stopped.notify_one();
            }
            Ok(frame) => self.append(&frame),
            Err(error) => self.fail(error),
        }
    }

    /// Appends a whole frame. If only a part of it can be written, that part is cut off again.
    fn append(&mut self, frame: &[u8]) {
        let written = failpoint::check(Point::HistoryWrite).and_then(|()| self.file.write_all(frame));
        match written {
            Ok(()) => self.bytes += frame.len() as u64,
            Err(error) => {
                // A part that stays is a torn tail, which replay leaves out.
                let _ = self.file.set_len(self.bytes);
                self.fail(error);
            }
        }
    }

    /// Adds the last entry.
    fn end(&mut self, end: End, now: Ktime) {
        if !matches!(self.state, RecordingState::Recording) {
            return;
        }
        let mut content = Vec::new();
        Encoder::default().entry(&Entry::End(end, now), &mut content);
        self.state = RecordingState::Ended(end);
        match self.frames.compress(&content) {
            Ok(frame) => self.append(&frame),
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: io::Error) {
        self.state = RecordingState::Failed(self.failure(error));
        self.stopped.notify_one();
    }

    fn failure(&self, source: io::Error) -> RecordingError {
        RecordingError::Write { path: self.path.clone(), offset: self.bytes, source }
    }
}
