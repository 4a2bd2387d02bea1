//! What taskscope does on a kernel without type information (BTF): a message with the missing option and what to do, and an exit code.
//!
//! `cargo xtask vm no-btf` runs this on such a kernel. On other kernels BTF is hidden from taskscope.

use std::{ffi::CStr, fs, io, os::unix::process::CommandExt as _, path::Path, process::Command};

use taskscope_tests::{observer::Observer, service, setting};

const VMLINUX: &str = "/sys/kernel/btf/vmlinux";
const KERNEL: i32 = 4;

/// Returns a command that runs without BTF.
fn without_btf(mut command: Command) -> Command {
    if Path::new(VMLINUX).exists() {
        // SAFETY: system calls with constants; unshare and mount are async-signal-safe.
        unsafe { command.pre_exec(hide_btf) };
    }
    command
}

/// Hides the kernel's type information from the calling process.
fn hide_btf() -> io::Result<()> {
    let mount = |source: &CStr, target: &CStr, kind: &CStr, flags| {
        // SAFETY: all strings end with NUL; the data pointer may be null.
        unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, std::ptr::null()) }
    };
    // SAFETY: one integer.
    let done = unsafe { libc::unshare(libc::CLONE_NEWNS) } == 0
        && mount(c"none", c"/", c"", libc::MS_REC | libc::MS_PRIVATE) == 0
        && mount(c"tmpfs", c"/sys/kernel/btf", c"tmpfs", 0) == 0;
    if done { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn taskscope(args: &[&str]) -> Command {
    let mut command = Command::new(setting::taskscope());
    command.args(args);
    command
}

/// Checks for the message, with the file, the option and what to do, and for the exit code.
#[track_caller]
fn assert_refused(code: Option<i32>, text: &str) {
    assert_eq!(code, Some(KERNEL), "{text}");
    for part in [VMLINUX, "CONFIG_DEBUG_INFO_BTF", "boot a kernel"] {
        assert_eq!(text.matches(part).count(), 1, "`{part}` is not in the message once: {text}");
    }
}

/// Starts a command, which must end by itself.
#[track_caller]
fn assert_ends(command: Command) {
    let end = Observer::launch(without_btf(command)).wait(setting::deadline());
    assert_refused(end.code(), &end.text());
    assert_eq!(end.summary(), None, "it observed: {}", end.text());
}

#[test]
fn the_daemon_refuses_to_start_and_leaves_no_socket() {
    let directory = service::directory();
    assert_ends(service::command(&directory, &["--listen", ""]));
    assert!(!directory.join("socket").exists(), "the daemon left its socket");
    let removed = fs::remove_dir_all(&directory);
    removed.unwrap_or_else(|error| panic!("removing {}: {error}", directory.display()));
}

#[test]
fn events_end_with_the_same_message() {
    assert_ends(taskscope(&["events", "--attach", &setting::attach()]));
}

#[test]
fn doctor_says_that_nothing_can_be_observed_and_why() {
    let output = without_btf(taskscope(&["doctor"])).output();
    let output = output.unwrap_or_else(|error| panic!("starting taskscope doctor: {error}"));
    let text = String::from_utf8_lossy(&output.stdout);
    assert_refused(output.status.code(), &text);
    assert!(text.contains("nothing can be observed on this kernel"), "{text}");
}
