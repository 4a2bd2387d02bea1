//! BTF as the kernel writes it: records of types one after the other, and a table of names.
//!
//! Only the position of each record is kept; a record is decoded when it is needed. A kernel has 150,000 types and the daemon
//! needs a dozen: indexing them all took longer than the rest of the daemon's start.
//!
//! Format: <https://docs.kernel.org/bpf/btf.html>

use std::ops::Range;

const MAGIC: u16 = 0xeb9f;
/// Length of `struct btf_header` up to and including `str_len`, bytes.
const HEADER_LEN: usize = 24;
/// `struct btf_type`.
const TYPE_LEN: usize = 12;
/// `struct btf_member`.
const MEMBER_LEN: usize = 12;

/// The kinds of types that the daemon distinguishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BtfKind {
    /// Has its own size.
    Int,
    Ptr,
    Array,
    Struct,
    Union,
    /// Either of the two widths of enums: has its own size.
    Enum,
    /// A typedef, qualifier or tag: an alias of another type.
    Alias,
    Func,
    Other,
}

/// A type's record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) kind: BtfKind,
    name: u32,
    /// Size of the type in bytes, or the id of the aliased type.
    size_or_type: u32,
    /// Members carry their size in bits beside their offset.
    with_bits: bool,
    /// What follows the common part.
    rest: &'a [u8],
}

/// A member of a structure or union.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: u32,
    pub(super) of: u32,
    pub(super) bit_offset: u32,
    pub(super) is_bit_field: bool,
}

/// Types by id. Id 0 is `void` and has no record.
pub(super) struct Raw {
    bytes: Vec<u8>,
    strings: Range<usize>,
    starts: Vec<u32>,
}

impl Raw {
    /// Finds where each record begins; the error names what is malformed.
    pub(super) fn new(bytes: Vec<u8>) -> Result<Self, String> {
        let magic = bytes.first_chunk().map(|magic| u16::from_ne_bytes(*magic));
        if magic != Some(MAGIC) {
            return Err("it is not BTF in this machine's byte order".into());
        }
        if bytes.len() < HEADER_LEN {
            return Err(format!("{} bytes are too short for a header", bytes.len()));
        }
        let field = |index: usize| word(&bytes, index * 4).map(|value| value as usize);
        let section = |offset: usize| {
            let begin = field(1)?.checked_add(field(offset)?)?;
            let range = begin..begin.checked_add(field(offset + 1)?)?;
            (range.end <= bytes.len()).then_some(range)
        };
        let types = section(2).ok_or("its types end beyond it")?;
        let strings = section(4).ok_or("its names end beyond it")?;
        let mut starts = Vec::new();
        let mut at = types.start;
        while at < types.end {
            let info = word(&bytes, at + 4).ok_or("its last type is cut off")?;
            let len = len_of_rest(info).ok_or_else(|| {
                format!("type {} is of kind {}, which is unknown", starts.len() + 1, kind_of(info))
            })?;
            starts.push(u32::try_from(at).map_err(|_| "it is larger than 4 GiB".to_owned())?);
            at += TYPE_LEN + len;
        }
        if at == types.end {
            Ok(Self { bytes, strings, starts })
        } else {
            Err("its last type is cut off".into())
        }
    }

    /// The type with this id.
    pub(super) fn record(&self, id: u32) -> Option<Record<'_>> {
        let at = *self.starts.get((id as usize).checked_sub(1)?)? as usize;
        let info = word(&self.bytes, at + 4)?;
        let kind = match kind_of(info) {
            1 | 16 => BtfKind::Int,
            2 => BtfKind::Ptr,
            3 => BtfKind::Array,
            4 => BtfKind::Struct,
            5 => BtfKind::Union,
            6 | 19 => BtfKind::Enum,
            8..=11 | 18 => BtfKind::Alias,
            12 => BtfKind::Func,
            _ => BtfKind::Other,
        };
        let rest = self.bytes.get(at + TYPE_LEN..)?.get(..len_of_rest(info)?)?;
        Some(Record {
            kind,
            name: word(&self.bytes, at)?,
            size_or_type: word(&self.bytes, at + 8)?,
            with_bits: info >> 31 == 1,
            rest,
        })
    }

    /// Returns the name at an offset of the string table; `None` for offset 0 or an invalid one.
    pub(super) fn name(&self, at: u32) -> Option<&[u8]> {
        let names = self.bytes.get(self.strings.clone())?.get(at as usize..)?;
        let end = names.iter().position(|byte| *byte == 0)?;
        names.get(..end)
    }

    /// Ids of the types of a kind with this name.
    pub(super) fn named(&self, kind: BtfKind, name: &str) -> impl Iterator<Item = u32> {
        (1..=self.starts.len() as u32).filter(move |id| {
            self.record(*id).is_some_and(|record| record.kind == kind && self.is_named(record.name, name))
        })
    }

    /// Returns whether the name at an offset is `name`; compares only as many bytes as needed.
    pub(super) fn is_named(&self, at: u32, name: &str) -> bool {
        let rest = self.bytes.get(self.strings.clone()).and_then(|names| names.get(at as usize..));
        rest.and_then(|rest| rest.strip_prefix(name.as_bytes())).is_some_and(|rest| rest.first() == Some(&0))
    }
}

impl<'a> Record<'a> {
    /// Bytes of an integer, structure, union or enum.
    pub(super) const fn size(&self) -> usize {
        self.size_or_type as usize
    }

    /// The type that an alias stands for.
    pub(super) const fn target(&self) -> u32 {
        self.size_or_type
    }

    /// Type and number of an array's elements.
    pub(super) fn array(&self) -> Option<(u32, usize)> {
        Some((word(self.rest, 0)?, word(self.rest, 8)? as usize))
    }

    /// Names and values of an enum of 32 bits; none of another width.
    pub(super) fn enumerators(self) -> impl Iterator<Item = (u32, u32)> + use<'a> {
        const ENUMERATOR_LEN: usize = 8;
        let (enumerators, _) = if self.size() == size_of::<u32>() {
            self.rest.as_chunks::<ENUMERATOR_LEN>()
        } else {
            ([].as_slice(), [].as_slice())
        };
        enumerators.iter().filter_map(|it| Some((word(it, 0)?, word(it, 4)?)))
    }

    /// Members of a structure or union.
    pub(super) fn members(self) -> impl Iterator<Item = Member> + use<'a> {
        let (members, _) = self.rest.as_chunks::<MEMBER_LEN>();
        members.iter().filter_map(move |member| {
            let offset = word(member, 8)?;
            let (bit_offset, bits) =
                if self.with_bits { (offset & 0xff_ffff, offset >> 24) } else { (offset, 0) };
            Some(Member { name: word(member, 0)?, of: word(member, 4)?, bit_offset, is_bit_field: bits != 0 })
        })
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

const fn kind_of(info: u32) -> u32 {
    info >> 24 & 0x1f
}

/// Returns how many bytes follow the common part of a record; `None` for an unknown kind.
const fn len_of_rest(info: u32) -> Option<usize> {
    let count = (info & 0xffff) as usize;
    Some(match kind_of(info) {
        // INT, VAR, DECL_TAG
        1 | 14 | 17 => 4,
        // PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG
        2 | 7..=12 | 16 | 18 => 0,
        // ARRAY
        3 => 12,
        // STRUCT, UNION, DATASEC, ENUM64
        4 | 5 | 15 | 19 => count * MEMBER_LEN,
        // ENUM, FUNC_PROTO
        6 | 13 => count * 8,
        _ => return None,
    })
}
