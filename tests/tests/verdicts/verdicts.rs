//! Situations in which the wrong process is easily blamed: the verdict of `explain`, and that its remedy works.

#[path = "../common/mod.rs"]
mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use common::scenario;
use serde_json::Value;
use taskscope_tests::{
    cgroup::Cgroup,
    proc,
    scenario::Scenario,
    service::Service,
    setting,
    verdict::{explain, pid, says},
    wait,
};

#[track_caller]
fn expect(verdict: &Value, code: &str, certainty: &str, culprit: i64) {
    assert_eq!(verdict["code"], code, "{verdict:#}");
    assert_eq!(verdict["certainty"], certainty, "{verdict:#}");
    assert_eq!(verdict["culprit"]["pid"], culprit, "{verdict:#}");
}

/// Checks the verdict on a role of a scenario without arguments that is paused at `at`.
#[track_caller]
fn verdict(name: &str, at: &str, role: &str, check: impl Fn(&Scenario, Value)) {
    let mut scenario = scenario(name, &[]);
    scenario.pause(at);
    let verdict = explain(pid(&scenario, role), None);
    check(&scenario, verdict);
    scenario.go();
    scenario.finish();
}

#[test]
fn a_child_forked_before_an_exec_belongs_to_another_program() {
    let service = Service::start(&[]);
    let mut scenario = scenario("exec-over", &[]);
    scenario.pause("owed");
    let verdict = explain(pid(&scenario, "child"), Some(&service));
    expect(&verdict, "forked_before_exec", "certain", pid(&scenario, "parent"));
    assert!(says(&verdict, "remedy", "( helper & )") && !says(&verdict, "remedy", "waitpid"), "{verdict:#}");
    let parent = explain(pid(&scenario, "parent"), Some(&service));
    assert_eq!(parent["code"], "owes_waits", "{parent:#}");
    assert!(says(&parent, "summary", "before it called exec"), "{parent:#}");
    scenario.go();
    scenario.finish();
    service.stop_clean();
}

/// Tests the remedy of `forked_before_exec` for a shell.
#[test]
fn a_helper_that_a_shell_starts_from_a_subshell_is_left_to_init() {
    if !Path::new("/bin/sh").exists() {
        return setting::skip(format_args!("there is no /bin/sh"));
    }
    let script = "( sleep 0.2 & ) ; exec sleep 1000";
    let mut shell = Command::new("/bin/sh").args(["-c", script]).spawn().unwrap();
    let children = format!("/proc/{0}/task/{0}/children", shell.id());
    wait::until("the shell has become sleep", || proc::name(shell.id()) == "sleep");
    let left = fs::read_to_string(children);
    shell.kill().unwrap();
    shell.wait().unwrap();
    // If the kernel has no /proc/PID/task/TID/children, the check is left out.
    assert!(left.map_or(true, |left| left.trim().is_empty()), "the helper is a child of the new program");
}

/// A cgroup that can be frozen. It thaws when this is dropped: a task that the v1 freezer holds cannot be killed.
struct Freezer {
    directory: PathBuf,
    file: &'static str,
    words: [&'static str; 2],
    v2: Option<Cgroup>,
}

impl Freezer {
    fn make() -> Option<Self> {
        let name = format!("taskscope-frozen-{}", std::process::id());
        let directory = Path::new("/sys/fs/cgroup/freezer").join(&name);
        if fs::create_dir(&directory).is_ok() {
            return Some(Self { directory, file: "freezer.state", words: ["FROZEN", "THAWED"], v2: None });
        }
        let made = Cgroup::make(&[&name])?;
        let directory = made.path().to_owned();
        let can_freeze = directory.join("cgroup.freeze").exists();
        can_freeze.then(|| Self { directory, file: "cgroup.freeze", words: ["1", "0"], v2: Some(made) })
    }

