//! seccomp: which system calls the daemon can make.
//!
//! There are three filters; the strictest result applies (seccomp(2)):
//!
//! 1. *Deadly* calls end the process by SIGSYS: other programs, other processes, modules, mounts, namespaces, another identity.
//!    No code of taskscope makes them, so code that does has taken the daemon over.
//! 2. `clone3` fails with ENOSYS: its flags are in memory, where a filter cannot read them. C libraries then use `clone`.
//! 3. Calls that are not *allowed* fail with EPERM, and the kernel logs them (`type=1326` with the number). They do not end the
//!    process, because a future C library may try a new call, and has to work without it on old kernels anyway.
//!
//! `crate seccompiler` (rust-vmm, of Firecracker) compiles the filters: it needs no C library, so it works in the static binary,
//! and it supports both architectures. It cannot set the flag that makes the kernel log, so this file installs the filters.

use std::{collections::BTreeMap, io, os::fd::RawFd};

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use thiserror::Error;

use super::syscalls::{
    ALLOWED, ALLOWED_OLD, BPF_COMMANDS, CONNECT, DEADLY, DEADLY_OLD, FAMILIES, HISTORY, IOCTLS, NAMES, SPILL,
};
use crate::outputs::Reach;

/// Why system calls are not restricted.
#[derive(Debug, Error)]
pub enum SeccompError {
    /// No filter for this architecture.
    #[error("compiling the filter: {0}")]
    Compile(#[from] BackendError),
    /// The kernel refuses.
    #[error("installing the filter: {0}")]
    Install(io::Error),
    /// A thread has a filter of its own that the new one does not extend.
    #[error("installing the filter: thread {0} cannot be restricted")]
    Thread(i64),
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Namespaces that `clone` can make.
const NAMESPACES: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u64;

/// Flags of `open` that change a file or create one. `O_TMPFILE` is not listed, because it requires write access as well.
const WRITING: u64 = (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC) as u64;

/// Restricts all threads of this process permanently. Sets `PR_SET_NO_NEW_PRIVS`.
///
/// `history` is the descriptor of the history's directory: files can be opened relative to it for writing as well. Landlock makes
/// sure that such a path cannot leave the directory.
pub fn install(history: Option<RawFd>, outputs: &Reach) -> Result<(), SeccompError> {
    // Compile all filters before the first is installed, because half a sandbox would be misleading.
    let filters = [
        compile(deadly(), SeccompAction::KillProcess, SeccompAction::Allow)?,
        compile(absent(), errno(libc::ENOSYS), SeccompAction::Allow)?,
        // Install this one last, because it denies installing further filters.
        compile(allowed(history, outputs)?, SeccompAction::Allow, errno(libc::EPERM))?,
    ];
    rustix::thread::set_no_new_privs(true).map_err(|error| SeccompError::Install(error.into()))?;
    filters.into_iter().try_for_each(|filter| load(&filter))
}

const fn errno(number: libc::c_int) -> SeccompAction {
    SeccompAction::Errno(number.unsigned_abs())
}

fn compile(
    rules: Rules,
    on_match: SeccompAction,
    otherwise: SeccompAction,
) -> Result<BpfProgram, SeccompError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    Ok(SeccompFilter::new(rules, otherwise, on_match, arch)?.try_into()?)
}

/// Hands one filter to the kernel, for all threads at once; what it denies is logged.
fn load(filter: &BpfProgram) -> Result<(), SeccompError> {
    let program = libc::sock_fprog {
        len: filter.len() as libc::c_ushort,
        filter: filter.as_ptr().cast::<libc::sock_filter>().cast_mut(),
    };
    let flags = libc::SECCOMP_FILTER_FLAG_TSYNC | libc::SECCOMP_FILTER_FLAG_LOG;
    // SAFETY: `program` and the filter that it points to, of as many instructions as it says and of the kernel's layout, live
    // until the call returns; the kernel copies them and writes nothing.
    let refused =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    match refused {
        0 => Ok(()),
        thread if thread > 0 => Err(SeccompError::Thread(thread)),
        _ => Err(SeccompError::Install(io::Error::last_os_error())),
    }
}

fn deadly() -> Rules {
    DEADLY.iter().chain(DEADLY_OLD).map(|&number| (number, vec![])).collect()
}

fn absent() -> Rules {
    Rules::from([(libc::SYS_clone3, vec![])])
}

fn allowed(history: Option<RawFd>, outputs: &Reach) -> Result<Rules, BackendError> {
    let mut rules: Rules = ALLOWED.iter().chain(ALLOWED_OLD).map(|&number| (number, vec![])).collect();
    // The filter `absent` handles this call.
    rules.insert(libc::SYS_clone3, vec![]);
    // Threads and canaries, without new namespaces.
    rules.insert(libc::SYS_clone, vec![masked(0, NAMESPACES, 0)?]);
    // Files for reading. The flags of openat2 are in memory, where a filter cannot read them.
    let mut opens = vec![masked(2, WRITING, libc::O_RDONLY as u64)?];
    if let Some(directory) = history.and_then(|fd| u32::try_from(fd).ok()) {
        opens.extend(one_of(0, &[directory])?);
        rules.extend(HISTORY.iter().map(|&number| (number, vec![])));
    }
    rules.insert(libc::SYS_openat, opens);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_open, vec![masked(1, WRITING, libc::O_RDONLY as u64)?]);
    // Memory cannot be made executable.
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![masked(2, libc::PROT_EXEC as u64, 0)?]);
    }
    // Limits can be read but not set.
    rules.insert(
        libc::SYS_prlimit64,
        vec![SeccompRule::new(vec![SeccompCondition::new(
            2,
            SeccompCmpArgLen::Qword,
            SeccompCmpOp::Eq,
            0,
        )?])?],
    );
    // prctl may only set and read the names of threads.
    let names = [libc::PR_SET_NAME, libc::PR_GET_NAME].map(libc::c_int::unsigned_abs);
    rules.insert(libc::SYS_prctl, one_of(0, &names)?);
    // abort(3) signals the thread that calls it.
    rules.insert(libc::SYS_tgkill, one_of(0, &[std::process::id()])?);
    rules.insert(libc::SYS_bpf, one_of(0, BPF_COMMANDS)?);
    rules.insert(libc::SYS_ioctl, one_of(1, IOCTLS)?);
    // Outputs connect to servers. Landlock restricts to which ports.
    if !outputs.ports.is_empty() {
        rules.extend(CONNECT.iter().map(|&number| (number, vec![])));
        rules.insert(libc::SYS_socket, one_of(0, FAMILIES)?);
    }
    if outputs.names {
        rules.extend(NAMES.iter().map(|&number| (number, vec![])));
    }
    if outputs.spills {
        rules.extend(SPILL.iter().map(|&number| (number, vec![])));
    }
    Ok(rules)
}

