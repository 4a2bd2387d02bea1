//! Finds members of kernel structures in BTF.
//!
//! A path such as `se.sum_exec_runtime` is followed through named and anonymous structures and unions. Bit fields are
//! refused: their offset is not a byte offset.
//!
//! The tests compare this with the crate `btf-rs`. It indexes every type and name at once, which took longer than the
//! rest of the daemon's start; aya's own BTF does not give the offsets of members.

mod raw;

use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use self::raw::{BtfKind, Member, Raw, Record};
use crate::{
    bounded,
    failpoint::{self, Point},
};

/// Where a kernel with `CONFIG_DEBUG_INFO_BTF` shows its own types.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Longest BTF that is read; kernels have 4 to 12 MiB.
const FILE_MAX: usize = 256 << 20;

/// Typedefs, qualifiers and nested anonymous structures are followed this far; kernels need less than ten.
const MAX_DEPTH: usize = 32;

/// The most members that a search for one name visits; `task_struct` has about three hundred. The limit ends the search in types
/// that contain themselves.
const MAX_MEMBERS: usize = 10_000;

/// Why the offset of a member is unknown.
#[derive(Debug, Error)]
pub enum BtfError {
    /// The kernel has no BTF.
    #[error(
        "{path} does not exist, so the fields of kernel structures are unknown: boot a kernel that was built with \
         CONFIG_DEBUG_INFO_BTF, as distributions build theirs; if sysfs is not mounted on /sys, mount it"
    )]
    Absent {
        /// The file.
        path: PathBuf,
    },
    /// The BTF cannot be read.
    #[error("reading the kernel's type information from {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The data is not valid BTF.
    #[error("the kernel's type information in {path} is not understood: {what}")]
    Garbage {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// No structure of that name.
    #[error("the kernel's type information has no struct {0}")]
    NoStruct(&'static str),
    /// No such member, by any of its names.
    #[error("struct {of} has no member {names}")]
    NoMember {
        /// The structure.
        of: &'static str,
        /// The names tried.
        names: String,
    },
    /// The member is not as wide as the programs read it.
    #[error("{of}.{member} is {found} bytes wide, not {wanted}")]
    Width {
        /// The structure.
        of: &'static str,
        /// The member.
        member: String,
        /// Its width, bytes.
        found: usize,
        /// The widths that would do, bytes.
        wanted: String,
    },
    /// The member is a bit field.
    #[error("{of}.{member} is a bit field")]
    BitField {
        /// The structure.
        of: &'static str,
        /// The member.
        member: String,
    },
    /// The member is not a bit field.
    #[error("{of}.{member} is not a bit field")]
    NoBitField {
        /// The structure.
        of: &'static str,
        /// The member.
        member: &'static str,
    },
}

/// A member's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberPlace {
    /// Offset from the start of the structure, bytes.
    pub offset: u32,
    /// Size of the member, bytes; 0 where it has none (a flexible array).
    pub size: usize,
}

/// The kernel's types.
pub struct Types {
    raw: Raw,
    /// Ids of structures that were searched for, by name: a search visits all types.
    structures: RefCell<HashMap<&'static str, Vec<u32>>>,
}

