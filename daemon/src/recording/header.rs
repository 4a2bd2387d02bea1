//! What a recording says about itself and about the recorded host.

use super::wire::{Malformed, Plain, Value, message};
use crate::lineage::{Config, death::Watch, id::Ktime};

/// The version of the format. It rises when an older taskscope would give wrong answers; messages and fields that an older one may skip
/// do not raise it.
pub const FORMAT: u32 = 1;

/// The first entry of a recording.
#[derive(Clone, Debug)]
pub struct Header {
    /// Version of the format.
    pub format: u32,
    /// Version of the taskscope that recorded.
    pub made_by: String,
    /// Id of the boot, as in `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// Release of the kernel, as `uname -r` prints it.
    pub release: String,
    /// Architecture, such as `x86_64`.
    pub machine: String,
    /// When recording began.
    pub begun: Ktime,
    /// Nanoseconds to add to a boottime to get the wall clock, at the beginning.
    pub wall_offset_ns: i64,
    /// Settings of the lineage.
    pub config: Config,
    /// The hooks, and how each was attached.
    pub hooks: Vec<Hook>,
    /// Which signals the hooks report.
    pub watch: Watch,
    /// Whether the hooks report when cgroups get their first task and lose their last.
    pub watches_scopes: bool,
    /// The recorded command and its arguments; empty without one.
    pub command: Vec<Vec<u8>>,
    /// Whether names are replaced by hashes.
    pub redacted: bool,
}

/// A hook of the recorder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Its name in the table of hooks.
    pub name: String,
    /// The rung in use; `None` if it could not be attached.
    pub rung: Option<String>,
    /// What this rung cannot report.
    pub lacks: Option<String>,
}

message!(Hook { 1 name !, 2 rung ?, 3 lacks ? });
message!(Header {
    1 format !, 2 made_by *, 3 boot_id *, 4 release *, 5 machine *, 6 begun *, 7 wall_offset_ns *, 8 config !,
    9 hooks +, 10 watch *, 11 watches_scopes *, 12 command +, 13 redacted *,
});

impl Header {
    /// Reads only the format, which is where every version has it.
    pub(super) fn format_of(value: Value<'_>) -> Result<u32, Malformed> {
        struct Format {
            format: u32,
        }
        message!(Format { 1 format ! });
        Format::get(value).map(|found| found.format)
    }
}
