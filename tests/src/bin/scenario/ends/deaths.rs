//! Processes that end by every possible cause, each by its real mechanism: what `taskscope deaths` must report.

use std::{fs, os::unix::process::CommandExt as _, path::Path};

use crate::{
    Entry,
    actor::{announce, spawn, wait},
    cgroups::{self, Cgroup, enter, hierarchy},
    fact::{Fact, die, die_with, pause, skip},
    proc, sys,
    sys::Channel,
};

pub(crate) const SCENARIOS: &[Entry] = &[
    ("death-killed", "a child is ended by SIGTERM of its sibling", |_| killed()),
    ("death-escalation", "a child ignores SIGTERM and is ended by SIGKILL of the same sender", |_| {
        escalation();
    }),
    ("death-itself", "a child sends SIGTERM to itself", |_| by_itself(libc::SIGTERM)),
    ("death-abort", "a child calls abort(3)", |_| abort()),
    ("death-fault", "a child reads an address that is not mapped", |_| fault()),
    ("death-pipe", "a child writes to a pipe without a reader", |_| broken_pipe()),
    ("death-cpu", "a child uses more CPU time than RLIMIT_CPU allows", |_| cpu_limit()),
    ("death-file-size", "a child makes a file larger than RLIMIT_FSIZE allows", |_| file_size()),
    ("death-seccomp", "a seccomp filter kills a child", |_| seccomp_filter()),
    ("death-strict", "a child in seccomp's strict mode makes another system call", |_| seccomp_strict()),
    ("death-parent", "a child gets SIGKILL at its parent's end (PR_SET_PDEATHSIG)", |_| parent_death()),
    ("death-namespace", "the init of a pid namespace ends while a child lives", |_| namespace_init()),
    ("death-cgroup", "the scenario writes to cgroup.kill of a child's cgroup", |_| cgroup_kill()),
    ("death-oom", "a child uses more memory than its cgroup may", |_| oom()),
    ("death-tracer", "a tracer with PTRACE_O_EXITKILL ends", |_| tracer()),
    ("stop-ignored", "a unit is stopped whose main process ignores SIGTERM and does not pass it on", |_| {
        stop_ignored()
    }),
    (
        "stop-init",
        "a unit whose main process is the init of a pid namespace without a handler is stopped",
        |_| stop_init(),
    ),
    ("stop-clean", "a unit is stopped whose main process passes SIGTERM on", |_| stop_clean()),
    ("death-hangup", "the terminal of a session's leader is closed", |_| hangup()),
    ("death-timeout", "timeout(1) ends a command that ignores SIGTERM", |_| timeout()),
    ("death-child", "a child is killed, and its parent exits with 137", |_| killed_child()),
    ("crash-loop", "a unit's process aborts six times and is started again", |_| crash_loop()),
    ("death-asked", "a child handles SIGTERM and exits with a code", |_| asked()),
    ("death-signals", "a child is sent COUNT signals of number SIGNAL that it ignores", signals),
];

/// Waits for the child whose end the scenario is about.
fn ends(child: sys::Pid) {
    wait("scenario", "child", child);
}

fn sleeper() -> sys::Pid {
    let child = spawn("child", || sys::sleep_for_ever());
    proc::until_asleep(child, child);
    child
}

fn killed() {
    let child = sleeper();
    let sender = spawn("sender", move || {
        sys::kill(child, libc::SIGTERM);
        0
    });
    ends(child);
    wait("scenario", "sender", sender);
}

fn escalation() {
    let ready = Channel::new();
    let child = spawn("child", move || {
        ignore(libc::SIGTERM);
        ready.send(1);
        sys::sleep_for_ever()
    });
    ready.receive();
    sys::kill(child, libc::SIGTERM);
    sys::kill(child, libc::SIGKILL);
    ends(child);
}

fn ignore(signal: i32) {
    // SAFETY: SIG_IGN installs no function.
    if unsafe { libc::signal(signal, libc::SIG_IGN) } == libc::SIG_ERR {
        die("signal");
    }
}

fn by_itself(signal: i32) {
    let child = spawn("child", move || {
        sys::reset(signal);
        sys::kill(sys::getpid(), signal);
        sys::sleep_for_ever()
    });
    ends(child);
}

fn abort() {
    let child = spawn("child", || std::process::abort());
    ends(child);
}

