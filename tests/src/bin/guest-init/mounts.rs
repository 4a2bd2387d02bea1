//! Sets up the file systems, limits and network that a test expects of a booted machine.

use std::ffi::CString;
use std::os::unix::fs::symlink;
use std::{fs, io};

use anyhow::Context as _;

struct Mount {
    kind: &'static str,
    target: &'static str,
    /// Options of the file system.
    data: &'static str,
    /// Whether no test can run without it.
    needed: bool,
}

const MOUNTS: [Mount; 11] = [
    Mount { kind: "proc", target: "/proc", data: "", needed: true },
    Mount { kind: "sysfs", target: "/sys", data: "", needed: true },
    Mount { kind: "devtmpfs", target: "/dev", data: "", needed: true },
    Mount { kind: "devpts", target: "/dev/pts", data: "", needed: false },
    Mount { kind: "tmpfs", target: "/dev/shm", data: "", needed: false },
    Mount { kind: "tmpfs", target: "/tmp", data: "", needed: true },
    Mount { kind: "tmpfs", target: "/run", data: "", needed: true },
    Mount { kind: "bpf", target: "/sys/fs/bpf", data: "", needed: false },
    Mount { kind: "debugfs", target: "/sys/kernel/debug", data: "", needed: false },
    Mount { kind: "tracefs", target: "/sys/kernel/tracing", data: "", needed: false },
    Mount { kind: "securityfs", target: "/sys/kernel/security", data: "", needed: false },
];

const CGROUP_V2: [Mount; 1] = [Mount { kind: "cgroup2", target: "/sys/fs/cgroup", data: "", needed: false }];
/// The layout that systemd calls hybrid.
const CGROUP_V1: [Mount; 7] = [
    Mount { kind: "tmpfs", target: "/sys/fs/cgroup", data: "mode=755", needed: false },
    Mount { kind: "cgroup", target: "/sys/fs/cgroup/memory", data: "memory", needed: false },
    Mount { kind: "cgroup", target: "/sys/fs/cgroup/pids", data: "pids", needed: false },
    Mount { kind: "cgroup", target: "/sys/fs/cgroup/cpu,cpuacct", data: "cpu,cpuacct", needed: false },
    Mount { kind: "cgroup", target: "/sys/fs/cgroup/freezer", data: "freezer", needed: false },
    Mount { kind: "cgroup", target: "/sys/fs/cgroup/systemd", data: "none,name=systemd", needed: false },
    Mount { kind: "cgroup2", target: "/sys/fs/cgroup/unified", data: "", needed: false },
];

/// Prepares the guest. Returns text for the log about what the kernel does not support.
pub(crate) fn prepare() -> anyhow::Result<Vec<String>> {
    let mut complaints = Vec::new();
    for entry in &MOUNTS {
        if let Err(error) = mount(entry) {
            let what = format!("mounting {} on {}", entry.kind, entry.target);
            if entry.needed {
                return Err(error).context(what);
            }
            complaints.push(format!("{what}: {error}"));
        }
    }
    symlink("/proc/self/fd", "/dev/fd").context("linking /dev/fd")?;
    // Before 5.11 BPF memory counts against this limit, and 64 KiB hold no ring buffer.
    unlimited_memlock().context("raising RLIMIT_MEMLOCK")?;
    // A small kernel (CONFIG_BASE_SMALL) has 4096, and a test makes 5000 processes.
    if let Err(error) = fs::write("/proc/sys/kernel/pid_max", "32768") {
        complaints.push(format!("raising pid_max: {error}"));
    }
    if let Err(error) = loopback_up() {
        complaints.push(format!("bringing up the loopback interface: {error}"));
    }
    Ok(complaints)
}

/// Mounts the cgroup hierarchies. Returns text for the log about what the kernel does not support.
pub(crate) fn cgroups(v1: bool) -> Vec<String> {
    let mounts: &[Mount] = if v1 { &CGROUP_V1 } else { &CGROUP_V2 };
    let failed = mounts.iter().filter_map(|entry| Some((entry, mount(entry).err()?)));
    failed.map(|(entry, error)| format!("mounting {} on {}: {error}", entry.kind, entry.target)).collect()
}

/// Returns the release of the running kernel, as `uname -r` prints it.
pub(crate) fn kernel_release() -> anyhow::Result<String> {
    const PATH: &str = "/proc/sys/kernel/osrelease";
    Ok(fs::read_to_string(PATH).with_context(|| format!("reading {PATH}"))?.trim().to_owned())
}

fn mount(entry: &Mount) -> io::Result<()> {
    // sysfs has its own mount points; if one is missing, the error of mount(2) is clearer than that of mkdir(2).
    if !entry.target.starts_with("/sys/") || entry.target.starts_with("/sys/fs/cgroup/") {
        fs::create_dir_all(entry.target)?;
    }
    let kind = CString::new(entry.kind)?;
    let target = CString::new(entry.target)?;
    let data = CString::new(entry.data)?;
    // SAFETY: all strings end with NUL and outlive the call.
    check(unsafe { libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, data.as_ptr().cast()) })
}

fn unlimited_memlock() -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `limit` is a valid rlimit for the length of the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) })
}

/// Brings up `lo`, which then gets its address from the kernel.
fn loopback_up() -> io::Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: ifreq is plain data for which zeroes are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = (*from).try_into().unwrap_or_default();
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: the descriptor is an open socket and `request` a complete ifreq.
    check(unsafe {
        libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&socket), libc::SIOCSIFFLAGS, &raw const request)
    })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
