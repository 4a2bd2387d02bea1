//! Changes of the machine: its clock, its CPUs, its limits.

use std::{
    collections::BTreeSet,
    ffi::CString,
    fs,
    path::{Path, PathBuf},
};

use taskscope_tests::{
    facts::numbers,
    matcher::event,
    normal::Family,
    observer::{Observer, lost},
    setting::{self, report},
    spawner,
};

use crate::{
    common::scenario,
    help::{alone, assert_becomes_proc, assert_sums, stop, sum, until_all_reported, until_reported},
    wall_clock,
};

/// Sets the wall clock. Only for a guest, because all processes of a machine share this clock.
fn set_wall_clock(by_seconds: i64) {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a value that outlives both calls.
    unsafe {
        libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut time);
        time.tv_sec += by_seconds;
        assert_eq!(libc::clock_settime(libc::CLOCK_REALTIME, &raw const time), 0, "setting the clock");
    }
}

/// Checks that `@timestamp` of a fork that happens now is the time of the wall clock, within an hour.
#[track_caller]
fn assert_stamped_by_the_wall_clock(observer: &Observer) {
    const HOUR_NS: u128 = 3_600_000_000_000;
    let view = observer.from_now();
    let pid = spawner::blink().unwrap_or_else(|error| panic!("making a process: {error}"));
    let born = view.expect(event("forked").pid(i64::from(pid))).soon();
    let stamp = wall_clock::parse(born.text("@timestamp").unwrap_or_default());
    let off = stamp - i128::from(born.at_ns) - wall_clock::minus_boottime_ns().start();
    assert!(off.unsigned_abs() < HOUR_NS, "off by {off} ns: {born}");
}

#[test]
fn a_wall_clock_that_is_set_moves_the_time_stamps() {
    let _alone = alone();
    if !setting::in_vm() {
        setting::skip(format_args!("the wall clock of this machine is not ours to set"));
        return;
    }
    let observer = Observer::start(&[]);
    assert_stamped_by_the_wall_clock(&observer);
    for by_seconds in [2 * 86_400, -2 * 86_400] {
        set_wall_clock(by_seconds);
        assert_stamped_by_the_wall_clock(&observer);
    }
    observer.stop();
}

#[test]
fn a_cpu_that_goes_offline_and_online_loses_no_record() {
    const CPU: &str = "/sys/devices/system/cpu/cpu1/online";
    let _alone = alone();
    if !setting::in_vm() || !fs::exists(CPU).unwrap_or(false) {
        setting::skip(format_args!("needs a guest with {CPU}"));
        return;
    }
    let switch =
        |to: &str| fs::write(CPU, to).unwrap_or_else(|error| panic!("writing {to} to {CPU}: {error}"));
    let observer = Observer::start(&["--audit-every", "1s"]);
    for _ in 0..3 {
        switch("0");
        scenario("burst", &["200"]).finish();
        switch("1");
        scenario("burst", &["200"]).finish();
    }
    observer.from_now().fence();
    let end = stop(observer);
    assert_sums(&end);
    assert_eq!(sum(&end, "dropped"), 0, "{}", end.text());
    assert!(sum(&end, "received") >= 6 * 400, "storms were not seen: {}", end.text());
}

/// Runs a fork bomb of a hundred processes; the begin and the end of each of its orphans must be reported.
#[track_caller]
fn survives_a_fork_bomb(args: &[&str]) {
    let observer = Observer::start(&[]);
    let mut bomb = scenario("fork-bomb", args);
    let facts = bomb.finish();
    let pids = numbers(&facts.find("crowd", "role", "bomb")["pids"]);
    assert!(pids.len() > 20, "the bomb made too few processes: {pids:?}");
    let view = observer.view(&bomb);
    until_all_reported(&view, &["exited", "released"], &pids);
    if observer.family() != Family::Tracepoint {
        let refused = view.events().iter().any(|seen| {
            seen.action == "clone_failed" && seen.number("task.errno") == Some(libc::EAGAIN.into())
        });
        assert!(refused, "no clone was refused, so nothing was tested");
    }
    let events = view.events();
    let born: BTreeSet<i64> =
        events.iter().filter(|seen| seen.action == "forked").map(|seen| seen.tid).collect();
    let unseen: Vec<i64> = pids.into_iter().filter(|pid| !born.contains(pid)).collect();
    let end = stop(observer);
    assert_sums(&end);
    assert_eq!(sum(&end, "dropped"), 0, "{}", end.text());
    // A hundred forks at once are more than a kernel has return probes for on some machines; such a loss must be reported.
    let lost = end.summary().and_then(lost).unwrap_or_default();
    report("bomb_births_unseen", unseen.len());
    assert!(unseen.len() as u64 <= lost, "{lost} lost, and births unseen of {unseen:?}: {}", end.text());
}