fn fault() {
    let child = spawn("child", || {
        // Rust's runtime handles the signal to report stack overflows.
        sys::reset(libc::SIGSEGV);
        // SAFETY: the read is invalid on purpose: page 0 is never mapped, and this child must fault.
        unsafe { std::ptr::without_provenance::<u32>(16).read_volatile() }.cast_signed()
    });
    ends(child);
}

fn broken_pipe() {
    let child = spawn("child", || {
        sys::reset(libc::SIGPIPE);
        let mut ends = [0; 2];
        // SAFETY: the array has room for two descriptors and at least one byte to write.
        unsafe {
            libc::pipe(ends.as_mut_ptr());
            libc::close(ends[0]);
            libc::write(ends[1], ends.as_ptr().cast(), 1);
        }
        1
    });
    ends(child);
}

fn cpu_limit() {
    let child = spawn("child", || {
        sys::set_limit(libc::RLIMIT_CPU, 1);
        loop {
            std::hint::spin_loop();
        }
    });
    ends(child);
}

fn file_size() {
    let path = std::env::temp_dir().join(format!("taskscope-death-{}", sys::getpid()));
    let place = path.clone();
    let child = spawn("child", move || {
        sys::reset(libc::SIGXFSZ);
        sys::set_limit(libc::RLIMIT_FSIZE, 4);
        let _ = fs::write(&place, b"longer than four bytes").and_then(|()| fs::write(&place, b"again"));
        1
    });
    ends(child);
    let _ = fs::remove_file(path);
}

/// Runs a child that installs a filter that kills on getppid(2), and calls it.
fn seccomp_filter() {
    let child = spawn("child", || {
        let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
        let number = libc::SYS_getppid as u32;
        let mut filter = [
            statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
            libc::sock_filter {
                code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
                jt: 0,
                jf: 1,
                k: number,
            },
            statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_KILL_PROCESS),
            statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
        ];
        let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
        // SAFETY: the program and its four instructions outlive the calls.
        unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            if libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) != 0 {
                skip("prctl(PR_SET_SECCOMP)", sys::errno());
            }
            libc::syscall(libc::SYS_getppid);
        }
        1
    });
    ends(child);
}

fn seccomp_strict() {
    let child = spawn("child", || {
        // SAFETY: both calls take integers only.
        unsafe {
            if libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_STRICT) != 0 {
                skip("prctl(PR_SET_SECCOMP)", sys::errno());
            }
            libc::syscall(libc::SYS_getppid);
        }
        1
    });
    ends(child);
}

fn parent_death() {
    sys::be_subreaper();
    let made = Channel::new();
    let parent = spawn("sender", move || {
        let ready = Channel::new();
        let child = spawn("child", move || {
            // SAFETY: the call takes integers only.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            ready.send(1);
            sys::sleep_for_ever()
        });
        ready.receive();
        made.send(child);
        0
    });
    let child = made.receive();
    wait("scenario", "sender", parent);
    ends(child);
}

fn namespace_init() {
    let (ready, go) = (Channel::new(), Channel::new());
    let init = crate::actor::spawn_with("sender", libc::CLONE_NEWPID, libc::SIGCHLD, || {
        if sys::fork().is_none() {
            sys::sleep_for_ever()
        }
        ready.send(1);
        go.receive();
        3
    });
    ready.receive();
    // In the namespace, the child has another pid.
    let child = child_of(init);
    announce("child", child, child);
    proc::until_asleep(child, child);
    go.send(1);
    // The child's parent is the init, so no other task can wait for it.
    wait("scenario", "sender", init);
}

/// Returns the only child of a process.
fn child_of(parent: sys::Pid) -> sys::Pid {
    children_of(parent)
        .first()
        .copied()
        .unwrap_or_else(|| die_with("finding the child of an init", libc::ESRCH))
}

/// Returns the children of a process, by /proc/PID/stat of all processes.
fn children_of(parent: sys::Pid) -> Vec<sys::Pid> {
    let parent = parent.to_string();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<sys::Pid>().ok());
    let is_child = |pid: &sys::Pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        after_name.split(' ').nth(1) == Some(parent.as_str())
    };
    pids.filter(is_child).collect()
}

