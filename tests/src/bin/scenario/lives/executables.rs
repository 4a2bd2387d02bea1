//! Programs whose file has no name any more, never had one, or has a very long one.

use std::{
    ffi::{CString, OsString},
    fs,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

use crate::{
    Entry,
    actor::{spawn, wait},
    fact::{Fact, die, die_with, pause},
    proc,
    sys::{self, Pid},
};

pub(crate) const SCENARIOS: &[Entry] = &[(
    "executables",
    "children run a memfd, a file deleted before the exec, and one with a long path",
    |_| {
        executables();
    },
)];

fn executables() {
    let base = std::env::temp_dir().join(format!("taskscope-executables-{}", sys::getpid()));
    let long =
        (0..20).fold(base.clone(), |path, n| path.join(format!("{n:02}-a-directory-with-a-long-name")));
    copy(&base.join("gone"));
    copy(&long.join("program"));
    let gone = open(&base.join("gone"));
    let _ = fs::remove_file(base.join("gone"));
    let roles = [
        ("memfd", run("memfd", &descriptor(memfd()))),
        ("deleted", run("deleted", &descriptor(gone))),
        ("long", run("long", &long.join("program"))),
    ];
    for (role, pid) in roles {
        let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        Fact::new("runs").text("role", role).number("pid", pid).text("exe", &exe.to_string_lossy()).emit();
    }
    let _ = fs::remove_dir_all(&base);
    pause("running");
    for (role, pid) in roles {
        sys::kill(pid, libc::SIGKILL);
        wait("scenario", role, pid);
    }
}

fn failed(what: &str, error: &std::io::Error) -> ! {
    die_with(what, error.raw_os_error().unwrap_or(0))
}

fn copy(to: &Path) {
    let made = to.parent().map_or(Ok(()), fs::create_dir_all);
    if let Err(error) = made.and_then(|()| fs::copy("/proc/self/exe", to).map(drop)) {
        failed("copying this program", &error);
    }
}

fn open(path: &Path) -> i32 {
    let text = CString::new(OsString::from(path).into_vec()).unwrap_or_default();
    // SAFETY: the string ends with NUL and outlives the call. There is no O_CLOEXEC, because the exec uses this descriptor.
    match unsafe { libc::open(text.as_ptr(), libc::O_RDONLY) } {
        fd if fd >= 0 => fd,
        _ => die("open"),
    }
}

fn memfd() -> i32 {
    // SAFETY: the name ends with NUL.
    let fd = unsafe { libc::memfd_create(c"hidden".as_ptr(), 0) };
    if fd < 0 {
        die("memfd_create");
    }
    match fs::read("/proc/self/exe") {
        Ok(bytes) => sys::write_all(fd, &bytes),
        Err(error) => failed("reading this program", &error),
    }
    fd
}

fn descriptor(fd: i32) -> PathBuf {
    format!("/proc/self/fd/{fd}").into()
}

/// Runs the scenario `sleeper` from another file of this program.
fn run(role: &str, path: &Path) -> Pid {
    let text = CString::new(OsString::from(path).into_vec()).unwrap_or_default();
    let child = spawn(role, || {
        let args = [c"scenario".as_ptr(), c"sleeper".as_ptr(), std::ptr::null()];
        let environment = [std::ptr::null()];
        // SAFETY: both lists end with null and all strings outlive the call.
        unsafe { libc::execve(text.as_ptr(), args.as_ptr(), environment.as_ptr()) };
        die("execve")
    });
    proc::until("waiting for the exec", || {
        fs::read(format!("/proc/{child}/cmdline")).is_ok_and(|line| line.ends_with(b"\0sleeper\0"))
    });
    child
}
