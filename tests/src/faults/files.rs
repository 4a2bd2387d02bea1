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
    args: &["--verbose"],
    prepare: on_a_small_disk,
    inflict: |case| {
        let filler = Filler(case.daemon.directory().join(FILLER));
        fill(case)?;
        for _ in 0..20 {
            // Each of these requests makes a line or two in the log.
            case.daemon.signal(libc::SIGHUP);
            case.scenario("burst", &["20"]).finish();
        }
        Ok(Box::new(filler))
    },
    ..super::NONE
};

/// A file system with a journal, on a disk, is full.
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

/// Mounts the disk on the daemon's directory. Without a disk, the directory stays as it is, and the fault is not tried.
fn on_a_disk(_: &mut Command, place: &Place) {
    let path = CString::new(place.directory.as_os_str().as_bytes());
    let (Ok(path), Ok(disk)) = (path, CString::new(DISK)) else { return };
    // SAFETY: the strings end with NUL and outlive the call; the options may be null.
    let failed =
        unsafe { libc::mount(disk.as_ptr(), path.as_ptr(), c"ext4".as_ptr(), 0, std::ptr::null()) } != 0;
    if failed {
        eprintln!("mounting {DISK}: {}", std::io::Error::last_os_error());
    }
}

/// Returns the type of a file system, statfs(2).
fn statfs(path: &std::path::Path) -> Result<libc::c_long, String> {
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    // SAFETY: the structure is plain data for which zeroes are valid.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the string ends with NUL, and the structure is writable; both outlive the call.
    let failed = unsafe { libc::statfs(name.as_ptr(), &raw mut found) } != 0;
    if failed {
        return Err(format!("statfs {}: {}", path.display(), std::io::Error::last_os_error()));
    }
    Ok(found.f_type)
}

/// The file that fills the file system of a daemon's directory. It is removed when this is dropped.
struct Filler(PathBuf);

const FILLER: &str = "filler";

impl Drop for Filler {
    fn drop(&mut self) {
        // This gives the space back to other processes.
        let _ = fs::remove_file(&self.0);
    }
}

/// Mounts a small tmpfs on the daemon's directory. `Daemon` unmounts it when it removes the directory.
fn on_a_small_disk(_: &mut Command, place: &Place) {
    let path = CString::new(place.directory.as_os_str().as_bytes());
    let path = path.unwrap_or_else(|error| panic!("{}: {error}", place.directory.display()));
    // SAFETY: the strings end with NUL and outlive the call.
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

/// A number of pieces that exceeds every disk of these tests.
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

/// Number of descriptors that the daemon may open in addition.
const FREE: u64 = 8;
/// Number of idle connections.
const IDLE: usize = 30;

/// The daemon may open hardly any descriptors, and idle connections take these.
pub(super) const NOFILE: Fault = Fault {
    name: "RLIMIT_NOFILE",
    what: "the daemon may open 8 more descriptors, and 60 idle connections are opened",
    inflict: |case| {
        let directory = format!("/proc/{}/fd", case.daemon.pid());
        let open = fs::read_dir(&directory).map_err(|error| format!("reading {directory}: {error}"))?;
        let limit = Limit::set(case.daemon.pid(), libc::RLIMIT_NOFILE, open.count() as u64 + FREE)?;
        let address = case.daemon.address().ok_or("the log has no address")?;
        let tcp: Vec<TcpStream> = (0..IDLE).filter_map(|_| TcpStream::connect(&address).ok()).collect();
        let socket = case.daemon.directory().join("socket");
        let unix: Vec<UnixStream> = (0..IDLE).filter_map(|_| UnixStream::connect(&socket).ok()).collect();
        case.scenario("burst", &["500"]).finish();
        Ok(Box::new((tcp, unix, limit)) as Held)
    },
    ..super::NONE
};