fn cgroup_kill() {
    let Some(root) = hierarchy("cgroup2") else { skip("a cgroup2 mount", libc::ENOENT) };
    let cgroup = Cgroup::new(&root);
    if !cgroup.0.join("cgroup.kill").exists() {
        drop(cgroup);
        skip("cgroup.kill", libc::ENOENT);
    }
    let child = sleeper();
    if !cgroup.write("cgroup.procs", &child.to_string()) || !cgroup.write("cgroup.kill", "1") {
        die("writing to a cgroup");
    }
    ends(child);
}

fn oom() {
    const LIMIT: &str = "16777216";
    let is_v1 = hierarchy("memory").is_some();
    let (cgroup, is_limited) = if let Some(root) = hierarchy("memory") {
        let cgroup = Cgroup::new(&root);
        let is_limited = cgroup.write("memory.limit_in_bytes", LIMIT);
        let _ = cgroup.write("memory.swappiness", "0");
        (cgroup, is_limited)
    } else {
        let Some(root) = hierarchy("cgroup2") else { skip("a memory cgroup", libc::ENOENT) };
        let _ = fs::write(root.join("cgroup.subtree_control"), "+memory");
        let cgroup = Cgroup::new(&root);
        let is_limited = cgroup.write("memory.max", LIMIT);
        let _ = cgroup.write("memory.swap.max", "0");
        (cgroup, is_limited)
    };
    if !is_limited {
        drop(cgroup);
        skip("a limit of a memory cgroup", libc::ENOENT);
    }
    let gate = Channel::new();
    let child = spawn("child", move || {
        gate.receive();
        let mut memory = vec![0_u8; 256 << 20];
        for page in memory.chunks_mut(4096) {
            page[0] = 1;
        }
        std::hint::black_box(memory);
        1
    });
    if !cgroup.write("cgroup.procs", &child.to_string()) {
        die("moving a child to a memory cgroup");
    }
    gate.send(1);
    ends(child);
    // The kernel's own count of victims: memory.events of v2, memory.oom_control of v1.
    let counted = ["memory.events", "memory.oom_control"]
        .iter()
        .filter_map(|file| fs::read_to_string(cgroup.0.join(file)).ok())
        .find_map(|text| {
            text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse::<i32>().ok())
        });
    let name = cgroup.0.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    Fact::new("oom")
        .number("oom_kill", counted.unwrap_or(-1))
        .number("limit", 16_777_216)
        .number("v1", i32::from(is_v1))
        .text("cgroup", &format!("/{name}"))
        .emit();
}

fn tracer() {
    let child = sleeper();
    let tracer = spawn("sender", move || {
        const PTRACE_O_EXITKILL: usize = 0x10_0000;
        let no_address = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: PTRACE_SEIZE takes its options by value and no address.
        let seized = unsafe { libc::ptrace(libc::PTRACE_SEIZE, child, no_address, PTRACE_O_EXITKILL) };
        if seized != 0 {
            die_with("ptrace(PTRACE_SEIZE)", sys::errno());
        }
        0
    });
    ends(child);
    wait("scenario", "sender", tracer);
}

/// Makes the cgroup of a unit.
fn unit() -> Cgroup {
    cgroups::unit("cgroup2", "stop")
}

/// Sends SIGTERM to the main process, and waits until the test has seen the daemon's report.
fn ask_to_stop(main: sys::Pid) {
    sys::kill(main, libc::SIGTERM);
    pause("asked");
}

fn stop_ignored() {
    let unit = unit();
    let (path, ready) = (unit.0.clone(), Channel::new());
    sys::be_subreaper();
    let main = spawn("main", move || {
        enter(&path);
        ignore(libc::SIGTERM);
        let worker = spawn("worker", || sys::sleep_for_ever());
        ready.send(worker);
        sys::sleep_for_ever()
    });
    let worker = ready.receive();
    proc::until_asleep(main, main);
    ask_to_stop(main);
    sys::kill(main, libc::SIGKILL);
    wait("scenario", "main", main);
    sys::kill(worker, libc::SIGKILL);
    wait("scenario", "worker", worker);
}

fn stop_init() {
    let unit = unit();
    let (path, ready) = (unit.0.clone(), Channel::new());
    let main = crate::actor::spawn_with("main", libc::CLONE_NEWPID, libc::SIGCHLD, || {
        enter(&path);
        sys::reset(libc::SIGTERM);
        if sys::fork().is_none() {
            sys::sleep_for_ever()
        }
        ready.send(1);
        sys::sleep_for_ever()
    });
    ready.receive();
    let worker = child_of(main);
    announce("worker", worker, worker);
    proc::until_asleep(main, main);
    ask_to_stop(main);
    sys::kill(main, libc::SIGKILL);
    wait("scenario", "main", main);
}

