//! Finds where a zstd frame ends, by its headers alone (RFC 8878, 3.1.1): a query skips frames that it does not need without reading them.

use std::{fs::File, io, os::unix::fs::FileExt as _};

/// The most bytes of a frame, and of its content. A frame that claims more is not ours: the writer's frames have some MiB of text.
pub(super) const FRAME_MAX: u64 = 64 << 20;

/// How a data frame begins.
pub(super) const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// How skippable frames begin, besides their first byte.
pub(super) const SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];

/// What is at a position of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// A data frame.
    Data {
        /// Its bytes.
        length: u64,
        /// The bytes of its content.
        content: u64,
    },
    /// A skippable frame.
    Skippable {
        /// Its bytes.
        length: u64,
    },
    /// The file ends here.
    End,
    /// The file ends within a frame.
    Short,
    /// Not a frame, or not one that taskscope writes.
    Foreign,
}

/// Reads at a position until the buffer is full or the file ends. Returns the number of bytes.
pub(super) fn read_at(file: &File, mut buffer: &mut [u8], mut at: u64) -> io::Result<usize> {
    let mut total = 0;
    while !buffer.is_empty() {
        match file.read_at(buffer, at) {
            Ok(0) => break,
            Ok(count) => {
                total += count;
                at += count as u64;
                buffer = buffer.get_mut(count..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}

/// Returns what is at a position of a file of this length.
pub(super) fn extent(file: &File, at: u64, length: u64) -> io::Result<Extent> {
    let mut head = [0; 18];
    let count = read_at(file, &mut head, at)?;
    let head = head.get(..count).unwrap_or_default();
    let Some((magic, rest)) = head.split_first_chunk::<4>() else {
        let may_begin =
            MAGIC.starts_with(head) || head.get(1..).is_some_and(|rest| SKIPPABLE.starts_with(rest));
        return Ok(match count {
            0 => Extent::End,
            _ if may_begin => Extent::Short,
            _ => Extent::Foreign,
        });
    };
    if magic[0] & 0xf0 == 0x50 && magic[1..] == SKIPPABLE {
        let Some((size, _)) = rest.split_first_chunk::<4>() else { return Ok(Extent::Short) };
        let size = u64::from(u32::from_le_bytes(*size)) + 8;
        return Ok(match size {
            _ if size > FRAME_MAX => Extent::Foreign,
            _ if at.saturating_add(size) > length => Extent::Short,
            _ => Extent::Skippable { length: size },
        });
    }
    if *magic != MAGIC {
        return Ok(Extent::Foreign);
    }
    let Some((&descriptor, rest)) = rest.split_first() else { return Ok(Extent::Short) };
    let Some((header, content)) = header(descriptor, rest) else {
        return Ok(if count < 18 { Extent::Short } else { Extent::Foreign });
    };
    let Some(content) = content.filter(|&content| content <= FRAME_MAX) else { return Ok(Extent::Foreign) };
    let mut end = at + header;
    loop {
        let mut block = [0; 3];
        if read_at(file, &mut block, end)? < block.len() {
            return Ok(Extent::Short);
        }
        let block = u32::from_le_bytes([block[0], block[1], block[2], 0]);
        let (is_last, size) = (block & 1 == 1, u64::from(block >> 3));
        end += 3 + match block >> 1 & 3 {
            0 | 2 => size,
            1 => 1,
            _ => return Ok(Extent::Foreign),
        };
        if end - at > FRAME_MAX {
            return Ok(Extent::Foreign);
        }
        if is_last {
            break;
        }
    }
    end += if descriptor & 4 == 0 { 0 } else { 4 };
    Ok(if end > length { Extent::Short } else { Extent::Data { length: end - at, content } })
}

/// Returns the length of a frame's header, and the size of its content if it has one. `None` if the header is not whole.
fn header(descriptor: u8, rest: &[u8]) -> Option<(u64, Option<u64>)> {
    let is_single = descriptor & 0x20 != 0;
    let window = usize::from(!is_single);
    let dictionary = match descriptor & 3 {
        3 => 4,
        flag => usize::from(flag),
    };
    let size = match descriptor >> 6 {
        0 => usize::from(is_single),
        1 => 2,
        2 => 4,
        _ => 8,
    };
    let bytes = rest.get(window + dictionary..window + dictionary + size)?;
    let value = bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
    let value = match size {
        0 => None,
        2 => Some(value + 256),
        _ => Some(value),
    };
    Some(((4 + 1 + window + dictionary + size) as u64, value))
}