#[test]
fn a_fork_bomb_under_a_users_limit_is_seen_whole() {
    let _alone = alone();
    survives_a_fork_bomb(&["100"]);
}

/// A cgroup that allows a number of tasks; its directory is removed when this is dropped.
struct PidsCgroup(PathBuf);

impl PidsCgroup {
    /// Creates it in the v1 or v2 hierarchy that has the controller. In a guest without one, mounts a hierarchy.
    fn new(limit: &str) -> Option<Self> {
        let v1 = Path::new("/sys/fs/cgroup/pids");
        let parent = if v1.join("cgroup.procs").exists() { v1.to_owned() } else { Self::v2()? };
        let directory = parent.join(format!("taskscope-test-{}", std::process::id()));
        fs::create_dir_all(&directory).ok()?;
        let cgroup = Self(directory);
        fs::write(cgroup.0.join("pids.max"), limit).ok()?;
        Some(cgroup)
    }

    fn v2() -> Option<PathBuf> {
        let mut root = PathBuf::from("/sys/fs/cgroup");
        if !root.join("cgroup.controllers").exists() {
            if !setting::in_vm() {
                return None;
            }
            root = std::env::temp_dir().join("taskscope-cgroup");
            fs::create_dir_all(&root).ok()?;
            let path = CString::new(root.to_str()?).ok()?;
            // SAFETY: the strings end with NUL and outlive the call. If it fails because the hierarchy is mounted already, that is
            // as good.
            unsafe {
                libc::mount(c"cgroup2".as_ptr(), path.as_ptr(), c"cgroup2".as_ptr(), 0, std::ptr::null())
            };
        }
        fs::write(root.join("cgroup.subtree_control"), "+pids").ok()?;
        Some(root)
    }
}

impl Drop for PidsCgroup {
    fn drop(&mut self) {
        // The directory is empty, or the test has failed already.
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_fork_bomb_under_a_pids_cgroup_is_seen_whole() {
    let _alone = alone();
    let Some(cgroup) = PidsCgroup::new("100") else {
        setting::skip(format_args!("no cgroup with a pids controller can be made here"));
        return;
    };
    survives_a_fork_bomb(&["100", &cgroup.0.to_string_lossy()]);
}

/// Reads a number from a file of one line.
fn number_in(path: &str) -> usize {
    fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(usize::MAX)
}

/// Returns half of the threads that the machine allows by tids, by memory (64 KiB each), and by the kernel's limit. Outside of a
/// guest at most a few thousand, unless `TASKSCOPE_THREADS` sets the number.
fn threads_allowed() -> usize {
    const MODEST: usize = 4096;
    const MOST: usize = 1 << 16;
    let asked = std::env::var("TASKSCOPE_THREADS").ok().and_then(|number| number.parse().ok());
    let wanted = asked.unwrap_or(if setting::in_vm() { MOST } else { MODEST });
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available_kib = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:")?.split_whitespace().next()?.parse::<usize>().ok())
        .unwrap_or(0);
    let limit = number_in("/proc/sys/kernel/pid_max").min(number_in("/proc/sys/kernel/threads-max"));
    (limit / 2).min(available_kib / 64 / 2).min(wanted)
}

#[test]
fn as_many_threads_as_the_machine_allows_are_reported_at_begin_and_end() {
    let _alone = alone();
    let threads = threads_allowed();
    report("threads", threads);
    // 64,000 threads that end at once on two CPUs exceed the ring and the speed of a reader. Their starts and ends are still
    // reported, by a comparison if the records were lost.
    let observer = Observer::start(&["--action", "forked,released"]);
    let view = observer.from_now();
    let mut crowd = scenario("crowd", &[&threads.to_string()]);
    crowd.pause("all-alive");
    let root = crowd.facts().role("scenario").pid;
    until_reported(&view, "forked", root);
    assert_becomes_proc(&view, root);
    crowd.go();
    let facts = crowd.finish();
    let tids = numbers(&facts.find("crowd", "role", "thread")["tids"]);
    assert_eq!(tids.len(), threads, "the scenario did not do what this test is about");
    until_all_reported(&view, &["forked", "released"], &tids);
    let end = stop(observer);
    assert_sums(&end);
    for what in ["dropped", "shed"] {
        report(&format!("threads_{what}"), sum(&end, what));
    }
}
