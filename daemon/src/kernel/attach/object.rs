//! The eBPF object: embedded, checked against this binary, and loaded with the offsets from this kernel's BTF.

use std::{io, path::Path};

use aya::{Btf, Ebpf, EbpfLoader, VerifierLogLevel, maps::MapError};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
use probe_common::{ABI_SYMBOL, ABI_VERSION, Offsets, SIGNALS_DEFAULT, Settings, Wire as _};
use rustix::process::{Resource, getrlimit};
use thiserror::Error;

use crate::host;
use crate::kernel::{
    btf::{BtfError, Types, VMLINUX},
    fields::{self, Missing},
    memory, privilege,
    sched::{self, Sched},
};

/// The programs, as the build script (daemon/build) left them; empty if `AYA_BUILD_SKIP` was set.
pub static EMBEDDED: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/taskscope-probe"));

/// Why the programs cannot be loaded at all.
#[derive(Debug, Error)]
pub enum ObjectError {
    /// This binary was built with `AYA_BUILD_SKIP`, for checks only.
    #[error(
        "this taskscope was built without its eBPF programs (AYA_BUILD_SKIP was set), so it cannot observe: \
         build it with `cargo xtask build`"
    )]
    NotBuilt,
    /// The file is not an eBPF object of taskscope.
    #[error("the eBPF object {name} is unusable: {reason}: rebuild it with `cargo xtask build`")]
    Unusable {
        /// File name, or "embedded".
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The object was built for another version of taskscope.
    #[error(
        "the eBPF object {name} has ABI version {found}, this taskscope needs {ABI_VERSION}: \
         build both from the same source with `cargo xtask build`"
    )]
    Abi {
        /// File name, or "embedded".
        name: String,
        /// The object's version.
        found: u32,
    },
    /// Capabilities are missing.
    #[error("not permitted to observe the kernel: {missing} missing: run as root, for example with sudo")]
    Privilege {
        /// The capabilities, each with what it is needed for.
        missing: String,
    },
    /// The kernel has no BTF, or it is not understood.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// The kernel's BTF lacks a field that identifies a task.
    #[error("this kernel's type information lacks what identifies a task: {0}")]
    Identity(String),
    /// The kernel refused the maps.
    #[error("loading the eBPF object: {}", with_causes(.0))]
    Load(#[from] aya::EbpfError),
    /// `RLIMIT_MEMLOCK` leaves no room for the maps, and this process may not raise it.
    #[error(
        "creating the map {map}: {source}: kernels before 5.11 count maps against RLIMIT_MEMLOCK, which is {limit_kib} KiB: \
         raise it (LimitMEMLOCK=infinity, ulimit -l unlimited), start with CAP_SYS_RESOURCE, use a smaller --ring-kib, or do not use --sched"
    )]
    Memlock {
        /// The map.
        map: String,
        /// The kernel's error.
        source: io::Error,
        /// The limit.
        limit_kib: u64,
    },
    /// The kernel refuses every call of bpf(2).
    #[error("creating the map {map}: {source}: bpf(2) is refused in spite of CAP_BPF, {}", who_refuses(*.seccomp))]
    Refused {
        /// The map.
        map: String,
        /// The kernel's error.
        source: io::Error,
        /// Whether a seccomp filter is in force.
        seccomp: bool,
    },
}

/// Reasons why a process that has the capability cannot create maps.
struct Obstacles {
    /// The limit on locked memory, bytes, where there is one.
    memlock: Option<u64>,
    /// Not even the smallest map can be created.
    refused: bool,
    /// Whether a seccomp filter is in force.
    seccomp: bool,
}

impl Obstacles {
    fn read() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            memlock: memlock(),
            refused: aya::sys::is_map_supported(aya::maps::MapType::Array).is_err(),
            seccomp: status.lines().any(|line| line.starts_with("Seccomp:") && line.ends_with('2')),
        }
    }
}

impl ObjectError {
    /// Returns the error with its remedy, where one is known.
    fn of_load(error: aya::EbpfError, obstacles: impl FnOnce() -> Obstacles) -> Self {
        let (map, source) = match error {
            aya::EbpfError::MapError(MapError::CreateError { name, io_error })
                if io_error.raw_os_error() == Some(libc::EPERM) =>
            {
                (name, io_error)
            }
            error => return Self::Load(error),
        };
        match obstacles() {
            Obstacles { refused: true, seccomp, .. } => Self::Refused { map, source, seccomp },
            Obstacles { memlock: Some(limit), .. } => Self::Memlock { map, source, limit_kib: limit / 1024 },
            _ => Self::Load(aya::EbpfError::MapError(MapError::CreateError { name: map, io_error: source })),
        }
    }
}