/// An argument's bits below `mask` must be these.
fn masked(argument: u8, mask: u64, value: u64) -> Result<SeccompRule, BackendError> {
    let is = SeccompCmpOp::MaskedEq(mask);
    SeccompRule::new(vec![SeccompCondition::new(argument, SeccompCmpArgLen::Qword, is, value)?])
}

/// An argument of 32 bits must be one of these.
fn one_of(argument: u8, values: &[u32]) -> Result<Vec<SeccompRule>, BackendError> {
    let rule = |&value: &u32| {
        let is = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value.into());
        SeccompRule::new(vec![is?])
    };
    values.iter().map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> Reach {
        Reach { ports: [4318].into(), names: true, spills: true, ..Reach::default() }
    }

    #[test]
    fn outputs_open_what_they_need_and_nothing_deadly() {
        let (without, with) =
            (allowed(None, &Reach::default()).unwrap(), allowed(None, &everything()).unwrap());
        let more: Vec<_> = with.keys().filter(|number| !without.contains_key(number)).copied().collect();
        assert_eq!(more.len(), CONNECT.len() + NAMES.len() + SPILL.len() + 1);
        assert!(deadly().keys().all(|number| !with.contains_key(number)));
    }

    #[test]
    fn no_call_is_both_allowed_and_deadly() {
        let allowed = allowed(None, &Reach::default()).unwrap();
        for number in deadly().keys() {
            assert!(!allowed.contains_key(number), "{number}");
        }
        assert_eq!(ALLOWED.len() + ALLOWED_OLD.len() + 11, allowed.len(), "a call is listed twice");
    }

    #[test]
    fn the_filters_fit_the_kernel_on_both_architectures() {
        // BPF_MAXINSNS of linux/bpf_common.h.
        for arch in [TargetArch::x86_64, TargetArch::aarch64] {
            let filter = SeccompFilter::new(
                allowed(Some(9), &everything()).unwrap(),
                errno(libc::EPERM),
                SeccompAction::Allow,
                arch,
            );
            let program: BpfProgram = filter.unwrap().try_into().unwrap();
            assert!((100..4096).contains(&program.len()), "{} instructions", program.len());
        }
    }
}
