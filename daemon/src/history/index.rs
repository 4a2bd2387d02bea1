//! The index of a frame: how many lines it has, their first and last time, and a Bloom filter of what they are about. A query reads the index first, and skips a frame that cannot contain an answer.
//!
//! The index follows its frame as a skippable frame (RFC 8878, 3.1.2), which every reader of zstd ignores. A frame without an index
//! is readable as well.

use super::name::ms_of;

/// The magic number of a skippable frame, one of sixteen.
const MAGIC: [u8; 4] = [0x54, 0x2a, 0x4d, 0x18];

/// How its content begins. Another layout gets another text.
const IDENT: [u8; 4] = *b"tsx1";

/// Bits of the filter for each key: one frame in 300 is read without need.
const BITS: usize = 12;

/// The number of positions of a key in the filter.
const HASHES: u64 = 8;

/// The most bytes of a filter. More keys than fit make it less selective, and never wrong.
const FILTER_MAX: usize = 1 << 20;

/// What a key is a value of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Field {
    /// The pid of the process.
    Pid = 1,
    /// Its comm.
    Comm,
    /// Its systemd unit.
    Unit,
    /// Its cause of death.
    Cause,
    /// The action of an event.
    Action,
    /// Whether it ended otherwise than by exit code 0.
    Failed,
}

/// Returns the hash of a value: FNV-1a, and the last step of splitmix64, because the filter needs all bits. It is part of the
/// format.
pub(super) fn key(field: Field, value: &[u8]) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = value.iter().fold(step(0xcbf2_9ce4_8422_2325, field as u8), |hash, &byte| step(hash, byte));
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// Returns the hash of a pid.
pub(super) fn pid_key(pid: u32) -> u64 {
    key(Field::Pid, &pid.to_le_bytes())
}

/// Returns the positions of a key in a filter of this many bits.
fn positions(key: u64, bits: u64) -> impl Iterator<Item = usize> {
    let (first, step) = (key, (key >> 32) | 1);
    (0..HASHES)
        .map(move |n| usize::try_from(first.wrapping_add(n.wrapping_mul(step)) % bits.max(1)).unwrap_or(0))
}

/// Collects the keys of a frame.
#[derive(Debug, Default)]
pub(super) struct IndexMaker {
    keys: Vec<u64>,
    oldest_ms: Option<i64>,
}

impl IndexMaker {
    pub(super) fn add(&mut self, key: u64) {
        self.keys.push(key);
    }

    /// Adds when a process was created, ms since the epoch; `i64::MIN` if that is not known.
    pub(super) fn add_start(&mut self, ms: i64) {
        self.oldest_ms = Some(self.oldest_ms.map_or(ms, |oldest| oldest.min(ms)));
    }

    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.oldest_ms = None;
    }

    /// Returns the index as a skippable frame. `first` and `last` are times as in names.
    pub(super) fn frame(&mut self, lines: u64, first: &str, last: &str) -> Vec<u8> {
        self.keys.sort_unstable();
        self.keys.dedup();
        let bytes = (self.keys.len() * BITS).div_ceil(8).clamp(8, FILTER_MAX);
        let mut filter = vec![0_u8; bytes];
        for &key in &self.keys {
            for at in positions(key, bytes as u64 * 8) {
                if let Some(byte) = filter.get_mut(at / 8) {
                    *byte |= 1 << (at % 8);
                }
            }
        }
        let index = Index {
            lines: u32::try_from(lines).unwrap_or(u32::MAX),
            first_ms: ms_of(first).unwrap_or(i64::MIN),
            last_ms: ms_of(last).unwrap_or(i64::MAX),
            oldest_ms: self.oldest_ms.unwrap_or(i64::MIN),
            filter,
        };
        index.frame()
    }
}

/// The index of a frame: what is known without reading the frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Index {
    /// The number of its lines.
    pub(super) lines: u32,
    /// The first time of its lines, ms since the epoch.
    pub(super) first_ms: i64,
    /// The last time of its lines, ms since the epoch.
    pub(super) last_ms: i64,
    /// When the oldest of its processes was created, ms since the epoch.
    pub(super) oldest_ms: i64,
    filter: Vec<u8>,
}