/// Returns the error's text with its causes: libraries keep the kernel's error at the end of the chain.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

fn who_refuses(seccomp: bool) -> &'static str {
    if seccomp {
        "most likely by the seccomp filter that is in force: let it allow bpf and perf_event_open (default profiles of some \
         container runtimes want CAP_SYS_ADMIN for them)"
    } else {
        "most likely by a security module: see the kernel's log"
    }
}

/// Returns `RLIMIT_MEMLOCK`, bytes; `None` if it is unlimited.
fn memlock() -> Option<u64> {
    getrlimit(Resource::Memlock).current
}

/// What the programs are loaded with.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Size of the ring, bytes; rounded up to a power of two of at least a page.
    pub ring_bytes: u32,
    /// Send argument vectors.
    pub args: bool,
    /// Which scheduler programs to load.
    pub sched: Sched,
}

impl Options {
    /// Returns the options of a command that observes without the daemon. Without `ring_kib`, the ring has its default size.
    #[must_use]
    pub fn of_command(ring_kib: Option<u32>, args: bool) -> Self {
        let ring_kib = ring_kib.unwrap_or_else(default_ring_kib);
        Self { ring_bytes: ring_kib.saturating_mul(1024), args, sched: Sched::No }
    }
}

/// The object with its maps created; no program is loaded yet.
pub struct Loaded {
    /// Programs and maps.
    pub ebpf: Ebpf,
    /// The kernel's types, as fentry and btf tracepoints need them.
    pub btf: Btf,
    /// The offsets the programs were given.
    pub offsets: Offsets,
    /// Fields that this kernel does not have.
    pub missing: Vec<Missing>,
}

/// Checks and loads an object. `name` is for messages.
pub fn load(name: &str, object: &[u8], options: Options) -> Result<Loaded, ObjectError> {
    check_abi(name, object)?;
    let lacking = privilege::missing();
    if !lacking.is_empty() {
        let missing =
            lacking.iter().map(|c| format!("{} ({})", c.name, c.reason)).collect::<Vec<_>>().join(", ");
        return Err(ObjectError::Privilege { missing });
    }
    let mut loader = EbpfLoader::new();
    // The loader has read the kernel's types. They are read again below, because programs are loaded with them too and the loader
    // does not return its copy. Two copies at once would double the memory that the start takes, so the loader goes first.
    loader.btf(None);
    memory::give_back();
    let types = Types::from_file(Path::new(VMLINUX))?;
    let (mut offsets, missing) = fields::resolve(&types);
    offsets.css_set_controller = fields::controller(&types, host::cgroup_mounts().controller());
    offsets.css_set_memory = fields::controller(&types, Some("memory"));
    drop(types);
    // aya reads the same BTF again, in its own form. Each copy takes tens of megabytes, so this one is freed first.
    memory::give_back();
    if !fields::identity_known(&offsets) {
        let reasons = missing.iter().map(|m| m.reason.as_str()).collect::<Vec<_>>().join("; ");
        return Err(ObjectError::Identity(reasons));
    }
    let btf = Btf::from_sys_fs().map_err(aya::EbpfError::BtfError)?;
    let ring_bytes = ring_size(options.ring_bytes);
    let settings = Settings {
        args: u32::from(options.args),
        shed_details_above: ring_bytes / 2,
        shed_threads_above: ring_bytes / 4 * 3,
        shed_signals_above: ring_bytes / 4,
        signals: SIGNALS_DEFAULT,
        pad: 0,
    };
    let mut offset_bytes = [0_u8; Offsets::SIZE];
    let mut settings_bytes = [0_u8; Settings::SIZE];
    // Both buffers have exactly the size that `write` needs.
    let _ = offsets.write(&mut offset_bytes);
    let _ = settings.write(&mut settings_bytes);
    for (map, entries) in sched::sizes(options.sched, ring_bytes) {
        loader.map_max_entries(map, entries);
    }
    let ebpf = loader
        .btf(Some(&btf))
        .verifier_log_level(VerifierLogLevel::DEBUG | VerifierLogLevel::STATS)
        .override_global("OFFSETS", &offset_bytes[..], true)
        .override_global("SETTINGS", &settings_bytes[..], true)
        .map_max_entries("RECORDS", records_bytes(options))
        .load(object)
        .map_err(|error| ObjectError::of_load(error, Obstacles::read))?;
    Ok(Loaded { ebpf, btf, offsets, missing })
}

