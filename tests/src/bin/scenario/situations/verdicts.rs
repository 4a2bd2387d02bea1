//! Parents that have not waited, each for another reason, which `taskscope explain` must find.

use crate::{
    Entry,
    actor::{announce, spawn, spawn_with, thread, wait},
    debtor::{finish, owes},
    fact::{die, die_with, pause},
    proc,
    sys::{self, Channel, Pid},
};

pub(crate) const SCENARIOS: &[Entry] = &[
    ("never-waits", "a parent has three zombies and has never waited", |_| owes(never_waits)),
    ("parent-stopped", "a parent is stopped by SIGSTOP while it has a zombie", |_| parent_stopped()),
    ("parent-traced", "a parent is stopped by a tracer while it has a zombie", |_| parent_traced()),
    ("parent-vfork-held", "a parent with a zombie is held (D) by a vfork child", |_| parent_vfork_held()),
    ("sigchld-blocked", "a parent has a handler that reaps, and blocks SIGCHLD", |_| owes(sigchld_blocked)),
    ("sigchld-coalesced", "a handler takes one child per SIGCHLD, three die during one", |_| {
        owes(sigchld_coalesced);
    }),
    ("ignored-too-late", "a parent ignores SIGCHLD after its child has become a zombie", |_| {
        owes(ignored_too_late);
    }),
    ("subreaper-no-reap", "a subreaper gets an orphan and does not reap it", |_| owes(subreaper)),
    ("container-init", "the init of a pid namespace does not reap", |_| container_init()),
    ("entry-point", "as the first process of a container: three children die and are not reaped", |_| {
        entry_point();
    }),
    ("wait-nothread", "a thread waits with __WNOTHREAD, the zombie is another thread's", |_| {
        owes(wait_nothread);
    }),
    ("waits-for-another", "a parent waits for one child only, another is a zombie", |_| {
        owes(waits_for_another);
    }),
    ("not-waited-for", "a parent has waited for one child and not for the next", |_| owes(not_waited_for)),
];

fn dead_child() -> Pid {
    dead("child")
}

fn dead(role: &str) -> Pid {
    let child = spawn(role, || 0);
    proc::until_state(child, 'Z');
    child
}

fn never_waits(made: Channel) {
    let [.., youngest] = ["eldest", "middle", "child"].map(dead);
    made.send(youngest);
}

fn parent_stopped() {
    let made = Channel::new();
    let parent = spawn("parent", || {
        made.send(dead_child());
        sys::sleep_for_ever()
    });
    made.receive();
    sys::kill(parent, libc::SIGSTOP);
    proc::until_state(parent, 'T');
    finish(parent);
}

fn parent_traced() {
    let made = Channel::new();
    let held = Channel::new();
    let parent = spawn("parent", || {
        made.send(dead_child());
        sys::sleep_for_ever()
    });
    made.receive();
    let tracer = spawn("tracer", || {
        // SAFETY: PTRACE_ATTACH takes no pointers.
        if unsafe { libc::ptrace(libc::PTRACE_ATTACH, parent, 0, 0) } != 0 {
            die("ptrace(PTRACE_ATTACH)");
        }
        held.send(0);
        sys::sleep_for_ever()
    });
    held.receive();
    proc::until_state(parent, 't');
    proc::at("owing", "parent", parent);
    pause("owed");
    for pid in [tracer, parent] {
        sys::kill(pid, libc::SIGKILL);
    }
    wait("scenario", "tracer", tracer);
    wait("scenario", "parent", parent);
}

fn parent_vfork_held() {
    let made = Channel::new();
    let parent = spawn("parent", || {
        made.send(dead_child());
        // The child shares memory with its parent, which the kernel blocks until the child execs or ends.
        sys::clone_vm(libc::CLONE_VFORK, || sys::sleep_for_ever());
        sys::sleep_for_ever()
    });
    made.receive();
    proc::until_state(parent, 'D');
    let Some(holder) = proc::youngest_child(parent) else {
        die_with("looking for the vfork child", libc::ESRCH)
    };
    announce("holder", holder, holder);
    proc::at("owing", "parent", parent);
    pause("owed");
    sys::kill(holder, libc::SIGKILL);
    proc::until_state(parent, 'S');
    sys::kill(parent, libc::SIGKILL);
    wait("scenario", "parent", parent);
}

extern "C" fn reap_all(_: libc::c_int) {
    while matches!(sys::wait4(-1, libc::WNOHANG), Ok((pid, _)) if pid > 0) {}
}

extern "C" fn reap_one(_: libc::c_int) {
    let _ = sys::wait4(-1, libc::WNOHANG);
}

fn sigchld_blocked(made: Channel) {
    sys::on_sigchld(reap_all as *const () as libc::sighandler_t, libc::SA_RESTART);
    sys::block(libc::SIGCHLD);
    made.send(dead_child());
}

fn sigchld_coalesced(made: Channel) {
    sys::on_sigchld(reap_one as *const () as libc::sighandler_t, libc::SA_RESTART);
    sys::block(libc::SIGCHLD);
    let children = ["eldest", "middle", "child"].map(dead);
    // One signal is pending for all three.
    sys::unblock(libc::SIGCHLD);
    // The kernel offers the oldest first.
    proc::until_gone(children[0], children[0]);
    made.send(children[2]);
}

fn ignored_too_late(made: Channel) {
    let child = dead_child();
    sys::on_sigchld(libc::SIG_IGN, 0);
    made.send(child);
}

fn subreaper(made: Channel) {
    sys::be_subreaper();
    let gate = Channel::new();
    let born = Channel::new();
    let middle = spawn("middle", || {
        born.send(spawn("child", || {
            gate.receive();
            0
        }));
        0
    });
    let orphan = born.receive();
    wait("parent", "middle", middle);
    gate.send(0);
    made.send(orphan);
}

/// Runs as the entry point of a container: waits for no child, and ends only by a signal.
fn entry_point() {
    for _ in 0..3 {
        if sys::fork().is_none() {
            sys::exit_group(0)
        }
    }
    sys::sleep_for_ever();
}

fn container_init() {
    let made = Channel::new();
    let init = spawn_with("parent", libc::CLONE_NEWPID, libc::SIGCHLD, || {
        let reported = Channel::new();
        if sys::fork().is_none() {
            let pid = proc::outer_pid();
            announce("child", pid, pid);
            reported.send(pid);
            sys::exit_group(0)
        }
        made.send(reported.receive());
        sys::sleep_for_ever()
    });
    let child = made.receive();
    proc::until_state(child, 'Z');
    proc::until_asleep(init, init);
    finish(init);
}

fn wait_nothread(made: Channel) {
    let child = dead_child();
    let waiting = Channel::new();
    thread("waiter", move || {
        // Without a child of its own, its wait would fail at once.
        spawn("other", || sys::sleep_for_ever());
        waiting.send(sys::gettid());
        let _ = sys::wait4(-1, libc::__WNOTHREAD);
    });
    proc::until_asleep(sys::getpid(), waiting.receive());
    made.send(child);
}

fn waits_for_another(made: Channel) {
    let child = dead_child();
    let other = spawn("other", || sys::sleep_for_ever());
    made.send(child);
    wait("parent", "other", other);
}

fn not_waited_for(made: Channel) {
    let first = spawn("first", || 0);
    wait("parent", "first", first);
    made.send(dead_child());
}
