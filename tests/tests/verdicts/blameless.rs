//! Zombies whose parent seems to be the cause and is not, and sleeps, stops and ends that look like others: situations from
//! public threads.

#[path = "../common/mod.rs"]
mod common;

use std::{
    ffi::CString,
    fs,
    os::fd::AsRawFd as _,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use common::scenario;
use serde_json::Value;
use taskscope_tests::{
    scenario::Scenario,
    service::Service,
    setting,
    verdict::{self, explain, pid, says},
};

/// A task that is in one sleep for so long is in the one that the test is about.
const STEADILY: Duration = Duration::from_millis(300);

/// Returns the verdicts of a daemon and of a client without one on a role of a scenario that is paused at `at`.
#[track_caller]
fn both(name: &str, at: &str, role: &str, check: impl Fn(&Scenario, &Value, bool)) {
    verdict::both(|| scenario(name, &[]), at, role, check);
}

#[test]
fn a_parent_that_reads_output_to_the_end_is_not_accused() {
    for name in ["reads-output", "polls-output"] {
        both(name, "owed", "child", |scenario, verdict, _| {
            assert_eq!(verdict["code"], "reads_output_first", "{verdict:#}");
            assert_eq!(verdict["certainty"], "likely", "{verdict:#}");
            assert_eq!(verdict["culprit"]["pid"], pid(scenario, "helper"), "{verdict:#}");
            assert!(!says(verdict, "remedy", "kill"), "{verdict:#}");
        });
    }
}

#[test]
fn a_tracee_does_not_go_by_itself_though_its_parent_ignores_sigchld() {
    both("ignores-and-traces", "owed", "child", |scenario, verdict, _| {
        assert_eq!(verdict["code"], "held_by_tracer", "{verdict:#}");
        assert_eq!(verdict["culprit"]["pid"], pid(scenario, "parent"), "{verdict:#}");
    });
}

#[test]
fn a_child_that_another_made_for_its_parent_says_so() {
    both("clone-parent-zombie", "owed", "child", |scenario, verdict, is_watched| {
        assert_eq!(verdict["code"], "not_waited_for", "{verdict:#}");
        let maker = format!("pid {} created it", pid(scenario, "helper"));
        assert_eq!(says(verdict, "evidence", &maker), is_watched, "{verdict:#}");
    });
}

#[test]
fn a_status_that_is_lost_is_said_to_be() {
    let service = Service::start(&[]);
    let mut scenario = scenario("status-lost", &[]);
    scenario.pause("lost");
    let waited = scenario.facts().all("waited").next().unwrap_or_else(|| panic!("no answer of wait4"));
    assert_eq!(waited["errno"], libc::ECHILD, "the kernel says otherwise");
    for role in ["parent", "child"] {
        let end = Instant::now() + setting::deadline();
        while !says(&explain(pid(&scenario, role), Some(&service)), "evidence", "ECHILD") {
            assert!(Instant::now() < end, "{role}");
        }
    }
    scenario.go();
    scenario.finish();
    service.stop_clean();
}

#[test]
fn a_wait_right_before_an_exec_is_not_the_new_programs() {
    both("waits-then-execs", "owed", "child", |scenario, verdict, is_watched| {
        assert_eq!(verdict["culprit"]["pid"], pid(scenario, "parent"), "{verdict:#}");
        if is_watched {
            assert_eq!(verdict["code"], "never_waits", "{verdict:#}");
            assert!(says(verdict, "summary", "since its last exec"), "{verdict:#}");
        } else {
            assert_eq!(verdict["certainty"], "likely", "{verdict:#}");
        }
    });
}

#[test]
fn a_shells_orphan_that_comes_to_an_init_is_not_of_before_an_exec() {
    both("init-gets-subshell", "owed", "child", |scenario, verdict, is_watched| {
        assert_eq!(verdict["code"], "container_init_does_not_reap", "{verdict:#}");
        assert_eq!(verdict["certainty"], "likely", "it has waited for the shell: {verdict:#}");
        assert_eq!(verdict["culprit"]["pid"], pid(scenario, "parent"), "{verdict:#}");
        assert!(is_watched || says(verdict, "evidence", "an orphan of a shell"), "{verdict:#}");
    });
}

#[test]
fn an_init_that_has_never_waited_may_look_for_dead_children_now_and_then() {
    both("container-init", "owed", "child", |_, verdict, _| {
        assert_eq!(verdict["code"], "container_init_does_not_reap", "{verdict:#}");
        // It may look for dead children at intervals, which takes a minute to see.
        assert_eq!(verdict["certainty"], "likely", "{verdict:#}");
        assert!(says(verdict, "missing", "a minute"), "{verdict:#}");
    });
}

#[test]
fn a_parent_that_looks_for_dead_children_now_and_then_is_not_certain_to_never_wait() {
    both("waits-late", "owed", "child", |scenario, verdict, _| {
        assert_eq!(verdict["code"], "never_waits", "{verdict:#}");
        assert_eq!(verdict["certainty"], "likely", "{verdict:#}");
        assert_eq!(verdict["culprit"]["pid"], pid(scenario, "parent"), "{verdict:#}");
        assert!(says(verdict, "missing", "a minute"), "{verdict:#}");
        assert!(!says(verdict, "remedy", "now: kill"), "{verdict:#}");
    });
}

#[test]
fn a_parent_whose_pipe_nobody_reads_is_not_accused() {
    both("writes-to-full-pipe", "owed", "child", |scenario, verdict, _| {
        assert_eq!(verdict["code"], "blocked_elsewhere", "{verdict:#}");
        assert_eq!(verdict["certainty"], "likely", "{verdict:#}");
        assert_eq!(verdict["culprit"]["pid"], pid(scenario, "holder"), "{verdict:#}");
        assert!(!says(verdict, "remedy", "kill"), "{verdict:#}");
    });
}

#[test]
fn a_parent_that_waits_for_a_lock_names_who_holds_it() {
    both("waits-for-lock", "owed", "child", |scenario, verdict, _| {
        assert_eq!(verdict["code"], "blocked_elsewhere", "{verdict:#}");
        assert_eq!(verdict["culprit"]["pid"], pid(scenario, "holder"), "{verdict:#}");
        assert!(says(verdict, "summary", "lock"), "{verdict:#}");
    });
}

#[test]
fn a_parent_that_reads_its_input_first_is_not_to_be_killed() {
    both("reads-input", "owed", "child", |_, verdict, _| {
        assert_eq!(verdict["code"], "never_waits", "{verdict:#}");
        assert_eq!(verdict["certainty"], "likely", "{verdict:#}");
        assert!(says(verdict, "evidence", "read(2) of descriptor "), "{verdict:#}");
        assert!(!says(verdict, "remedy", "kill"), "{verdict:#}");
    });
}

#[test]
fn a_handler_that_waits_for_a_lock_is_not_told_to_unblock_sigchld() {
    both("handler-deadlock", "owed", "child", |scenario, verdict, _| {
        assert_eq!(verdict["code"], "sigchld_blocked", "{verdict:#}");
        assert_eq!(verdict["certainty"], "likely", "{verdict:#}");
        assert_eq!(verdict["culprit"]["pid"], pid(scenario, "parent"), "{verdict:#}");
        assert!(says(verdict, "evidence", "deadlock") && says(verdict, "remedy", "gdb"), "{verdict:#}");
    });
}

#[test]
fn a_wait_of_one_thread_says_nothing_about_the_others() {
    both("waits-per-thread", "owed", "child", |scenario, verdict, _| {
        assert_eq!(verdict["code"], "waits_for_another", "{verdict:#}");
        assert_eq!(verdict["certainty"], "likely", "{verdict:#}");
        assert_eq!(verdict["culprit"]["pid"], pid(scenario, "parent"), "{verdict:#}");
        assert!(!says(verdict, "remedy", "now: kill"), "{verdict:#}");
    });
}

#[test]
fn who_sleeps_in_a_vfork_is_freed_by_sigkill_only() {
    both("vfork-chain", "held", "parent", |scenario, verdict, _| {
        let holder = pid(scenario, "holder");
        assert_eq!(verdict["code"], "held_by_vfork", "{verdict:#}");
        assert_eq!(verdict["culprit"]["pid"], holder, "{verdict:#}");
        assert!(says(verdict, "remedy", &format!("kill -9 {holder}")), "{verdict:#}");
    });
}

#[test]
fn a_tracer_that_is_stopped_itself_cannot_let_go() {
    both("mutual-tracers", "held", "first", |scenario, verdict, _| {
        let second = pid(scenario, "second");
        assert_eq!(verdict["code"], "stopped_by_tracer", "{verdict:#}");
        assert_eq!(verdict["culprit"]["pid"], second, "{verdict:#}");
        assert!(says(verdict, "evidence", "is stopped too"), "{verdict:#}");
        assert!(says(verdict, "remedy", &format!("kill -9 {second}")), "{verdict:#}");
    });
}

/// A FUSE file system whose server never answers: this process. With the descriptor all requests end.
struct HungFuse {
    device: Option<fs::File>,
    mount: PathBuf,
}

impl HungFuse {
    fn make() -> Option<Self> {
        let device = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").ok()?;
        let mount = std::env::temp_dir().join(format!("taskscope-fuse-{}", std::process::id()));
        fs::create_dir_all(&mount).ok()?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        let text = |text: &str| CString::new(text).unwrap_or_default();
        let (target, options) = (text(&mount.display().to_string()), text(&options));
        // SAFETY: all strings end with NUL and outlive the call.
        let failed = unsafe {
            libc::mount(c"hung".as_ptr(), target.as_ptr(), c"fuse".as_ptr(), 0, options.as_ptr().cast())
        };
        let made = Self { device: Some(device), mount };
        (failed == 0).then_some(made)
    }
}

impl Drop for HungFuse {
    fn drop(&mut self) {
        self.device = None;
        let target = CString::new(self.mount.display().to_string()).unwrap_or_default();
        // SAFETY: the string ends with NUL and outlives the call.
        unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) };
        let _ = fs::remove_dir(&self.mount);
    }
}