/// Returns the ring's default size, KiB: it grows with the number of CPUs, because each can fill it.
#[must_use]
pub fn default_ring_kib() -> u32 {
    let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u32);
    (cpus.saturating_mul(2 << 10)).clamp(8 << 10, 128 << 10)
}

/// Returns the size of the ring of records, bytes. With `events --sched` the ring stays empty, because the steps of the scheduler
/// have a ring of their own.
pub(in crate::kernel) fn records_bytes(options: Options) -> u32 {
    ring_size(if options.sched == Sched::Trace { 0 } else { options.ring_bytes })
}

/// A ring's size must be a power of two and a multiple of the page size.
fn ring_size(wanted: u32) -> u32 {
    const PAGE: u32 = 4096;
    wanted.clamp(PAGE, 1 << 30).next_power_of_two()
}

/// Compares the object's ABI version with this binary's before anything of it is loaded.
pub fn check_abi(name: &str, object: &[u8]) -> Result<(), ObjectError> {
    if object.is_empty() {
        return Err(ObjectError::NotBuilt);
    }
    let unusable = |reason: &str| ObjectError::Unusable { name: name.to_owned(), reason: reason.to_owned() };
    let file = object::File::parse(object).map_err(|error| unusable(&error.to_string()))?;
    let symbol = file
        .symbols()
        .find(|symbol| symbol.name() == Ok(ABI_SYMBOL))
        .ok_or_else(|| unusable("it has no ABI version"))?;
    let found = symbol
        .section_index()
        .and_then(|index| file.section_by_index(index).ok())
        .and_then(|section| section.data_range(symbol.address(), 4).ok().flatten())
        .and_then(|bytes| Some(u32::from_ne_bytes(*bytes.first_chunk()?)))
        .ok_or_else(|| unusable("its ABI version cannot be read"))?;
    if found == ABI_VERSION { Ok(()) } else { Err(ObjectError::Abi { name: name.to_owned(), found }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_object_says_how_to_build_one() {
        let error = check_abi("embedded", &[]).unwrap_err();
        assert!(error.to_string().contains("cargo xtask build"), "{error}");
    }

    #[test]
    fn garbage_is_named_and_refused() {
        let error = check_abi("x.o", b"not an object").unwrap_err();
        assert!(error.to_string().starts_with("the eBPF object x.o is unusable"), "{error}");
    }

    #[test]
    fn an_object_of_another_version_is_refused_with_both_numbers() {
        if EMBEDDED.is_empty() {
            return; // Built with AYA_BUILD_SKIP: there is no object to change.
        }
        check_abi("embedded", EMBEDDED).unwrap();
        let file = object::File::parse(EMBEDDED).unwrap();
        let symbol = file.symbols().find(|symbol| symbol.name() == Ok(ABI_SYMBOL)).unwrap();
        let section = file.section_by_index(symbol.section_index().unwrap()).unwrap();
        let at = (section.file_range().unwrap().0 + symbol.address()) as usize;
        let mut other = EMBEDDED.to_vec();
        other[at..at + 4].copy_from_slice(&(ABI_VERSION + 1).to_ne_bytes());
        let error = check_abi("other.o", &other).unwrap_err();
        assert!(matches!(error, ObjectError::Abi { found, .. } if found == ABI_VERSION + 1), "{error}");
        assert!(error.to_string().contains(&format!("this taskscope needs {ABI_VERSION}")), "{error}");
    }

    #[test]
    fn a_map_that_is_refused_comes_with_the_remedy() {
        let said = |memlock, refused, seccomp| {
            let io_error = io::Error::from_raw_os_error(libc::EPERM);
            let error = aya::EbpfError::MapError(MapError::CreateError { name: "RECORDS".into(), io_error });
            ObjectError::of_load(error, || Obstacles { memlock, refused, seccomp }).to_string()
        };
        let limited = said(Some(8 << 20), false, true);
        assert!(
            limited.contains("map RECORDS") && limited.contains("RLIMIT_MEMLOCK, which is 8192 KiB"),
            "{limited}"
        );
        assert!(said(Some(8 << 20), true, true).contains("seccomp filter that is in force"));
        assert!(said(None, true, false).contains("security module"));
        assert!(said(None, false, false).ends_with("`RECORDS`: Operation not permitted (os error 1)"));
    }

    #[test]
    fn a_ring_is_a_power_of_two_of_at_least_a_page() {
        assert_eq!(ring_size(0), 4096);
        assert_eq!(ring_size(4097), 8192);
        assert_eq!(ring_size(u32::MAX), 1 << 30);
    }
}
