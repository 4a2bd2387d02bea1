//! zstd frames. Each can be read by itself and has a checksum of its content.
//!
//! Crate `zstd` binds the reference library, which all readers are tested against. It writes checksums and sizes, and finds the
//! end of a frame without decompressing it. It is written in C, but its input here is only our own text and, at the start, our
//! own segments.

use std::io;

use zstd::{
    bulk::{Compressor, Decompressor},
    zstd_safe::{CParameter, find_frame_compressed_size, get_frame_content_size},
};

/// The level of compression. 18,612 lives of a storm (1026 bytes of text each) take 53 bytes each at level 1, 57 at 3, 53 at
/// 6 and 48 at 9, at 516, 415, 78 and 19 MB/s.
const LEVEL: i32 = 1;

/// The most bytes of a frame's content. A frame that claims more is not ours.
const CONTENT_MAX: usize = 64 << 20;

/// Makes frames.
pub(super) struct FrameMaker(Compressor<'static>);

impl FrameMaker {
    pub(super) fn new() -> io::Result<Self> {
        let mut compressor = Compressor::new(LEVEL)?;
        compressor.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(Self(compressor))
    }

    /// Returns a frame with these lines.
    pub(super) fn frame(&mut self, lines: &[u8]) -> io::Result<Vec<u8>> {
        self.0.compress(lines)
    }
}

/// Returns the length of the part of a segment that has whole frames; the rest is a torn tail. The checksum of the last frame
/// must be right too, because after a loss of power a file can have its length without its content.
#[must_use]
pub fn whole_prefix(segment: &[u8]) -> usize {
    let mut last = 0;
    let mut at = 0;
    while let Some(length) = segment.get(at..).and_then(frame_length) {
        last = at;
        at += length;
    }
    let is_right = segment.get(last..at).is_some_and(|frame| frame.is_empty() || content(frame).is_ok());
    if is_right { at } else { last }
}

/// Returns the length of the frame at the start of `bytes`; `None` if there is no frame or only a part of one.
fn frame_length(bytes: &[u8]) -> Option<usize> {
    if bytes.is_empty() {
        return None;
    }
    find_frame_compressed_size(bytes).ok().filter(|&length| length > 0 && length <= bytes.len())
}

/// Returns the lines of a frame.
fn content(frame: &[u8]) -> io::Result<Vec<u8>> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let size = get_frame_content_size(frame).map_err(|_| wrong("not a zstd frame"))?;
    let size = size.and_then(|size| usize::try_from(size).ok()).filter(|&size| size <= CONTENT_MAX);
    let size = size.ok_or_else(|| wrong("a frame without a size, or with one that is too large"))?;
    Decompressor::new()?.decompress(frame, size)
}

/// Iterates over the frames of a segment. A damaged frame is an error, and the iteration continues with the next frame.
pub struct Frames<'a> {
    rest: &'a [u8],
}

impl<'a> Frames<'a> {
    /// Returns the frames in the bytes of a segment.
    #[must_use]
    pub const fn of(segment: &'a [u8]) -> Self {
        Self { rest: segment }
    }
}

impl Iterator for Frames<'_> {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let Some(length) = frame_length(self.rest) else {
            let torn = self.rest.len();
            self.rest = &[];
            let what = format!("its last {torn} bytes are no whole frame");
            return Some(Err(io::Error::new(io::ErrorKind::UnexpectedEof, what)));
        };
        let (frame, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(content(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> (Vec<u8>, usize) {
        let mut maker = FrameMaker::new().unwrap();
        let mut bytes = maker.frame(b"{\"a\":1}\n").unwrap();
        let first = bytes.len();
        bytes.extend(maker.frame(b"{\"a\":2}\n{\"a\":3}\n").unwrap());
        (bytes, first)
    }

    #[test]
    fn a_torn_frame_is_cut_wherever_it_is_torn() {
        let (bytes, first) = two();
        assert_eq!(whole_prefix(&bytes), bytes.len());
        for length in 0..bytes.len() {
            let whole = whole_prefix(&bytes[..length]);
            assert_eq!(whole, if length < first { 0 } else { first }, "{length}");
        }
    }

    #[test]
    fn a_last_frame_whose_bytes_never_came_is_cut() {
        let (mut bytes, first) = two();
        let end = bytes.len();
        bytes[end - 6..].fill(0);
        assert_eq!(whole_prefix(&bytes), first);
        bytes[first..].fill(0);
        assert_eq!(whole_prefix(&bytes), first);
    }

    #[test]
    fn a_flipped_bit_costs_its_own_frame_and_no_other() {
        let (bytes, first) = two();
        for at in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[at / 8] ^= 1 << (at % 8);
            // All frames that are read have the content that was written.
            for frame in Frames::of(&wrong).flatten() {
                assert!(
                    frame == b"{\"a\":1}\n" || frame == b"{\"a\":2}\n{\"a\":3}\n" || frame.is_empty(),
                    "{at}"
                );
            }
            // The frames before the damage are readable.
            if at / 8 >= first {
                assert_eq!(Frames::of(&wrong).next().unwrap().unwrap(), b"{\"a\":1}\n");
            }
        }
    }

    #[test]
    fn foreign_bytes_are_an_error_and_no_panic() {
        for bytes in [&b"x"[..], b"{\"a\":1}\n", &[0; 100], &[0xff; 100], b"\x28\xb5\x2f\xfd"] {
            assert_eq!(whole_prefix(bytes), 0);
            assert!(Frames::of(bytes).all(|frame| frame.is_err()));
        }
    }
}
