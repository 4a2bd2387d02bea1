//! Reads a recording: its header, then its frames.

use std::{fs::File, io::Read, path::Path};

use super::{
    RecordingError,
    entry::{Entries, Entry},
    frames::{Frame, Frames},
    header::{FORMAT, Header},
    wire::Fields,
};

/// A recording that is being read.
pub struct Reader<R> {
    frames: Frames<R>,
    /// What the recording says about itself.
    pub header: Header,
}

impl Reader<File> {
    /// Opens a file and reads its header.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let file =
            File::open(path).map_err(|source| RecordingError::Open { path: path.to_owned(), source })?;
        Self::new(path, file)
    }
}

impl<R: Read> Reader<R> {
    /// Reads the header of a recording. Errors name it `path`.
    pub fn new(path: &Path, file: R) -> Result<Self, RecordingError> {
        let mut frames = Frames::new(path, file)?;
        if !frames.begins_as_recording()? {
            return Err(RecordingError::Foreign { path: path.to_owned() });
        }
        let first = frames.next_frame()?.ok_or_else(|| RecordingError::Empty { path: path.to_owned() })?;
        let header = header(path, &first)?;
        Ok(Self { frames, header })
    }

    /// Returns the next frame; `None` at the end. After an error that is not [fatal](RecordingError::is_fatal) the next call returns
    /// the next whole frame.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, RecordingError> {
        self.frames.next_frame()
    }

    /// Returns the error of a frame whose content is not entries, from the first byte that was not understood.
    #[must_use]
    pub fn malformed(&self, frame: &Frame, error: super::Malformed) -> RecordingError {
        RecordingError::Malformed { path: self.frames.path().to_owned(), offset: frame.offset, error }
    }
}

fn header(path: &Path, first: &Frame) -> Result<Header, RecordingError> {
    let foreign = || RecordingError::Foreign { path: path.to_owned() };
    // The format decides whether the rest may be read.
    let (number, value) = Fields::of(&first.content).next().and_then(Result::ok).ok_or_else(foreign)?;
    if number != 1 {
        return Err(foreign());
    }
    let format = Header::format_of(value).map_err(|_| foreign())?;
    if format > FORMAT {
        return Err(RecordingError::Newer { path: path.to_owned(), format });
    }
    match Entries::of(&first.content).next() {
        Some(Ok(Entry::Header(header))) => Ok(*header),
        Some(Err(error)) => {
            Err(RecordingError::Malformed { path: path.to_owned(), offset: first.offset, error })
        }
        _ => Err(foreign()),
    }
}