fn stop_clean() {
    let unit = unit();
    let (path, ready, go) = (unit.0.clone(), Channel::new(), Channel::new());
    let main = spawn("main", move || {
        enter(&path);
        let worker = spawn("worker", || sys::sleep_for_ever());
        sys::block(libc::SIGTERM);
        ready.send(1);
        while !sys::is_pending(libc::SIGTERM) {
            sys::breathe();
        }
        go.receive();
        sys::kill(worker, libc::SIGTERM);
        wait("main", "worker", worker);
        0
    });
    ready.receive();
    ask_to_stop(main);
    go.send(1);
    wait("scenario", "main", main);
}

fn hangup() {
    let (mut master, mut slave) = (0, 0);
    let none = std::ptr::null_mut();
    // SAFETY: the pointers are to two variables; name, settings and size may be null.
    if unsafe { libc::openpty(&raw mut master, &raw mut slave, none, none.cast(), none.cast()) } != 0 {
        skip("openpty", sys::errno());
    }
    let ready = Channel::new();
    let child = spawn("child", move || {
        sys::reset(libc::SIGHUP);
        // SAFETY: the calls take integers only, and the descriptors are open.
        unsafe {
            libc::close(master);
            if libc::setsid() < 0 || libc::ioctl(slave, libc::TIOCSCTTY, 0) != 0 {
                die("taking a controlling terminal");
            }
        }
        ready.send(1);
        sys::sleep_for_ever()
    });
    ready.receive();
    // SAFETY: both descriptors are open and not used after this.
    unsafe {
        libc::close(slave);
        libc::close(master);
    }
    ends(child);
}

fn timeout() {
    const COMMAND: [&str; 6] = ["-k", "0.3", "1", "sh", "-c", "trap '' TERM; exec sleep 1000"];
    if !["/usr/bin/timeout", "/bin/timeout"].iter().any(|path| Path::new(path).exists()) {
        skip("timeout(1)", libc::ENOENT);
    }
    let timeout = spawn("sender", || {
        let error = std::process::Command::new("timeout").args(COMMAND).exec();
        die_with("execve of timeout(1)", error.raw_os_error().unwrap_or(libc::ENOENT));
    });
    proc::until("the child of timeout(1)", || !children_of(timeout).is_empty());
    let child = child_of(timeout);
    announce("child", child, child);
    wait("scenario", "sender", timeout);
}

fn killed_child() {
    let made = Channel::new();
    sys::be_subreaper();
    let parent = spawn("parent", move || {
        let child = sleeper();
        made.send(child);
        wait("parent", "child", child);
        137
    });
    let child = made.receive();
    sys::kill(child, libc::SIGKILL);
    wait("scenario", "parent", parent);
}

fn crash_loop() {
    let unit = unit();
    for _ in 0..6 {
        let path = unit.0.clone();
        let child = spawn("child", move || {
            enter(&path);
            std::process::abort()
        });
        wait("scenario", "child", child);
    }
    // If the cgroup were removed at once, the daemon could not find its name.
    pause("looped");
}

fn asked() {
    extern "C" fn leave(_: i32) {
        sys::exit_group(143);
    }
    let ready = Channel::new();
    let child = spawn("child", move || {
        // SAFETY: the handler only ends the process.
        unsafe { libc::signal(libc::SIGTERM, leave as *const () as libc::sighandler_t) };
        ready.send(1);
        sys::sleep_for_ever()
    });
    ready.receive();
    sys::kill(child, libc::SIGTERM);
    ends(child);
}

/// Measures how long this many signals take, for the cost of an ignored signal and as a storm.
pub(crate) fn signals(args: &[String]) {
    let (count, signal) = (crate::number(args, 0, 1000), crate::number(args, 1, libc::SIGUSR1));
    let ready = Channel::new();
    let child = spawn("child", move || {
        ignore(signal);
        ready.send(1);
        sys::sleep_for_ever()
    });
    ready.receive();
    let begun = sys::now_ns();
    for _ in 0..count {
        sys::kill(child, signal);
    }
    let spent = sys::now_ns() - begun;
    Fact::new("signals").number("count", count).number("each_ns", spent / i64::from(count.max(1))).emit();
    sys::kill(child, libc::SIGKILL);
    ends(child);
}
