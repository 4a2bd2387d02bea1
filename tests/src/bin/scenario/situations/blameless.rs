//! Zombies whose parent seems to be the cause but is not; deaths and sleeps that are easily mistaken for others.

use std::fs;

use crate::{
    Entry,
    actor::{announce, spawn, spawn_with, wait},
    fact::{Fact, die, die_with, pause},
    proc,
    sys::{self, Channel, Pid},
};

pub(crate) const SCENARIOS: &[Entry] = &[
    ("reads-output", "a parent reads a pipe to its end before it waits, a helper holds that open", |_| {
        reads_output(Channel::read_to_end);
    }),
    ("polls-output", "a parent reads a pipe to its end by poll(2), a helper holds it open", |_| {
        reads_output(Channel::poll_to_end);
    }),
    ("ignores-and-traces", "a parent ignores SIGCHLD and traces its child, which ends", |_| {
        ignores_and_traces();
    }),
    ("clone-parent-zombie", "a helper makes a child of its parent's by CLONE_PARENT, which ends", |_| {
        clone_parent();
    }),
    ("status-lost", "a parent ignores SIGCHLD and waits for a child with a status", |_| status_lost()),
    ("waits-then-execs", "a parent waits for a child and execs `zombie-maker` at once", |_| {
        waits_then_execs();
    }),
    ("zombie-maker", "forks a child that ends, and sleeps; what `waits-then-execs` execs", |_| {
        zombie_maker();
    }),
    ("init-gets-subshell", "a shell's child that never execed comes to the init of a pid namespace", |_| {
        init_gets_subshell();
    }),
    ("vfork-chain", "a process is held by a vfork child that is held by another", |_| vfork_chain()),
    ("mutual-tracers", "two processes trace and stop each other", |_| mutual_tracers()),
];

fn end(pids: &[(&str, Pid)]) {
    for &(role, pid) in pids {
        sys::kill(pid, libc::SIGKILL);
        wait("scenario", role, pid);
    }
}

fn reads_output(to_end: fn(Channel)) {
    let made = Channel::new();
    let parent = spawn("parent", || {
        let output = Channel::new();
        let child = spawn("child", || {
            let helper = spawn("helper", || sys::sleep_for_ever());
            made.send(helper);
            0
        });
        made.send(child);
        to_end(output);
        wait("parent", "child", child);
        sys::sleep_for_ever()
    });
    let (first, second) = (made.receive(), made.receive());
    // Which of the two pids is received first is not certain; the helper has the higher one.
    let (child, helper) = (first.min(second), first.max(second));
    proc::until_state(child, 'Z');
    proc::until_asleep(parent, parent);
    pause("owed");
    // The remedy of the verdict: once the helper has ended, the read ends, and the parent waits.
    sys::kill(helper, libc::SIGKILL);
    proc::until_gone(child, child);
    end(&[("parent", parent)]);
}

fn ptrace(request: libc::c_uint, pid: Pid, data: libc::c_int) {
    // SAFETY: none of the requests used here takes a pointer.
    if unsafe { libc::ptrace(request, pid, 0, libc::c_long::from(data)) } != 0 {
        die("ptrace");
    }
}

fn ignores_and_traces() {
    let made = Channel::new();
    let parent = spawn("parent", || {
        sys::on_sigchld(libc::SIG_IGN, 0);
        let go_ahead = Channel::new();
        let child = spawn("child", || {
            go_ahead.receive();
            3
        });
        ptrace(libc::PTRACE_SEIZE, child, 0);
        go_ahead.send(0);
        made.send(child);
        sys::sleep_for_ever()
    });
    let child = made.receive();
    proc::until_state(child, 'Z');
    proc::until_asleep(parent, parent);
    pause("owed");
    end(&[("parent", parent)]);
}

fn clone_parent() {
    let (made, go_ahead) = (Channel::new(), Channel::new());
    let parent = spawn("parent", || {
        let helper = spawn("helper", || {
            made.send(spawn_with("child", libc::CLONE_PARENT, libc::SIGCHLD, || 0));
            0
        });
        wait("parent", "helper", helper);
        go_ahead.send(0);
        sys::sleep_for_ever()
    });
    let child = made.receive();
    go_ahead.receive();
    proc::until_state(child, 'Z');
    proc::until_asleep(parent, parent);
    pause("owed");
    end(&[("parent", parent)]);
}

