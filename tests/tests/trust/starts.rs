//! Starts on a host with zombies, storms and hidden processes; taskscope leaves nothing behind.

use std::{ffi::CStr, fs, io, os::unix::process::CommandExt as _, process::Command};

use taskscope_tests::{
    matcher::event,
    observer::{Observer, lost},
    setting::{self, report},
    wait,
};

use crate::{
    common::scenario,
    help::{alone, assert_sums, events, lines_with, stop},
};

/// Number of starts: each attaches at another time in the lives of the processes around it.
const STARTS: usize = 3;

/// Returns the ids of the BPF programs that a process holds.
fn programs_of(pid: u32) -> Vec<u32> {
    let directory = format!("/proc/{pid}/fdinfo");
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("reading {directory}: {error}"));
    entries
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
        .filter_map(|text| {
            let line = text.lines().find(|line| line.starts_with("prog_id:"))?.to_owned();
            line.split_whitespace().nth(1)?.parse().ok()
        })
        .collect()
}

/// Whether the kernel still has a BPF program, by `BPF_PROG_GET_FD_BY_ID`.
fn exists(program: u32) -> bool {
    const BPF_PROG_GET_FD_BY_ID: libc::c_long = 13;
    let attr = [program, 0, 0];
    // SAFETY: the command reads three words, and the array has three.
    let fd =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_GET_FD_BY_ID, attr.as_ptr(), size_of_val(&attr)) };
    if fd >= 0 {
        // SAFETY: the call has just created this descriptor, and nothing else owns it.
        unsafe { libc::close(fd as i32) };
    }
    fd >= 0
}

#[test]
fn a_killed_daemon_leaves_nothing_in_the_kernel_and_the_next_one_has_the_right_tree() {
    let observer = Observer::start(&[]);
    let programs = programs_of(observer.pid());
    assert!(programs.len() >= 5, "it holds no programs: {programs:?}");
    let mut zombie = scenario("zombie", &[]);
    zombie.pause("zombie");
    observer.signal(libc::SIGKILL);
    let end = observer.wait(setting::deadline());
    assert_eq!(end.code(), None, "it was not killed: {}", end.text());
    wait::until("the programs are gone like the daemon", || !programs.iter().any(|&program| exists(program)));
    // The next daemon knows the zombie from before its start, with the least duration.
    let next = Observer::start(&["--zombie-after", "500ms"]);
    let child = zombie.facts().role("child");
    let began = next
        .stream()
        .expect(event("zombie_began").pid(child.pid).field("task.provenance", "snapshot"), 0, next.log())
        .soon();
    assert_eq!(began.number("process.parent_pid"), Some(zombie.facts().role("scenario").pid), "{began}");
    zombie.go();
    zombie.finish();
    let reaped = next.stream().expect(event("reaped").pid(child.pid), 0, next.log()).soon();
    assert!(reaped.get("task.zombie_duration_ns").is_some(), "{reaped}");
    next.stop();
}

/// Checks that zombies and dead leaders from before the start are known, by the iterator or by /proc alone.
#[track_caller]
fn knows_older_zombies_and_dead_leaders(args: &[&str]) {
    let mut zombie = scenario("zombie", &[]);
    zombie.pause("zombie");
    let mut leader = scenario("leader-exits-first", &[]);
    leader.pause("dead-leader");
    let observer = Observer::start(args);
    let reported = |action: &str, pid| {
        let wanted = event(action).pid(pid).tid(pid).field("task.provenance", "snapshot");
        observer.stream().expect(wanted, 0, observer.log()).soon()
    };
    let child = zombie.facts().role("child").pid;
    let parent = zombie.facts().role("scenario").pid;
    assert_eq!(reported("zombie_began", child).number("process.parent_pid"), Some(parent));
    reported("leader_died", leader.facts().role("group").pid);
    zombie.go();
    zombie.finish();
    observer.stream().expect(event("reaped").pid(child), 0, observer.log()).soon();
    observer.stream().expect(event("released").pid(child), 0, observer.log()).soon();
    leader.go();
    leader.finish();
    let group = leader.facts().role("group").pid;
    observer.stream().expect(event("released").pid(group).tid(group), 0, observer.log()).soon();
    let once = observer.stream().since(0);
    let births = once.iter().filter(|seen| seen.action == "released" && seen.tid == child).count();
    assert_eq!(births, 1, "the child of the snapshot and the child of the records are two tasks");
    observer.stop();
}

