//! Reads how many instructions the kernel's verifier processed for each program, on every kernel.
//!
//! Kernels from 5.16 on report that for a loaded program. Older ones report it only in the verifier's log, which a loader
//! requests only after an error. So this module traces the command and adds a log buffer to each `BPF_PROG_LOAD`.

use std::{io, os::unix::process::CommandExt as _, process::Command, ptr};

/// `bpf(2)`'s command that loads a program.
const PROG_LOAD: u64 = 5;
/// Log level of the verifier: only the last lines, with the statistics.
const LOG_STATS: u32 = 4;
/// Offsets in `union bpf_attr`: level, size and address of the log; the program's name.
const LOG: u64 = 24;
const NAME: u64 = 48;
/// Size of the log, which is below the stack of the traced thread.
const LOG_SIZE: u32 = 4096;
const BELOW: u64 = 16 << 10;

/// A program that the kernel accepted.
#[derive(Debug)]
pub struct Loaded {
    /// Its name; the kernel keeps 15 bytes of it.
    pub name: String,
    /// Instructions that the verifier processed, on all paths.
    pub processed: u64,
    /// The verifier's limit on processed instructions.
    pub limit: u64,
}

/// Runs a command to its end and returns the programs that its main thread loads. Panics if the command cannot be traced
/// (ptrace(2)).
#[expect(clippy::zombie_processes, reason = "the tracee is waited for by its pid")]
pub fn loads(mut command: Command) -> Vec<Loaded> {
    // SAFETY: the closure makes one system call without pointers.
    unsafe {
        command.pre_exec(|| {
            match libc::ptrace(libc::PTRACE_TRACEME, 0, ptr::null_mut::<u8>(), ptr::null_mut::<u8>()) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        });
    }
    let child = command.spawn().unwrap_or_else(|err| panic!("{command:?}: {err}"));
    let tracee = Tracee(child.id().cast_signed());
    let mut found = Vec::new();
    let mut signal = tracee.wait().unwrap_or_else(|| panic!("{command:?} ended before its execve"));
    // The tracee is stopped at its execve. From here on it stops at the entry and at the exit of each system call.
    tracee.ask(
        libc::PTRACE_SETOPTIONS,
        (libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL).cast_unsigned() as usize,
    );
    let mut under_way: Option<(Call, Vec<u8>)> = None;
    loop {
        let passed_on = if signal & 0x80 != 0 || signal == libc::SIGTRAP { 0 } else { signal };
        tracee.ask(libc::PTRACE_SYSCALL, passed_on.cast_unsigned() as usize);
        let Some(stopped) = tracee.wait() else { return found };
        signal = stopped;
        if signal & 0x80 == 0 {
            continue;
        }
        let call = tracee.call();
        if let Some((entry, attr)) = under_way.take() {
            // The kernel has read the attributes, so this restores the caller's.
            tracee.write(entry.args[1] + LOG, &attr);
            let name = text(&tracee.read(entry.args[1] + NAME, 16));
            let log = text(&tracee.read(entry.stack - BELOW, LOG_SIZE as usize));
            found.extend(parse(name, &log));
        } else if call.is_entry && call.number == libc::SYS_bpf.cast_unsigned() && call.args[0] == PROG_LOAD {
            let attr = tracee.read(call.args[1] + LOG, 16);
            // A caller that requests a log itself gets its own.
            if attr[..4] == [0; 4] {
                let ours = u64::from(LOG_STATS) | u64::from(LOG_SIZE) << 32;
                tracee.write(call.stack - BELOW, &[0; LOG_SIZE as usize]);
                tracee.write(call.args[1] + LOG, &ours.to_ne_bytes());
                tracee.write(call.args[1] + LOG + 8, &(call.stack - BELOW).to_ne_bytes());
                under_way = Some((call, attr));
            }
        }
    }
}

/// Parses the line `processed 3519 insns (limit 1000000) max_states_per_insn 4 ...`, which a refused program does not have.
fn parse(name: String, log: &str) -> Option<Loaded> {
    let words: Vec<&str> = log.lines().find(|line| line.starts_with("processed "))?.split(' ').collect();
    let number = |at: usize| words.get(at)?.trim_end_matches(')').parse().ok();
    Some(Loaded { name, processed: number(1)?, limit: number(4)? })
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// The system call at which the tracee is stopped (`struct ptrace_syscall_info`).
struct Call {
    is_entry: bool,
    stack: u64,
    number: u64,
    args: [u64; 6],
}

/// The traced thread, while it is stopped.
struct Tracee(libc::pid_t);

impl Tracee {
    /// Waits until the thread stops; returns the signal, or `None` once it has ended.
    fn wait(&self) -> Option<i32> {
        let mut status = 0;
        // SAFETY: the pointer is to a status that outlives the call.
        let pid = unsafe { libc::waitpid(self.0, &raw mut status, libc::__WALL) };
        (pid == self.0 && libc::WIFSTOPPED(status)).then(|| libc::WSTOPSIG(status))
    }

    fn ask(&self, request: u32, data: usize) {
        // SAFETY: these requests take integers only.
        let answer = unsafe { libc::ptrace(request, self.0, ptr::null_mut::<u8>(), data) };
        assert_eq!(answer, 0, "ptrace({request}): {}", io::Error::last_os_error());
    }

    fn call(&self) -> Call {
        const GET_SYSCALL_INFO: u32 = 0x420e;
        let mut words = [0_u64; 11];
        // SAFETY: the kernel writes no more than the given size.
        let size = unsafe { libc::ptrace(GET_SYSCALL_INFO, self.0, size_of_val(&words), words.as_mut_ptr()) };
        assert!(size > 0, "ptrace(PTRACE_GET_SYSCALL_INFO): {}", io::Error::last_os_error());
        Call {
            is_entry: words[0] & 0xff == 1,
            stack: words[2],
            number: words[3],
            args: std::array::from_fn(|n| words[4 + n]),
        }
    }

    fn read(&self, from: u64, size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        let local = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: size };
        let remote = libc::iovec { iov_base: from as *mut _, iov_len: size };
        // SAFETY: the length is that of the local buffer; the remote address is in another process.
        let read = unsafe { libc::process_vm_readv(self.0, &raw const local, 1, &raw const remote, 1, 0) };
        assert_eq!(read, size.cast_signed(), "process_vm_readv: {}", io::Error::last_os_error());
        bytes
    }

    fn write(&self, to: u64, bytes: &[u8]) {
        let local = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let remote = libc::iovec { iov_base: to as *mut _, iov_len: bytes.len() };
        // SAFETY: the length is that of the local buffer, which is only read; the remote address is in another process.
        let written =
            unsafe { libc::process_vm_writev(self.0, &raw const local, 1, &raw const remote, 1, 0) };
        assert_eq!(written, bytes.len().cast_signed(), "process_vm_writev: {}", io::Error::last_os_error());
    }
}
