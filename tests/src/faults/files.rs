//! Faults of files: no space on the disk, no file descriptors.

use std::{
    ffi::CString,
    fs,
    io::Write as _,
    net::TcpStream,
    os::unix::{ffi::OsStrExt as _, net::UnixStream},
    path::PathBuf,
    process::Command,
};

use super::{Case, Fault, Held, Place, limits::Limit};

/// The file system of the daemon's socket and log is full.
pub(super) const DISK_FULL: Fault = Fault {
    name: "disk full",
    what: "the file system with the daemon's socket and log is full, and it has much to log",
    guest_only: true,
    long: false,
    stays_ready: true,
    args: &["--verbose"],
    prepare: on_a_small_disk,
    inflict: |case| {
        let filler = Filler(case.daemon.directory().join(FILLER));
        fill(case)?;
        for _ in 0..20 {
            // Each is a line or two in the log.
            case.daemon.signal(libc::SIGHUP);
            case.scenario("burst", &["20"]).finish();
        }
        Ok(Box::new(filler))
    },
};

/// The same on a disk with a file system that has a journal.
pub(super) const EXT4_FULL: Fault = Fault {
    name: "ext4-full",
    what: "the daemon's socket and log are on a disk whose ext4 file system is full, and it has much to log",
    prepare: on_a_disk,
    inflict: |case| {
        let kind = statfs(case.daemon.directory())?;
        if kind != libc::EXT4_SUPER_MAGIC {
            return Err(super::skipped(format_args!("no ext4 file system on {DISK}: {kind:#x}")));
        }
        (DISK_FULL.inflict)(case)
    },
    ..DISK_FULL
};

/// The disk that `cargo xtask vm` gives its guests.
const DISK: &str = "/dev/nvme0n1";

/// If there is none, the daemon's directory stays as it is, and the fault is not tried.
fn on_a_disk(_: &mut Command, place: &Place) {
    let path = CString::new(place.directory.as_os_str().as_bytes());
    let (Ok(path), Ok(disk)) = (path, CString::new(DISK)) else { return };
    // SAFETY: strings that end with NUL and outlive the call; the options may be null.
    let failed =
        unsafe { libc::mount(disk.as_ptr(), path.as_ptr(), c"ext4".as_ptr(), 0, std::ptr::null()) } != 0;
    if failed {
        eprintln!("mounting {DISK}: {}", std::io::Error::last_os_error());
    }
}

/// The kind of a file system.
fn statfs(path: &std::path::Path) -> Result<libc::c_long, String> {
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    // SAFETY: all bytes zero is a value of this structure.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: a string that ends with NUL, and a structure that is written to.
    let failed = unsafe { libc::statfs(name.as_ptr(), &raw mut found) } != 0;
    if failed {
        return Err(format!("statfs {}: {}", path.display(), std::io::Error::last_os_error()));
    }
    Ok(found.f_type)
}

/// What fills the file system of a daemon's directory, removed when it is dropped.
struct Filler(PathBuf);

const FILLER: &str = "filler";

impl Drop for Filler {
    fn drop(&mut self) {
        // Other processes have room again.
        let _ = fs::remove_file(&self.0);
    }
}

/// The daemon takes it off again with its directory.
fn on_a_small_disk(_: &mut Command, place: &Place) {
    let path = CString::new(place.directory.as_os_str().as_bytes());
    let path = path.unwrap_or_else(|error| panic!("{}: {error}", place.directory.display()));
    // SAFETY: strings that end with NUL and outlive the call.
    let failed = unsafe {
        libc::mount(c"tmpfs".as_ptr(), path.as_ptr(), c"tmpfs".as_ptr(), 0, c"size=256k".as_ptr().cast())
    } != 0;
    assert!(
        !failed,
        "mounting a tmpfs on {}: {}",
        place.directory.display(),
        std::io::Error::last_os_error()
    );
}

/// Pieces that no disk of these tests has room for.
const MOST_PIECES: usize = 16 << 10;

fn fill(case: &Case<'_>) -> Result<(), String> {
    let path = case.daemon.directory().join(FILLER);
    let mut file = fs::File::create(&path).map_err(|error| format!("making {}: {error}", path.display()))?;
    let piece = [0_u8; 4096];
    for _ in 0..MOST_PIECES {
        match file.write_all(&piece) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => return Ok(()),
            Err(error) => return Err(format!("filling {}: {error}", path.display())),
        }
    }
    Err(format!("{} takes {MOST_PIECES} pieces of {} bytes and is not full", path.display(), piece.len()))
}

/// Descriptors that the daemon may have beyond those that it has.
const FREE: u64 = 8;
/// Connections that say nothing.
const IDLE: usize = 30;

/// The daemon may open hardly any file, and idle connections take those.
pub(super) const NOFILE: Fault = Fault {
    name: "RLIMIT_NOFILE",
    what: "the daemon may have 8 descriptors more than it has, and 60 connections are opened that say nothing",
    guest_only: false,
    long: false,
    stays_ready: true,
    args: &[],
    prepare: |_, _| {},
    inflict: |case| {
        let directory = format!("/proc/{}/fd", case.daemon.pid());
        let open = fs::read_dir(&directory).map_err(|error| format!("reading {directory}: {error}"))?;
        let limit = Limit::set(case.daemon.pid(), libc::RLIMIT_NOFILE, open.count() as u64 + FREE)?;
        let address = case.daemon.address().ok_or("it does not say where it serves")?;
        let tcp: Vec<TcpStream> = (0..IDLE).filter_map(|_| TcpStream::connect(&address).ok()).collect();
        let socket = case.daemon.directory().join("socket");
        let unix: Vec<UnixStream> = (0..IDLE).filter_map(|_| UnixStream::connect(&socket).ok()).collect();
        case.scenario("burst", &["500"]).finish();
        Ok(Box::new((tcp, unix, limit)) as Held)
    },
};