    fn path(&self, file: &str) -> String {
        self.directory.join(file).display().to_string()
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        let _ = fs::write(self.directory.join(self.file), self.words[1]);
        if self.v2.is_none() {
            let end = Instant::now() + setting::deadline();
            while fs::remove_dir(&self.directory).is_err() && Instant::now() < end {
                std::thread::yield_now();
            }
        }
    }
}

#[test]
fn a_parent_in_a_frozen_cgroup_is_to_be_thawed() {
    let Some(freezer) = Freezer::make() else {
        return setting::skip(format_args!("no cgroup can be frozen here"));
    };
    let [freeze, thaw] = freezer.words;
    let file = freezer.path(freezer.file);
    let mut scenario = scenario("parent-frozen", &[&freezer.path("cgroup.procs"), &file, freeze, thaw]);
    scenario.pause("owed");
    let parent = pid(&scenario, "parent");
    let verdict = explain(pid(&scenario, "child"), None);
    expect(&verdict, "parent_frozen", "certain", parent);
    let echo = format!("echo {thaw} > {file}");
    assert!(says(&verdict, "remedy", &echo), "`{echo}` is not in {verdict:#}");
    assert!(!says(&verdict, "remedy", "storage"), "{verdict:#}");
    let own = explain(parent, None);
    expect(&own, "frozen", "certain", parent);
    // The scenario applies the remedy of the verdict.
    scenario.go();
    scenario.pause("thawed");
    scenario.go();
    scenario.finish();
}

#[test]
fn a_mask_that_a_call_sets_blocks_for_now_only() {
    verdict("mask-of-ppoll", "owed", "child", |scenario, verdict| {
        expect(&verdict, "sigchld_blocked_for_now", "likely", pid(scenario, "parent"));
        assert!(!says(&verdict, "remedy", "kill"), "{verdict:#}");
    });
}

#[test]
fn a_sigwait_that_the_forking_thread_keeps_the_signal_from_is_seen() {
    verdict("sigwait-elsewhere", "owed", "child", |scenario, verdict| {
        expect(&verdict, "sigwait_never_returns", "certain", pid(scenario, "parent"));
        assert!(says(&verdict, "remedy", "pthread_sigmask"), "{verdict:#}");
    });
}

#[test]
fn a_signalfd_that_is_not_read_is_seen() {
    verdict("signalfd-unread", "owed", "child", |scenario, verdict| {
        // The parent may be about to read it, which shows only after a minute.
        expect(&verdict, "signalfd_not_read", "likely", pid(scenario, "parent"));
        assert!(says(&verdict, "missing", "a minute"), "{verdict:#}");
    });
}

#[test]
fn a_waitid_without_wexited_is_seen() {
    verdict("waits-for-stops", "owed", "child", |scenario, verdict| {
        expect(&verdict, "wait_without_wexited", "certain", pid(scenario, "parent"));
    });
}

#[test]
fn a_vfork_child_that_a_tracer_keeps_names_the_tracer() {
    verdict("vfork-traced", "held", "parent", |scenario, verdict| {
        expect(&verdict, "held_by_vfork", "certain", pid(scenario, "tracer"));
        let holder = format!("(pid {})", pid(scenario, "holder"));
        assert!(says(&verdict, "summary", &holder), "{verdict:#}");
    });
}

#[test]
fn a_killed_process_that_its_tracer_stops_is_not_only_stopped() {
    verdict("killed-traced", "held", "victim", |scenario, verdict| {
        expect(&verdict, "killed_but_blocked", "certain", pid(scenario, "tracer"));
    });
}

#[test]
fn a_process_whose_threads_are_all_dead_has_no_living_thread() {
    verdict("dead-traced", "held", "victim", |scenario, verdict| {
        expect(&verdict, "held_by_tracer", "certain", pid(scenario, "tracer"));
        assert!(!says(&verdict, "summary", "live"), "{verdict:#}");
    });
}

#[test]
fn a_young_zombie_is_not_certain_to_stay_one() {
    let service = Service::start(&[]);
    let mut scenario = scenario("never-waits", &[]);
    scenario.pause("owed");
    let verdict = explain(pid(&scenario, "child"), Some(&service));
    expect(&verdict, "never_waits", "likely", pid(&scenario, "parent"));
    // The daemon has observed the parent from its start, so only more time could change the verdict.
    assert_eq!(verdict["missing"].as_array().map(Vec::len), Some(1), "{verdict:#}");
    assert!(says(&verdict, "missing", "a minute"), "{verdict:#}");
    scenario.go();
    scenario.finish();
    service.stop_clean();
}

/// The children that it waited for left no trace in the kernel's accounting.
#[test]
fn a_parent_of_children_that_used_nothing_is_not_certain_to_never_wait() {
    let service = Service::start(&[]);
    let mut scenario = scenario("failed-spawns", &[]);
    scenario.pause("owed");
    let child = pid(&scenario, "child");
    let alone = explain(child, None);
    assert!(alone["code"] == "not_waited_for" || alone["certainty"] == "likely", "{alone:#}");
    let observed = explain(child, Some(&service));
    assert_eq!(observed["code"], "not_waited_for", "{observed:#}");
    assert!(!says(&observed, "remedy", "kill"), "{observed:#}");
    scenario.go();
    scenario.finish();
    service.stop_clean();
}

/// A file system that does not answer: a frozen ext4 file system on a loop device.
struct FrozenFs(PathBuf);

impl FrozenFs {
    fn make() -> Option<Self> {
        let base = std::env::temp_dir().join(format!("taskscope-fsfreeze-{}", std::process::id()));
        let (image, mount) = (base.join("image"), base.join("mount"));
        fs::create_dir_all(&mount).ok()?;
        let made = Self(base);
        let file = fs::File::create(&image).and_then(|file| file.set_len(32 << 20));
        let run = |program: &str, args: &[&Path]| {
            let ran = Command::new(program).args(args).output();
            ran.is_ok_and(|output| output.status.success())
        };
        let ready = file.is_ok()
            && run("mkfs.ext4", &[Path::new("-q"), Path::new("-F"), &image])
            && run("mount", &[Path::new("-o"), Path::new("loop"), &image, &mount])
            && run("fsfreeze", &[Path::new("-f"), &mount]);
        if !ready {
            setting::skip(format_args!("no file system on a loop device can be frozen here"));
        }
        ready.then_some(made)
    }

