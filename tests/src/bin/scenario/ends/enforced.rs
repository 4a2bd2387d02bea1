//! Processes that the kernel ends by a limit or a rule: RLIMIT, seccomp, a cgroup, a pid namespace, a parent's or tracer's end.

use std::fs;

use super::deaths::{bound_to_its_parent, child_of, ends, sleeper};
use crate::{
    Entry,
    actor::{announce, spawn, wait},
    cgroups::{Cgroup, hierarchy},
    fact::{Fact, die, die_with, skip},
    proc, sys,
    sys::Channel,
};

pub(crate) const SCENARIOS: &[Entry] = &[
    ("death-cpu", "a child uses more CPU time than RLIMIT_CPU allows", |_| cpu_limit()),
    ("death-rttime", "a real-time child uses more CPU time than RLIMIT_RTTIME allows", |_| rttime_limit()),
    ("death-both-limits", "a child with both CPU time limits uses more than RLIMIT_CPU allows", |_| {
        both_limits();
    }),
    ("death-file-size", "a child makes a file larger than RLIMIT_FSIZE allows", |_| file_size()),
    ("death-seccomp", "a seccomp filter kills a child", |_| seccomp_filter()),
    ("death-strict", "a child in seccomp's strict mode makes another system call", |_| seccomp_strict()),
    ("death-parent", "a child gets SIGKILL at its parent's end (PR_SET_PDEATHSIG)", |_| parent_death()),
    ("death-namespace", "the init of a pid namespace ends while a child lives", |_| namespace_init()),
    ("death-cgroup", "the scenario writes to cgroup.kill of a child's cgroup", |_| cgroup_kill()),
    ("death-oom", "a child uses more memory than its cgroup may", |_| oom()),
    ("death-tracer", "a tracer with PTRACE_O_EXITKILL ends", |_| tracer()),
];

fn cpu_limit() {
    let child = spawn("child", || {
        sys::set_limit(libc::RLIMIT_CPU, 1);
        loop {
            std::hint::spin_loop();
        }
    });
    ends(child);
}

fn rttime_limit() {
    let may_run = Channel::new();
    let child = spawn("child", || {
        // Microseconds.
        sys::set_limit(libc::RLIMIT_RTTIME, 100_000);
        may_run.receive();
        loop {
            std::hint::spin_loop();
        }
    });
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: the pointer is to a variable.
    if unsafe { libc::sched_setscheduler(child, libc::SCHED_FIFO, &raw const priority) } != 0 {
        let errno = sys::errno();
        sys::kill(child, libc::SIGKILL);
        ends(child);
        skip("sched_setscheduler of SCHED_FIFO", errno);
    }
    may_run.send(1);
    ends(child);
}

fn both_limits() {
    let child = spawn("child", || {
        sys::set_limit(libc::RLIMIT_RTTIME, 100_000_000);
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
        made.send(bound_to_its_parent());
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
    let go_ahead = Channel::new();
    let child = spawn("child", move || {
        go_ahead.receive();
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
    go_ahead.send(1);
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
