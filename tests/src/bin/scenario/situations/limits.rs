//! Full limits on pids, each reached in another way; and programs that begin where /proc shows other pids.

use std::{
    ffi::CString,
    fs, ptr,
    sync::atomic::{AtomicI32, Ordering},
};

use crate::{
    Entry,
    actor::{spawn, spawn_with, wait},
    fact::{Fact, die, die_with, pause, skip},
    number,
    sys::{self, Channel, Pid},
};

pub(crate) const SCENARIOS: &[Entry] = &[
    (
        "zombies-to-the-limit",
        "a parent in the cgroup DIR leaves zombies until a fork is refused; with retry, it forks once more then",
        zombies,
    ),
    (
        "threads-to-the-limit",
        "a process of USER makes threads until RLIMIT_NPROC, which is N, refuses one",
        threads,
    ),
    ("dead-namespace", "the init of the pid namespace that children are born into has ended", dead_namespace),
    ("full-namespace", "children of an init fill kernel.pid_max of its pid namespace", full_namespace),
    ("own-pid-namespace", "PROGRAM with ARGS in a pid namespace with a /proc of its own", own_namespace),
    ("foreign-proc", "PROGRAM with ARGS, below a /proc of a pid namespace that it is not in", foreign_proc),
];

/// A number above all limits of these scenarios.
const MOST: i32 = 10_000;

fn zombies(args: &[String]) {
    let Some(directory) = args.first() else { die("a directory as the first argument") };
    if let Err(error) = fs::write(format!("{directory}/cgroup.procs"), "0") {
        skip("moving to a cgroup", error.raw_os_error().unwrap_or(0));
    }
    let (mut children, mut refused) = (0, 0);
    for _ in 0..MOST {
        match sys::clone(0, libc::SIGCHLD) {
            Ok(None) => sys::exit_group(0),
            Ok(Some(_)) => children += 1,
            Err(errno) => {
                refused = errno;
                break;
            }
        }
    }
    // Waits until all of them are zombies.
    for _ in 0..children {
        let _ = sys::waitid(-1, libc::WEXITED | libc::WNOWAIT);
    }
    Fact::new("refused").number("children", children).number("errno", refused).emit();
    pause("full");
    if args.get(1).is_some_and(|word| word == "retry") {
        retry();
    }
    while sys::wait4(-1, libc::WNOHANG).is_ok_and(|(pid, _)| pid > 0) {}
}

/// Forks once more, after a test has raised the limit.
fn retry() {
    let errno = match sys::clone(0, libc::SIGCHLD) {
        Ok(None) => sys::exit_group(0),
        Ok(Some(_)) => 0,
        Err(errno) => errno,
    };
    Fact::new("retried").number("errno", errno).emit();
}

fn threads(args: &[String]) {
    static REFUSED: AtomicI32 = AtomicI32::new(0);
    let (limit, user) = (number(args, 0, 20), number(args, 1, 61_237));
    let [full, order, retried] = [(); 3].map(|()| Channel::new());
    let owner = spawn("owner", || {
        sys::set_limit(libc::RLIMIT_NPROC, u64::from(limit.unsigned_abs()));
        sys::become_user(user.unsigned_abs());
        let mut made = 0;
        while made < MOST {
            match std::thread::Builder::new().stack_size(64 << 10).spawn(|| sys::sleep_for_ever()) {
                Ok(_) => made += 1,
                Err(error) => {
                    REFUSED.store(error.raw_os_error().unwrap_or(0), Ordering::Relaxed);
                    break;
                }
            }
        }
        Fact::new("refused").number("threads", made).number("errno", REFUSED.load(Ordering::Relaxed)).emit();
        full.send(made);
        order.receive();
        retry();
        retried.send(0);
        sys::sleep_for_ever()
    });
    full.receive();
    pause("full");
    order.send(0);
    retried.receive();
    end(owner, "owner");
}

fn dead_namespace(_: &[String]) {
    let full = Channel::new();
    let owner = spawn("owner", || {
        // SAFETY: the system call takes an integer.
        if unsafe { libc::unshare(libc::CLONE_NEWPID) } != 0 {
            skip("unshare", sys::errno());
        }
        match sys::clone(0, libc::SIGCHLD) {
            Ok(None) => sys::exit_group(0),
            Ok(Some(init)) => drop(sys::wait4(init, 0)),
            Err(errno) => die_with("the first fork", errno),
        }
        let errno = match sys::clone(0, libc::SIGCHLD) {
            Ok(None) => sys::exit_group(0),
            Ok(Some(_)) => 0,
            Err(errno) => errno,
        };
        Fact::new("refused").number("errno", errno).emit();
        full.send(errno);
        sys::sleep_for_ever()
    });
    full.receive();
    pause("full");
    end(owner, "owner");
}