    fn mount(&self) -> PathBuf {
        self.0.join("mount")
    }

    fn thaw(&self) {
        let _ = Command::new("fsfreeze").arg("-u").arg(self.mount()).output();
    }
}

impl Drop for FrozenFs {
    fn drop(&mut self) {
        self.thaw();
        let _ = Command::new("umount").arg(self.mount()).output();
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_killed_process_with_a_thread_in_d_state_names_that_thread() {
    if setting::in_vm() {
        return setting::skip(format_args!("the guest has no file system that can be frozen"));
    }
    let Some(frozen) = FrozenFs::make() else { return };
    let file = frozen.mount().join("x");
    // A thread that is not the leader writes to the file.
    let script = "import sys, threading, time\nthreading.Thread(target=lambda: open(sys.argv[1], 'w').write('x')).start()\ntime.sleep(1000)";
    let Ok(mut victim) = Command::new("python3").args(["-c", script]).arg(&file).spawn() else {
        return setting::skip(format_args!("there is no python3"));
    };
    let id = victim.id();
    let states = || -> Vec<(u32, u8)> {
        let tasks = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
        tasks
            .filter_map(|task| {
                let stat = fs::read_to_string(task.path().join("stat")).ok()?;
                let state = *stat.rsplit_once(") ")?.1.as_bytes().first()?;
                Some((task.file_name().to_str()?.parse().ok()?, state))
            })
            .collect()
    };
    let (sleeper, _) = wait::until_some("a thread sleeps in state D", || {
        states().into_iter().find(|&(tid, state)| tid != id && state == b'D')
    });
    victim.kill().unwrap();
    wait::until("the leader is a zombie", || states().contains(&(id, b'Z')));
    let verdict = explain(id.into(), None);
    frozen.thaw();
    victim.wait().unwrap();
    expect(&verdict, "killed_but_blocked", "certain", id.into());
    assert!(says(&verdict, "summary", &format!("thread {sleeper} sleeps uninterruptibly")), "{verdict:#}");
    assert!(!says(&verdict, "remedy", "leave it alone"), "{verdict:#}");
}
