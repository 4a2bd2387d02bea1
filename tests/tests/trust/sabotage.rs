//! Cuts the links of a running taskscope. The kernel refuses `BPF_LINK_DETACH` for links of these kinds, so a debugger makes
//! taskscope replace the descriptors itself.

use std::{
    fs, io,
    os::unix::{ffi::OsStrExt as _, fs::FileExt as _},
    path::Path,
};

/// Replaces each descriptor of `pid` that attaches a program by standard input; returns the number of descriptors.
pub(crate) fn cut_links(pid: u32) -> io::Result<usize> {
    let links = links_of(pid)?;
    let mut traced = Traced::stop(pid.cast_signed())?;
    for &link in &links {
        let answer = traced.call(libc::SYS_dup3, [0, link, 0])?;
        if answer != link {
            return Err(io::Error::from_raw_os_error(i32::try_from(-answer).unwrap_or(libc::EIO)));
        }
    }
    Ok(links.len())
}

/// Returns the descriptors of links, and of the perf events that old kernels use instead.
fn links_of(pid: u32) -> io::Result<Vec<i64>> {
    let mut links = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        let target = match fs::read_link(entry.path()) {
            Ok(target) => target,
            // The descriptor was closed after the directory was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let is_link = ["bpf_link", "bpf-link", "[perf_event]"].iter().any(|kind| {
            target.to_string_lossy().strip_prefix("anon_inode:").is_some_and(|name| name.contains(kind))
        });
        if is_link {
            links.extend(entry.file_name().to_str().and_then(|name| name.parse::<i64>().ok()));
        }
    }
    Ok(links)
}

/// A traced thread that is stopped in a system call.
pub(crate) struct Traced {
    pid: i32,
    saved: libc::user_regs_struct,
}

impl Traced {
    /// Attaches to a thread and stops it in a system call, in which an idle thread nearly always is.
    pub(crate) fn stop(pid: i32) -> io::Result<Self> {
        for _ in 0..1000 {
            request(libc::PTRACE_ATTACH, pid, 0)?;
            wait(pid)?;
            let saved = registers(pid)?;
            if saved.orig_rax.cast_signed() >= 0 && is_after_syscall(pid, saved.rip)? {
                return Ok(Self { pid, saved });
            }
            request(libc::PTRACE_DETACH, pid, 0)?;
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        Err(io::Error::other(format!("{pid} is never in a system call")))
    }

    /// Makes the thread do a system call, and returns its result.
    pub(crate) fn call(&mut self, number: libc::c_long, arguments: [i64; 3]) -> io::Result<i64> {
        self.prepare(number, arguments)?;
        // A signal, such as SIGCHLD of a canary, stops the thread before the call; it is not delivered.
        for _ in 0..1000 {
            request(libc::PTRACE_SINGLESTEP, self.pid, 0)?;
            wait(self.pid)?;
            let after = registers(self.pid)?;
            if after.rip != self.saved.rip - SYSCALL.len() as u64 {
                return Ok(after.rax.cast_signed());
            }
        }
        Err(io::Error::other(format!("{} gets signals and does not come to its system call", self.pid)))
    }

    /// Makes the thread open a file for reading; returns the descriptor, or the negative errno.
    pub(crate) fn open(&mut self, path: &Path) -> io::Result<i64> {
        /// Distance below the stack pointer: beyond the red zone, where memory is unused.
        const UNUSED: u64 = 4096;
        let address = self.saved.rsp - UNUSED;
        let text = std::ffi::CString::new(path.as_os_str().as_bytes())?;
        let memory = fs::OpenOptions::new().write(true).open(format!("/proc/{}/mem", self.pid))?;
        memory.write_all_at(text.as_bytes_with_nul(), address)?;
        self.call(libc::SYS_openat, [libc::AT_FDCWD.into(), address.cast_signed(), 0])
    }

    /// Detaches from the thread, so that it makes this system call next. The thread does not return from that call.
    pub(crate) fn last_call(mut self, number: libc::c_long, arguments: [i64; 3]) -> io::Result<()> {
        self.prepare(number, arguments)?;
        let pid = self.pid;
        std::mem::forget(self);
        request(libc::PTRACE_DETACH, pid, 0)
    }

    /// Sets the thread's registers so that it executes the system call with these arguments.
    fn prepare(&mut self, number: libc::c_long, arguments: [i64; 3]) -> io::Result<()> {
        let mut registers_now = self.saved;
        registers_now.rip -= SYSCALL.len() as u64;
        registers_now.rax = number.cast_unsigned();
        // Marks that the thread is not in a system call, so that the kernel restarts none.
        registers_now.orig_rax = u64::MAX;
        let [first, second, third] = arguments.map(i64::cast_unsigned);
        (registers_now.rdi, registers_now.rsi, registers_now.rdx) = (first, second, third);
        request(libc::PTRACE_SETREGS, self.pid, &raw mut registers_now as usize)
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        // The thread continues as after an interrupted system call. If it has ended, there is nothing to restore.
        let _ = request(libc::PTRACE_SETREGS, self.pid, &raw mut self.saved as usize);
        let _ = request(libc::PTRACE_DETACH, self.pid, 0);
    }
}

/// The instruction `syscall`.
const SYSCALL: [u8; 2] = [0x0f, 0x05];

fn is_after_syscall(pid: i32, address: u64) -> io::Result<bool> {
    let memory = fs::File::open(format!("/proc/{pid}/mem"))?;
    let mut before = [0; SYSCALL.len()];
    memory.read_exact_at(&mut before, address - SYSCALL.len() as u64)?;
    Ok(before == SYSCALL)
}

fn registers(pid: i32) -> io::Result<libc::user_regs_struct> {
    // SAFETY: the structure consists of integers, for which zeroes are valid.
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    request(libc::PTRACE_GETREGS, pid, &raw mut registers as usize)?;
    Ok(registers)
}

fn request(what: libc::c_uint, pid: i32, data: usize) -> io::Result<()> {
    // SAFETY: `data` is null or points to a structure of the size that the request takes; the address is unused.
    let answer = unsafe { libc::ptrace(what, pid, std::ptr::null_mut::<u8>(), data) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn wait(pid: i32) -> io::Result<()> {
    let mut status = 0;
    // SAFETY: the pointer is to a status that outlives the call.
    let answer = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
    if answer == pid && libc::WIFSTOPPED(status) {
        Ok(())
    } else {
        Err(io::Error::other(format!("{pid} did not stop: status {status:#x}")))
    }
}