/// Whether each pid namespace has its own `kernel.pid_max`, as from Linux 6.14 on. On older kernels a write to the file sets the
/// host's.
fn has_own_pid_max() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map(str::parse::<u32>);
    let mut next = || numbers.next().and_then(Result::ok).unwrap_or(0);
    (next(), next()) >= (6, 14)
}

fn full_namespace(_: &[String]) {
    /// The least value that the kernel allows: `RESERVED_PIDS` + 1.
    const LEAST: &str = "301";
    if !has_own_pid_max() {
        skip("kernel.pid_max of a pid namespace", libc::ENOSYS);
    }
    let [full, order, retried] = [(); 3].map(|()| Channel::new());
    let owner = spawn_with("owner", libc::CLONE_NEWPID, libc::SIGCHLD, || {
        if let Err(error) = fs::write("/proc/sys/kernel/pid_max", LEAST) {
            full.send(-error.raw_os_error().unwrap_or(1));
            return 0;
        }
        let mut refused = 0;
        for _ in 0..MOST {
            match sys::clone(0, libc::SIGCHLD) {
                Ok(None) => sys::sleep_for_ever(),
                Ok(Some(_)) => {}
                Err(errno) => {
                    refused = errno;
                    break;
                }
            }
        }
        // Waits until no process is forked any more.
        sys::breathe();
        for _ in 0..3 {
            if let Ok(None) = sys::clone(0, libc::SIGCHLD) {
                sys::exit_group(0);
            }
        }
        Fact::new("refused").number("errno", refused).emit();
        full.send(refused);
        order.receive();
        // The remedy, which only a process of the namespace can carry out.
        if let Err(error) = fs::write("/proc/sys/kernel/pid_max", "1000") {
            die_with("writing kernel.pid_max", error.raw_os_error().unwrap_or(0));
        }
        retry();
        retried.send(0);
        sys::sleep_for_ever()
    });
    let refused = full.receive();
    if refused < 0 {
        wait("scenario", "owner", owner);
        skip("writing kernel.pid_max", -refused);
    }
    pause("full");
    order.send(0);
    retried.receive();
    end(owner, "owner");
}

fn end(pid: Pid, role: &str) {
    sys::kill(pid, libc::SIGKILL);
    wait("scenario", role, pid);
}

/// Enters a new mount namespace whose mounts do not propagate.
fn own_mounts() {
    let none = ptr::null();
    // SAFETY: the system calls take integers and static strings that end with NUL.
    let failed = unsafe {
        libc::unshare(libc::CLONE_NEWNS) != 0
            || libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()) != 0
    };
    if failed {
        skip("a mount namespace", sys::errno());
    }
}

fn mount_proc() {
    let name = c"proc".as_ptr();
    // SAFETY: the system call takes static strings that end with NUL.
    if unsafe { libc::mount(name, c"/proc".as_ptr(), name, 0, ptr::null()) } != 0 {
        skip("mounting /proc", sys::errno());
    }
}

/// Executes the program that the arguments name.
fn become_program(args: &[String]) -> ! {
    let args: Vec<CString> = args.iter().filter_map(|arg| CString::new(arg.as_str()).ok()).collect();
    let mut pointers: Vec<*const libc::c_char> = args.iter().map(|arg| arg.as_ptr()).collect();
    pointers.push(ptr::null());
    let Some(&program) = pointers.first().filter(|program| !program.is_null()) else { die("a program") };
    // SAFETY: the array of strings ends with a null pointer; both outlive the call.
    unsafe { libc::execv(program, pointers.as_ptr()) };
    die("execv")
}

fn own_namespace(args: &[String]) {
    own_mounts();
    match sys::clone(libc::CLONE_NEWPID, libc::SIGCHLD) {
        Ok(None) => {
            mount_proc();
            become_program(args)
        }
        Ok(Some(child)) => {
            let status = sys::wait4(child, 0).map_or(-1, |(_, status)| status);
            sys::exit_group(if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 125 });
        }
        Err(errno) => skip("clone", errno),
    }
}

fn foreign_proc(args: &[String]) {
    own_mounts();
    let mounted = Channel::new();
    match sys::clone(libc::CLONE_NEWPID, libc::SIGCHLD) {
        Ok(None) => {
            mount_proc();
            mounted.send(0);
            // The process ends when the test kills the group.
            sys::sleep_for_ever()
        }
        Ok(Some(_)) => {
            mounted.receive();
            become_program(args)
        }
        Err(errno) => skip("clone", errno),
    }
}
