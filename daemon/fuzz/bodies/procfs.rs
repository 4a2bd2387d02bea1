//! Bytes as files of a process in /proc: all bytes as its stat, and parts of them, separated by 0xFF, as the files of its
//! directory.

use std::{fs, os::unix::fs::symlink, path::PathBuf, sync::OnceLock};

use taskscope::{
    lineage::id::{GroupKey, Tgid},
    procfs::{Procfs, Stat},
};

/// The only process.
const PID: u32 = 42;

/// Its files, below the root.
const FILES: [&str; 6] = [
    "42/stat",
    "42/status",
    "42/task/42/stat",
    "42/task/42/status",
    "42/task/42/syscall",
    "42/task/42/wchan",
];

/// One input.
pub(crate) fn run(bytes: &[u8]) {
    if let Ok(stat) = Stat::parse(bytes) {
        assert!(stat.comm.is_empty() || bytes.windows(stat.comm.len()).any(|part| part == stat.comm));
    }
    // Skip inputs with a thread in state D, because such a thread is read a second time after a pause.
    if bytes.windows(8).any(|part| part == b"State:\tD") {
        return;
    }
    let mut parts = bytes.split(|&byte| byte == 0xFF);
    for file in FILES {
        fs::write(root().join(file), parts.next().unwrap_or_default()).expect("a file below the root");
    }
    let procfs = Procfs::at(root());
    let _ = procfs.facts(GroupKey { tgid: Tgid(PID), start: None });
    let _ = procfs.stat(Tgid(PID));
}

/// Directory in /dev/shm that imitates /proc for this process. A fuzzer that is stopped leaves it behind.
pub(crate) fn root() -> &'static PathBuf {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let root = PathBuf::from(format!("/dev/shm/taskscope-fuzz-{}", std::process::id()));
        fs::create_dir_all(root.join("42/task/42")).expect("a directory in memory");
        fs::create_dir_all(root.join("self/ns")).expect("a directory in memory");
        // The pid namespace whose pids the kernel's records have.
        symlink("/proc/self/ns/pid", root.join("self/ns/pid")).expect("a link in memory");
        root
    })
}
