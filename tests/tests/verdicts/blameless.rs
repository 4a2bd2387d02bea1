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
    wait,
};

/// A task that stays in one sleep for this long is in the sleep that the test is about.
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
fn a_tracee_is_not_autoreaped_although_its_parent_ignores_sigchld() {
    both("ignores-and-traces", "owed", "child", |scenario, verdict, _| {
        assert_eq!(verdict["code"], "held_by_tracer", "{verdict:#}");
        assert_eq!(verdict["culprit"]["pid"], pid(scenario, "parent"), "{verdict:#}");
    });
}

#[test]
fn a_child_that_another_process_made_for_its_parent_is_marked() {
    both("clone-parent-zombie", "owed", "child", |scenario, verdict, is_watched| {
        assert_eq!(verdict["code"], "not_waited_for", "{verdict:#}");
        let maker = format!("pid {} created it", pid(scenario, "helper"));
        assert_eq!(says(verdict, "evidence", &maker), is_watched, "{verdict:#}");
    });
}

#[test]
fn a_status_that_is_lost_is_reported_as_lost() {
    let service = Service::start(&[]);
    let mut scenario = scenario("status-lost", &[]);
    scenario.pause("lost");
    let waited = scenario.facts().all("waited").next().unwrap_or_else(|| panic!("no answer of wait4"));
    assert_eq!(waited["errno"], libc::ECHILD, "the kernel returned another error");
    for role in ["parent", "child"] {
        wait::until_answer(
            || explain(pid(&scenario, role), Some(&service)),
            |verdict| says(verdict, "evidence", "ECHILD"),
        );
    }
    scenario.go();
    scenario.finish();
    service.stop_clean();
}

#[test]
fn a_wait_right_before_an_exec_does_not_count_for_the_new_program() {
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
fn an_orphan_of_a_shell_at_an_init_was_not_forked_before_an_exec() {
    both("init-gets-subshell", "owed", "child", |scenario, verdict, is_watched| {
        assert_eq!(verdict["code"], "container_init_does_not_reap", "{verdict:#}");
        assert_eq!(verdict["certainty"], "likely", "it has waited for the shell: {verdict:#}");
        assert_eq!(verdict["culprit"]["pid"], pid(scenario, "parent"), "{verdict:#}");
        assert!(is_watched || says(verdict, "evidence", "an orphan of a shell"), "{verdict:#}");
    });
}

#[test]
fn an_init_that_has_never_waited_may_poll_for_dead_children() {
    both("container-init", "owed", "child", |_, verdict, _| {
        assert_eq!(verdict["code"], "container_init_does_not_reap", "{verdict:#}");
        // It may poll for dead children at intervals, which shows only after a minute.
        assert_eq!(verdict["certainty"], "likely", "{verdict:#}");
        assert!(says(verdict, "missing", "a minute"), "{verdict:#}");
    });
}

#[test]
fn a_parent_that_polls_for_dead_children_is_not_certain_to_never_wait() {
    both("waits-late", "owed", "child", |scenario, verdict, _| {
        assert_eq!(verdict["code"], "never_waits", "{verdict:#}");
        assert_eq!(verdict["certainty"], "likely", "{verdict:#}");
        assert_eq!(verdict["culprit"]["pid"], pid(scenario, "parent"), "{verdict:#}");
        assert!(says(verdict, "missing", "a minute"), "{verdict:#}");
        assert!(!says(verdict, "remedy", "now: kill"), "{verdict:#}");
    });
}

#[test]
fn a_parent_whose_pipe_is_not_read_is_not_accused() {
    both("writes-to-full-pipe", "owed", "child", |scenario, verdict, _| {
        assert_eq!(verdict["code"], "blocked_elsewhere", "{verdict:#}");
        assert_eq!(verdict["certainty"], "likely", "{verdict:#}");
        assert_eq!(verdict["culprit"]["pid"], pid(scenario, "holder"), "{verdict:#}");
        assert!(!says(verdict, "remedy", "kill"), "{verdict:#}");
    });
}

#[test]
fn a_parent_that_waits_for_a_lock_names_the_holder() {
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
fn a_handler_that_waits_for_a_lock_gets_no_advice_to_unblock_sigchld() {
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
fn a_process_that_sleeps_in_a_vfork_is_ended_by_sigkill_only() {
    both("vfork-chain", "held", "parent", |scenario, verdict, _| {
        let holder = pid(scenario, "holder");
        assert_eq!(verdict["code"], "held_by_vfork", "{verdict:#}");
        assert_eq!(verdict["culprit"]["pid"], holder, "{verdict:#}");
        assert!(says(verdict, "remedy", &format!("kill -9 {holder}")), "{verdict:#}");
    });
}

#[test]
fn a_tracer_that_is_stopped_itself_cannot_detach() {
    both("mutual-tracers", "held", "first", |scenario, verdict, _| {
        let second = pid(scenario, "second");
        assert_eq!(verdict["code"], "stopped_by_tracer", "{verdict:#}");
        assert_eq!(verdict["culprit"]["pid"], second, "{verdict:#}");
        assert!(says(verdict, "evidence", "is stopped too"), "{verdict:#}");
        assert!(says(verdict, "remedy", &format!("kill -9 {second}")), "{verdict:#}");
    });
}

/// A FUSE file system whose server, this process, never answers. All requests end when the descriptor is closed.
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
fn a_sleep_that_sigkill_ends_names_the_file_system_that_it_waits_for() {
    let Some(hung) = HungFuse::make() else {
        return setting::skip(format_args!("no FUSE file system can be mounted here"));
    };
    let service = Service::start(&[]);
    let Ok(mut reader) = Command::new("stat").arg("-f").arg(&hung.mount).spawn() else {
        return setting::skip(format_args!("there is no stat(1)"));
    };
    let id = reader.id();
    let end = Instant::now() + setting::deadline();
    // stat(1) may first sleep while its own program is read, but not for long.
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
    // The remedy of the verdict.
    reader.kill().and_then(|()| reader.wait()).unwrap_or_else(|error| panic!("{error}"));
    service.stop_clean();
}