impl Types {
    /// Reads BTF from a file, normally [`VMLINUX`].
    pub fn from_file(path: &Path) -> Result<Self, BtfError> {
        let bytes = failpoint::check(Point::BtfRead).and_then(|()| bounded::read(path, FILE_MAX));
        let bytes = bytes.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => BtfError::Absent { path: path.to_owned() },
            _ => BtfError::Unreadable { path: path.to_owned(), source },
        })?;
        Self::new(path, bytes)
    }

    /// Reads BTF from memory.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BtfError> {
        Self::new(Path::new("memory"), bytes.to_vec())
    }

    fn new(path: &Path, bytes: Vec<u8>) -> Result<Self, BtfError> {
        let raw = Raw::new(bytes).map_err(|what| BtfError::Garbage { path: path.to_owned(), what })?;
        Ok(Self { raw, structures: RefCell::default() })
    }

    /// Finds `of`.`path` for the first of `paths` that the kernel has.
    pub fn member(&self, of: &'static str, paths: &[&str]) -> Result<MemberPlace, BtfError> {
        let candidates = self.structures(of);
        for candidate in candidates.iter().filter_map(|id| self.raw.record(*id)) {
            for path in paths {
                if let Some(place) = self.follow(of, candidate, path)? {
                    return Ok(place);
                }
            }
        }
        if candidates.is_empty() {
            Err(BtfError::NoStruct(of))
        } else {
            Err(BtfError::NoMember { of, names: paths.join(" or ") })
        }
    }

    /// Returns the byte offset and the mask of a one-bit bit field. It does not check the width of the field.
    pub fn bit(&self, of: &'static str, name: &'static str) -> Result<(u32, u32), BtfError> {
        let candidates = self.structures(of);
        let mut records = candidates.iter().filter_map(|id| self.raw.record(*id));
        let found = records.find_map(|record| self.find(record, name, 0, &mut { MAX_MEMBERS }));
        match found {
            Some((member, bits)) if member.is_bit_field => Ok((bits / 8, 1 << (bits % 8))),
            Some(_) => Err(BtfError::NoBitField { of, member: name }),
            None if candidates.is_empty() => Err(BtfError::NoStruct(of)),
            None => Err(BtfError::NoMember { of, names: name.to_owned() }),
        }
    }

    /// Size of a structure, bytes.
    pub fn size_of(&self, of: &'static str) -> Result<usize, BtfError> {
        let first = self.structures(of).first().and_then(|id| self.raw.record(*id));
        first.map(|structure| structure.size()).ok_or(BtfError::NoStruct(of))
    }

    /// Value of an enumerator; `None` if the kernel has no such enum, or the enum no such name.
    #[must_use]
    pub fn enumerator(&self, of: &str, name: &str) -> Option<u32> {
        let mut enums = self.raw.named(BtfKind::Enum, of).filter_map(|id| self.raw.record(id));
        enums.find_map(|it| {
            it.enumerators().find(|(at, _)| self.raw.is_named(*at, name)).map(|(_, value)| value)
        })
    }

    /// Returns whether the kernel's BTF has a function of that name: fentry needs it.
    #[must_use]
    pub fn has_function(&self, name: &str) -> bool {
        self.raw.named(BtfKind::Func, name).next().is_some()
    }

    fn structures(&self, name: &'static str) -> Vec<u32> {
        let mut known = self.structures.borrow_mut();
        known.entry(name).or_insert_with(|| self.raw.named(BtfKind::Struct, name).collect()).clone()
    }

    fn follow(
        &self,
        of: &'static str,
        structure: Record<'_>,
        path: &str,
    ) -> Result<Option<MemberPlace>, BtfError> {
        let mut current = structure;
        let mut bits = 0_u32;
        let mut names = path.split('.').peekable();
        while let Some(name) = names.next() {
            let mut left = MAX_MEMBERS;
            let Some((member, member_bits)) = self.find(current, name, 0, &mut left) else {
                return Ok(None);
            };
            bits = bits.saturating_add(member_bits);
            if member.is_bit_field || !bits.is_multiple_of(8) {
                return Err(BtfError::BitField { of, member: path.to_owned() });
            }
            let Some(target) = self.strip(member.of) else { return Ok(None) };
            if names.peek().is_none() {
                return Ok(Some(MemberPlace { offset: bits / 8, size: self.width(target, 0) }));
            }
            if !matches!(target.kind, BtfKind::Struct | BtfKind::Union) {
                return Ok(None);
            }
            current = target;
        }
        Ok(None)
    }

    /// The member `name` of `structure` or of an anonymous structure or union in it, with its offset in bits.
    fn find(
        &self,
        structure: Record<'_>,
        name: &str,
        depth: usize,
        left: &mut usize,
    ) -> Option<(Member, u32)> {
        if depth > MAX_DEPTH {
            return None;
        }
        for member in structure.members() {
            *left = left.checked_sub(1)?;
            if self.raw.is_named(member.name, name) {
                return Some((member, member.bit_offset));
            }
            if self.raw.name(member.name).is_none_or(<[u8]>::is_empty)
                && let Some(inner) = self.strip(member.of)
                && matches!(inner.kind, BtfKind::Struct | BtfKind::Union)
                && let Some((found, bits)) = self.find(inner, name, depth + 1, left)
            {
                return Some((found, member.bit_offset.saturating_add(bits)));
            }
        }
        None
    }

    /// The type behind typedefs and qualifiers.
    fn strip(&self, id: u32) -> Option<Record<'_>> {
        let mut current = self.raw.record(id)?;
        for _ in 0..MAX_DEPTH {
            if current.kind != BtfKind::Alias {
                return Some(current);
            }
            current = self.raw.record(current.target())?;
        }
        None
    }

    fn width(&self, of: Record<'_>, depth: usize) -> usize {
        match of.kind {
            BtfKind::Int | BtfKind::Struct | BtfKind::Union | BtfKind::Enum => of.size(),
            BtfKind::Ptr => size_of::<u64>(),
            BtfKind::Array if depth < MAX_DEPTH => of.array().map_or(0, |(element, count)| {
                let element = self.strip(element).map_or(0, |element| self.width(element, depth + 1));
                element.saturating_mul(count)
            }),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::fields;

    /// The running kernel's BTF is the only one whose answers can be checked; without it the tests have nothing to compare.
    fn running() -> Option<Types> {
        Types::from_file(Path::new(VMLINUX)).ok()
    }

    #[test]
    fn members_of_nested_and_anonymous_structures_are_found() {
        let Some(types) = running() else { return };
        let se = types.member("task_struct", &["se"]).unwrap();
        let nested = types.member("task_struct", &["se.sum_exec_runtime"]).unwrap();
        assert!(nested.offset > se.offset && (nested.offset as usize) < se.offset as usize + se.size);
        assert_eq!(nested.size, 8);
        assert_eq!(types.member("dentry", &["d_name.name"]).unwrap().size, 8);
        assert_eq!(types.member("task_struct", &["comm"]).unwrap().size, 16);
    }

    /// Compares every member of the structures that the programs read with what another BTF reader says.
    #[test]
    fn another_reader_finds_every_member_in_the_same_place() {
        let (Some(types), Ok(bytes)) = (running(), std::fs::read(VMLINUX)) else { return };
        let other = btf_rs::Btf::from_bytes(&bytes).unwrap();
        let mut compared = 0;
        for of in ["task_struct", "signal_struct", "cred", "nsproxy", "css_set", "sched_entity", "pid"] {
            let found = other.resolve_types_by_name(of).unwrap();
            let structure = found.iter().find_map(|kind| match kind {
                btf_rs::Type::Struct(structure) => Some(structure),
                _ => None,
            });
            let structure = structure.unwrap();
            assert_eq!(types.size_of(of).unwrap(), structure.size(), "{of}");
            for member in &structure.members {
                let name = other.resolve_name(member).unwrap();
                if name.is_empty() || member.bitfield_size().is_some_and(|bits| bits != 0) {
                    continue;
                }
                let place = types.member(of, &[&name]).unwrap();
                assert_eq!(place.offset, member.bit_offset() / 8, "{of}.{name}");
                compared += 1;
            }
        }
        assert!(compared > 200, "only {compared} members were compared");
    }

    #[test]
    fn the_first_name_that_the_kernel_has_is_taken() {
        let Some(types) = running() else { return };
        let both = types.member("task_struct", &["no_such_member", "pid"]).unwrap();
        assert_eq!(both, types.member("task_struct", &["pid"]).unwrap());
    }

    #[test]
    fn a_missing_file_is_answered_with_the_option_of_the_kernel_and_what_to_do() {
        let error = Types::from_file(Path::new("/no/such/vmlinux")).err().unwrap().to_string();
        assert!(error.starts_with("/no/such/vmlinux does not exist"), "{error}");
        assert!(error.contains("boot a kernel that was built with CONFIG_DEBUG_INFO_BTF"), "{error}");
    }

    #[test]
    fn what_is_not_there_is_named() {
        let Some(types) = running() else { return };
        let error = types.member("task_struct", &["nonsense", "rubbish"]).unwrap_err();
        assert_eq!(error.to_string(), "struct task_struct has no member nonsense or rubbish");
        let error = types.member("no_such_struct", &["x"]).unwrap_err();
        assert_eq!(error.to_string(), "the kernel's type information has no struct no_such_struct");
    }

    #[test]
    fn a_controller_has_its_number_in_an_enum() {
        let Some(types) = running() else { return };
        let numbers =
            ["cpuset_cgrp_id", "cpu_cgrp_id"].map(|name| types.enumerator("cgroup_subsys_id", name));
        assert_eq!(numbers, [Some(0), Some(1)]);
        assert_eq!(types.enumerator("cgroup_subsys_id", "no_such_cgrp_id"), None);
        assert_eq!(types.enumerator("no_such_enum", "cpu_cgrp_id"), None);
    }

    #[test]
    fn bit_fields_are_refused() {
        let Some(types) = running() else { return };
        let error = types.member("signal_struct", &["is_child_subreaper"]).unwrap_err();
        assert!(matches!(error, BtfError::BitField { .. }), "{error}");
    }

    #[test]
    fn a_bit_is_found_where_another_reader_finds_it() {
        let (Some(types), Ok(bytes)) = (running(), std::fs::read(VMLINUX)) else { return };
        let other = btf_rs::Btf::from_bytes(&bytes).unwrap();
        let found = other.resolve_types_by_name("task_struct").unwrap();
        let Some(btf_rs::Type::Struct(structure)) = found.first() else { panic!("no task_struct") };
        let name = "in_execve";
        let member = structure.members.iter().find(|it| other.resolve_name(*it).unwrap() == name).unwrap();
        let (offset, mask) = types.bit("task_struct", name).unwrap();
        assert_eq!(offset * 8 + mask.trailing_zeros(), member.bit_offset());
        assert!(matches!(types.bit("task_struct", "pid"), Err(BtfError::NoBitField { .. })));
        assert!(matches!(types.bit("task_struct", "nonsense"), Err(BtfError::NoMember { .. })));
    }

    #[test]
    fn garbage_is_an_error_and_no_panic() {
        let Ok(good) = std::fs::read(VMLINUX) else { return };
        for len in [0, 1, 7, 23, 24, 25, 1000] {
            assert!(Types::from_bytes(good.get(..len).unwrap()).is_err(), "{len} bytes were accepted");
        }
        let mut bad = good.get(..4096).unwrap().to_vec();
        bad[12..20].fill(0xff);
        assert!(Types::from_bytes(&bad).is_err());
    }

    #[test]
    fn types_that_contain_themselves_have_an_end() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/btf/endless");
        let types = Types::from_file(&corpus).unwrap();
        let (offsets, missing) = fields::resolve(&types);
        assert!(!fields::identity_known(&offsets) && !missing.is_empty());
    }

    #[test]
    fn every_field_of_the_table_is_found_on_a_kernel_from_5_10_on() {
        let Some(types) = running() else { return };
        let (offsets, missing) = fields::resolve(&types);
        assert!(fields::identity_known(&offsets));
        assert_eq!(missing, []);
    }
}