fn status_lost() {
    let done = Channel::new();
    let parent = spawn("parent", || {
        sys::on_sigchld(libc::SIG_IGN, 0);
        let child = spawn("child", || 7);
        wait("parent", "child", child);
        done.send(0);
        sys::sleep_for_ever()
    });
    done.receive();
    proc::until_asleep(parent, parent);
    pause("lost");
    end(&[("parent", parent)]);
}

fn waits_then_execs() {
    let parent = spawn("parent", || {
        let early = spawn("early", || 0);
        wait("parent", "early", early);
        sys::exec_self(&["zombie-maker"])
    });
    let dead = || {
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
        let child = children.split_whitespace().next()?.parse().ok()?;
        proc::Stat::read(child, child).is_some_and(|stat| stat.state == 'Z').then_some(child)
    };
    proc::until("waiting for the zombie of the program that was execed", || {
        fs::read(format!("/proc/{parent}/cmdline")).is_ok_and(|line| line.ends_with(b"\0zombie-maker\0"))
            && dead().is_some()
    });
    let Some(child) = dead() else { die_with("looking for the zombie", libc::ESRCH) };
    proc::until_asleep(parent, parent);
    announce("child", child, child);
    pause("owed");
    end(&[("parent", parent)]);
}

fn zombie_maker() {
    if sys::fork().is_none() {
        sys::exit_group(0)
    }
    sys::sleep_for_ever();
}

fn init_gets_subshell() {
    let made = Channel::new();
    let init = spawn_with("parent", libc::CLONE_NEWPID, libc::SIGCHLD, || {
        let Some(shell) = sys::fork() else {
            sys::set_comm(b"sh");
            let go_ahead = Channel::new();
            if sys::fork().is_none() {
                go_ahead.receive();
                let pid = proc::outer_pid();
                announce("child", pid, pid);
                made.send(pid);
                sys::exit_group(1)
            }
            go_ahead.send(0);
            sys::exit_group(0)
        };
        let _ = sys::wait4(shell, 0);
        sys::sleep_for_ever()
    });
    let child = made.receive();
    proc::until_state(child, 'Z');
    proc::until_asleep(init, init);
    pause("owed");
    end(&[("parent", init)]);
}

fn vfork_chain() {
    let parent = spawn("parent", || {
        sys::clone_vm(libc::CLONE_VFORK, || {
            sys::clone_vm(libc::CLONE_VFORK, || sys::sleep_for_ever());
            0
        });
        sys::sleep_for_ever()
    });
    let youngest = |of: Pid| {
        proc::until("waiting for a vfork child", || proc::youngest_child(of).is_some());
        proc::youngest_child(of).unwrap_or_else(|| die_with("looking for a vfork child", libc::ESRCH))
    };
    proc::until_state(parent, 'D');
    let holder = youngest(parent);
    proc::until_state(holder, 'D');
    announce("holder", holder, holder);
    pause("held");
    // The remedy of the verdict: SIGTERM would stay pending.
    sys::kill(holder, libc::SIGKILL);
    proc::until_state(parent, 'S');
    end(&[("parent", parent)]);
}

fn mutual_tracers() {
    let (go_ahead, traced) = (Channel::new(), Channel::new());
    let first = spawn("first", || {
        let second = go_ahead.receive();
        ptrace(libc::PTRACE_SEIZE, second, 0);
        traced.send(0);
        sys::sleep_for_ever()
    });
    let second = spawn("second", || {
        traced.receive();
        ptrace(libc::PTRACE_SEIZE, first, 0);
        ptrace(libc::PTRACE_INTERRUPT, first, 0);
        sys::sleep_for_ever()
    });
    go_ahead.send(second);
    proc::until_state(first, 't');
    // SIGCHLD reports that its tracee has stopped, and every signal stops a traced task.
    proc::until_state(second, 't');
    Fact::new("stopped").flag("both", true).emit();
    pause("held");
    // Only its tracer can wait for a dead tracee first.
    sys::kill(first, libc::SIGKILL);
    end(&[("second", second), ("first", first)]);
}