#[test]
fn a_sleep_that_sigkill_ends_says_so_and_for_whom_it_waits() {
    let Some(hung) = HungFuse::make() else {
        return setting::skip(format_args!("no FUSE file system can be mounted here"));
    };
    let service = Service::start(&[]);
    let Ok(mut reader) = Command::new("stat").arg("-f").arg(&hung.mount).spawn() else {
        return setting::skip(format_args!("there is no stat(1)"));
    };
    let id = reader.id();
    let end = Instant::now() + setting::deadline();
    // It may sleep for its own program's file before, but not for long.
    let is_blocked = || {
        let of = |file: &str| fs::read_to_string(format!("/proc/{id}/{file}")).unwrap_or_default();
        let is_d = of("stat").rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('D'));
        is_d && (of("wchan").contains("fuse") || of("wchan") == "0")
    };
    let mut since = Instant::now();
    while since.elapsed() < STEADILY && Instant::now() < end {
        if !is_blocked() {
            since = Instant::now();
        }
        std::thread::yield_now();
    }
    for daemon in [Some(&service), None] {
        let verdict = explain(id.into(), daemon);
        assert_eq!(verdict["code"], "in_d_state", "{verdict:#}");
        assert!(says(&verdict, "summary", "FUSE daemon"), "{verdict:#}");
        assert!(says(&verdict, "summary", "only SIGKILL"), "{verdict:#}");
        assert!(says(&verdict, "remedy", &format!("kill -9 {id}")), "{verdict:#}");
    }
    // As the remedy says.
    reader.kill().and_then(|()| reader.wait()).unwrap_or_else(|error| panic!("{error}"));
    service.stop_clean();
}