impl Index {
    /// Returns the index as a skippable frame.
    fn frame(&self) -> Vec<u8> {
        let mut checked = self.lines.to_le_bytes().to_vec();
        checked.extend(self.first_ms.to_le_bytes());
        checked.extend(self.last_ms.to_le_bytes());
        checked.extend(self.oldest_ms.to_le_bytes());
        checked.extend(&self.filter);
        let length = u32::try_from(checked.len() + 8).unwrap_or(0);
        let check = check_of(&checked).to_le_bytes();
        [&MAGIC[..], &length.to_le_bytes(), &IDENT, &check, &checked].concat()
    }

    /// Whether a skippable frame begins like an index of taskscope.
    pub(super) fn is_ours(frame: &[u8]) -> bool {
        frame.starts_with(&MAGIC) && frame.get(8..).is_some_and(|content| content.starts_with(&IDENT))
    }

    /// Parses a skippable frame; `None` if it is not an index of taskscope, or is damaged.
    pub(super) fn parse(frame: &[u8]) -> Option<Self> {
        let content = frame.strip_prefix(&MAGIC)?.get(4..)?.strip_prefix(&IDENT)?;
        let (check, checked) = content.split_first_chunk::<4>()?;
        if u32::from_le_bytes(*check) != check_of(checked) {
            return None;
        }
        let (lines, rest) = checked.split_first_chunk::<4>()?;
        let (first, rest) = rest.split_first_chunk::<8>()?;
        let (last, rest) = rest.split_first_chunk::<8>()?;
        let (oldest, filter) = rest.split_first_chunk::<8>()?;
        Some(Self {
            lines: u32::from_le_bytes(*lines),
            first_ms: i64::from_le_bytes(*first),
            last_ms: i64::from_le_bytes(*last),
            oldest_ms: i64::from_le_bytes(*oldest),
            filter: filter.to_vec(),
        })
    }

    /// Whether the frame may have a line with this key.
    pub(super) fn may_have(&self, key: u64) -> bool {
        positions(key, self.filter.len() as u64 * 8)
            .all(|at| self.filter.get(at / 8).is_none_or(|byte| byte >> (at % 8) & 1 == 1))
    }

    /// Whether the frame may have lines from `from` to `to`, ms since the epoch.
    pub(super) const fn is_within(&self, from: i64, to: i64) -> bool {
        self.first_ms <= to && from <= self.last_ms
    }
}

/// The checksum of an index: a flipped bit must not hide lines.
fn check_of(bytes: &[u8]) -> u32 {
    let hash = key(Field::Pid, bytes);
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    let half = hash as u32;
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(pids: std::ops::Range<u32>) -> Vec<u8> {
        let mut maker = IndexMaker::default();
        pids.for_each(|pid| maker.add(pid_key(pid)));
        maker.frame(7, "20261129T023917.123Z", "20261129T033917.456Z")
    }

    #[test]
    fn an_index_has_every_key_that_was_added_and_hardly_another() {
        let index = Index::parse(&made(0..1000)).unwrap();
        assert!((0..1000).all(|pid| index.may_have(pid_key(pid))));
        let wrong = (1000..101_000).filter(|&pid| index.may_have(pid_key(pid))).count();
        assert!(wrong < 1000, "{wrong} of 100,000 pids are found that are not there");
        assert_eq!(index.lines, 7);
        assert!(index.is_within(index.last_ms, i64::MAX) && !index.is_within(index.last_ms + 1, i64::MAX));
        assert!(index.is_within(0, index.first_ms) && !index.is_within(0, index.first_ms - 1));
    }

    #[test]
    fn a_damaged_index_is_none() {
        let frame = made(0..3);
        assert!(Index::parse(&frame).is_some());
        for bit in 64..frame.len() * 8 {
            let mut wrong = frame.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Index::parse(&wrong), None, "{bit}");
        }
        for length in 0..frame.len() {
            assert_eq!(Index::parse(&frame[..length]), None, "{length}");
        }
    }
}