#[test]
fn older_zombies_and_dead_leaders_are_known_by_the_iterator() {
    knows_older_zombies_and_dead_leaders(&[]);
}

#[test]
fn older_zombies_and_dead_leaders_are_known_by_proc_alone() {
    knows_older_zombies_and_dead_leaders(&["--no-iterator"]);
}

/// Returns a command of taskscope with another file system on /proc, in a mount namespace of its own, and without `CAP_SYS_PTRACE`.
fn with_proc(filesystem: &'static CStr, options: &'static CStr, args: &[&str]) -> Command {
    const CAP_SYS_PTRACE: libc::c_ulong = 19;
    let mut command = events(args);
    let prepare = move || {
        let none = std::ptr::null();
        // SAFETY: the system calls take strings that end with NUL and are static; nothing else is touched.
        let failed = unsafe {
            libc::unshare(libc::CLONE_NEWNS) != 0
                || libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()) != 0
                || libc::mount(
                    filesystem.as_ptr(),
                    c"/proc".as_ptr(),
                    filesystem.as_ptr(),
                    0,
                    options.as_ptr().cast(),
                ) != 0
                || libc::prctl(libc::PR_CAPBSET_DROP, CAP_SYS_PTRACE, 0, 0, 0) != 0
        };
        if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: the closure makes only system calls, which are async-signal-safe.
    unsafe { command.pre_exec(prepare) };
    command
}

/// Checks that a zombie that /proc hides is not reported as released.
#[track_caller]
fn keeps_a_hidden_zombie(command: Command, before: bool) {
    let mut zombie = scenario("zombie", &[]);
    if before {
        zombie.pause("zombie");
    }
    let observer = Observer::start_command(command);
    if !before {
        zombie = scenario("zombie", &[]);
        zombie.pause("zombie");
    }
    let child = zombie.facts().role("child").pid;
    let reported =
        |action: &str| observer.stream().expect(event(action).pid(child), 0, observer.log()).soon();
    reported("zombie_flagged");
    let gone = observer.stream().since(0).iter().any(|seen| seen.pid == child && seen.action == "released");
    assert!(!gone, "a hidden zombie was taken for released");
    zombie.go();
    zombie.finish();
    reported("reaped");
    reported("released");
    observer.stop();
}

#[test]
fn a_proc_that_hides_all_others_changes_nothing_with_an_iterator() {
    let command = with_proc(c"proc", c"hidepid=2", &["--zombie-after", "2s"]);
    keeps_a_hidden_zombie(command, true);
}

#[test]
fn a_directory_that_is_no_proc_changes_nothing_with_an_iterator() {
    let command = with_proc(c"tmpfs", c"size=4k", &["--zombie-after", "2s"]);
    keeps_a_hidden_zombie(command, true);
}

#[test]
fn without_an_iterator_a_proc_that_hides_others_proves_nothing() {
    let command = with_proc(c"proc", c"hidepid=2", &["--zombie-after", "2s", "--no-iterator"]);
    keeps_a_hidden_zombie(command, false);
}

/// Starts during a storm and waits for the first audit. Returns false if records were lost, so that the run proves nothing.
#[track_caller]
fn starts_without_drift() -> bool {
    let observer = Observer::start(&["--audit-every", "1s", "--verbose", "--action", "renamed"]);
    // A guest takes a second to read all tasks, and waits ten times as long until the next audit.
    wait::until("there was an audit", || lines_with(&observer, "tasks (Audit)") > 0);
    let renamed = observer.stream().since(0);
    let repaired: Vec<String> = renamed
        .iter()
        .filter(|seen| seen.text("task.provenance") == Some("repaired"))
        .map(ToString::to_string)
        .collect();
    let end = stop(observer);
    assert_sums(&end);
    let summary = end.summary().unwrap_or_default();
    if lost(summary) != Some(0) {
        println!("records were lost, so this run proves nothing: {summary}");
        return false;
    }
    assert!(summary.contains(", drift 0,"), "{summary}: {repaired:?}");
    true
}

#[test]
fn processes_made_and_reaped_while_it_attaches_are_no_drift() {
    let _alone = alone();
    let mut loops = scenario("fork-loops", &["2"]);
    loops.pause("looping");
    // From 7.0 on, the kernel skips calls of programs under such a load, and counts them.
    let clean = (0..STARTS).filter(|_| starts_without_drift()).count();
    report("starts_that_lost_nothing", clean);
    loops.go();
    loops.finish();
}
