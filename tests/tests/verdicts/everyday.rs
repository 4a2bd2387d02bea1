//! Situations of every day with the programs that make them: shells, terminals, tmux, make, xargs, timeout, inits of pid namespaces.
//! What `explain` and `deaths` say must be what happened, and remedies are run literally.

use std::{
    fs::{self, File},
    io::Write as _,
    os::{
        fd::{FromRawFd as _, OwnedFd},
        unix::process::CommandExt as _,
    },
    process::{Child, ChildStdin, Command, Stdio},
    ptr,
    time::Instant,
};

use serde_json::Value;
use taskscope_tests::{
    remedy,
    service::Service,
    setting,
    tmux::{self, Tmux},
    verdict::{explain, says},
};

/// A process of a test, and whatever is in its process group; all are killed when this is dropped.
struct Job(Child);

impl Job {
    /// Starts a command in a process group of its own; `None` if this machine does not have it.
    fn start(program: &str, args: &[&str]) -> Option<Self> {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Self::of(&mut command)
    }

    fn of(command: &mut Command) -> Option<Self> {
        let child = command.spawn();
        child.inspect_err(|error| setting::skip(format_args!("{command:?}: {error}"))).ok().map(Self)
    }

    fn pid(&self) -> i64 {
        self.0.id().into()
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // SAFETY: two integers.
        unsafe { libc::kill(-self.0.id().cast_signed(), libc::SIGKILL) };
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a command in a terminal of its own, and returns the other end of that.
fn in_terminal(program: &str, args: &[&str]) -> Option<(File, Job)> {
    let (mut master, mut slave) = (0, 0);
    let none = ptr::null_mut();
    // SAFETY: the pointers are to two variables; name, settings and size may be null.
    let made = unsafe { libc::openpty(&raw mut master, &raw mut slave, none, none.cast(), none.cast()) };
    assert_eq!(made, 0, "openpty: {}", std::io::Error::last_os_error());
    // SAFETY: both descriptors are new, and nothing else owns them.
    let (master, slave) = unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
    // SAFETY: the call takes integers only.
    unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&master), libc::F_SETFD, libc::FD_CLOEXEC) };
    let end = || Stdio::from(slave.try_clone().unwrap_or_else(|error| panic!("dup: {error}")));
    let mut command = Command::new(program);
    command.args(args).env("TERM", "dumb").stdin(end()).stdout(end()).stderr(end());
    // SAFETY: signal(2), setsid(2) and ioctl(2) are async-signal-safe, and SIG_DFL runs no code of ours.
    unsafe {
        command.pre_exec(|| {
            // Whoever runs the tests may ignore these: nohup(1), or a shell that started them in the background.
            for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT] {
                libc::signal(signal, libc::SIG_DFL);
            }
            if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
    let job = Job::of(&mut command)?;
    Some((File::from(master), job))
}

#[track_caller]
fn until<T>(what: &str, find: impl Fn() -> Option<T>) -> T {
    let end = Instant::now() + setting::deadline();
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(Instant::now() < end, "never: {what}");
        std::thread::yield_now();
    }
}

fn children(of: i64) -> Vec<i64> {
    let text = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn name(pid: i64) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

/// The state letter; `None` if it is gone.
fn state(pid: i64) -> Option<u8> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.bytes().next()
}

fn is_over(pid: i64) -> bool {
    matches!(state(pid), None | Some(b'Z' | b'X'))
}

/// Waits until a process has so many children of this name.
#[track_caller]
fn named(parent: i64, program: &str, count: usize) -> Vec<i64> {
    until(&format!("{count} {program} below {parent}"), || {
        let found: Vec<i64> = children(parent).into_iter().filter(|pid| name(*pid) == program).collect();
        (found.len() == count).then_some(found)
    })
}

#[track_caller]
fn zombie_of(parent: i64) -> i64 {
    until("a zombie", || children(parent).into_iter().find(|pid| state(*pid) == Some(b'Z')))
}

#[track_caller]
fn assert_death(death: &Value, cause: &str, certainty: &str, says: &str) {
    assert_eq!((&death["cause"], &death["certainty"]), (&cause.into(), &certainty.into()), "{death:#}");
    assert!(death["summary"].to_string().contains(says), "{says}: {death:#}");
}

fn has_no_programs() -> bool {
    setting::skip_in_vm("a guest has no shell and no tools")
}

#[test]
fn a_shell_that_hands_a_hangup_on_was_ended_by_its_terminal() {
    if has_no_programs() {
        return;
    }
    let service = Service::start(&[]);
    let Some((mut terminal, shell)) = in_terminal("bash", &["--norc", "-i"]) else { return };
    let typed = b"nohup sleep 1001 >/dev/null 2>&1 &\nsleep 1002 & disown\nsleep 1003 &\nsleep 1004\n";
    terminal.write_all(typed).unwrap_or_else(|error| panic!("typing: {error}"));
    let sleeps = named(shell.pid(), "sleep", 4);
    // An ssh connection that breaks looks like this.
    drop(terminal);
    assert_death(&service.death(shell.pid()), "terminal_hangup", "likely", "sent it to itself");
    let crashes = service.json("/v1/deaths")["crash_loops"].clone();
    assert!(!crashes.to_string().contains("killed_by_itself"), "{crashes:#}");
    for (index, sleep) in sleeps.into_iter().enumerate() {
        // The first two are meant to outlive it.
        if index < 2 {
            assert!(!is_over(sleep));
            assert_eq!(explain(sleep, Some(&service))["code"], "alive");
            remedy::run(&format!("kill {sleep}"));
        } else {
            until("the end of a job", || is_over(sleep).then_some(()));
            let bash = format!("SIGHUP from bash (pid {})", shell.pid());
            let death = service.death(sleep);
            assert_death(&death, "killed", "certain", &bash);
            assert!(!death["summary"].to_string().contains("ignored"), "{death:#}");
        }
    }
    service.stop_clean();
}

#[test]
fn the_interrupt_key_ends_the_jobs_of_make_and_a_program_that_cleans_up() {
    if has_no_programs() {
        return;
    }
    let service = Service::start(&[]);
    let directory = taskscope_tests::directory::Directory::new("make");
    fs::write(directory.file("Makefile"), "all: a b\na b:\n\tsleep 1000\n")
        .unwrap_or_else(|error| panic!("{error}"));
    let place = directory.0.display().to_string();
    if let Some((mut terminal, make)) = in_terminal("make", &["-j2", "-C", &place]) {
        let jobs = named(make.pid(), "sleep", 2);
        terminal.write_all(b"\x03").unwrap_or_else(|error| panic!("{error}"));
        for job in jobs {
            assert_death(
                &service.death(job),
                "terminal_key",
                "certain",
                "a key was pressed in its terminal (SIGINT)",
            );
        }
        // It ends by the signal that it handled, or exits with 2 if it sees the ends of its jobs first.
        let make = service.death(make.pid());
        match make["cause"].as_str() {
            Some("exited") => assert_death(&make, "exited", "certain", "a key in its terminal sent SIGINT"),
            _ => assert_death(&make, "terminal_key", "likely", "it handled the signal and sent it to itself"),
        }
    }
    // Like Python's KeyboardInterrupt: a trap that cleans up and sends the signal on.
    // bash forgets an interrupt if the command that it waits for has ended by itself at that time.
    let script = "trap 'trap - INT; kill -INT $$' INT; echo; while :; do sleep 1000; done";
    if let Some((mut terminal, shell)) = in_terminal("bash", &["-c", script]) {
        named(shell.pid(), "sleep", 1);
        terminal.write_all(b"\x03").unwrap_or_else(|error| panic!("{error}"));
        let text = "it handled the signal and sent it to itself";
        assert_death(&service.death(shell.pid()), "terminal_key", "likely", text);
    }
    service.stop_clean();
}

#[test]
fn a_session_of_tmux_that_is_closed_hangs_up_its_terminal() {
    if has_no_programs() || !tmux::is_there() {
        return;
    }
    let service = Service::start(&[]);
    let terminal = Tmux::start(80, 24);
    let server = until("the server of tmux", || {
        let all =
            fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let mut shells = all.filter(|pid: &i64| {
            let stat = fs::read_to_string(format!("/proc/{pid}/environ")).unwrap_or_default();
            stat.contains(&format!("TMUX={}", terminal.socket().display())) && name(*pid) == "sh"
        });
        shells.next()
    });
    terminal.types("sleep 1005");
    terminal.presses("Enter");
    let sleep = named(server, "sleep", 1)[0];
    assert_eq!(explain(sleep, Some(&service))["code"], "alive");
    drop(terminal);
    assert_death(&service.death(server), "terminal_hangup", "certain", "SIGHUP");
    assert_death(&service.death(sleep), "terminal_hangup", "certain", "SIGHUP");
    service.stop_clean();
}

#[test]
fn timeout_escalates_and_no_sigkill_is_said_to_be_ignored() {
    if has_no_programs() {
        return;
    }
    let service = Service::start(&[]);
    let script = "trap '' TERM; sleep 1000; sleep 1000";
    let Some(mut timeout) = Job::start("timeout", &["-k", "0.5", "0.5", "sh", "-c", script]) else { return };
    let shell = named(timeout.pid(), "sh", 1)[0];
    let sleep = named(shell, "sleep", 1)[0];
    let _ = timeout.0.wait();
    for pid in [shell, sleep] {
        let death = service.death(pid);
        assert_death(&death, "timeout", "likely", "sent SIGTERM, which was ignored");
        assert!(!death["summary"].to_string().contains("SIGKILL, which was ignored"), "{death:#}");
    }
    service.stop_clean();
}

/// Starts xargs with two jobs that have ended while it waits for more input.
fn waiting_xargs() -> Option<(Job, ChildStdin)> {
    let mut command = Command::new("xargs");
    command.args(["-n1", "-P4", "sleep"]).stdin(Stdio::piped()).process_group(0);
    let mut xargs = Job::of(&mut command)?;
    let mut input = xargs.0.stdin.take()?;
    input.write_all(b"0.1 0.1 ").unwrap_or_else(|error| panic!("{error}"));
    Some((xargs, input))
}

#[test]
fn xargs_that_reads_its_input_is_not_told_to_end() {
    if has_no_programs() {
        return;
    }
    let service = Service::start(&[]);
    let Some((xargs, input)) = waiting_xargs() else { return };
    let zombie = zombie_of(xargs.pid());
    for daemon in [Some(&service), None] {
        let verdict = explain(zombie, daemon);
        assert_eq!(verdict["certainty"], "likely", "{verdict:#}");
        assert!(says(&verdict, "evidence", "read(2) of descriptor 0"), "{verdict:#}");
        assert!(!says(&verdict, "remedy", "kill"), "{verdict:#}");
    }
    drop(input);
    until("xargs has reaped it", || state(zombie).is_none().then_some(()));
    drop(xargs);
    service.stop_clean();
}

/// Starts a shell as the init of a pid namespace.
fn init(script: &str) -> Option<(Job, i64)> {
    let unshare = Job::start("unshare", &["--pid", "--fork", "--kill-child", "sh", "-c", script])?;
    let init = until("an init", || children(unshare.pid()).first().copied());
    Some((unshare, init))
}

#[test]
fn a_command_that_replaces_the_shell_of_a_container_does_not_reap() {
    if has_no_programs() {
        return;
    }
    let service = Service::start(&[]);
    let forked = init("sleep 0.1 & exec sleep 1000");
    let orphaned = init("( sleep 0.1 & ) ; exec sleep 1000");
    let (Some((forked, first)), Some((orphaned, second))) = (forked, orphaned) else { return };
    let verdict = explain(zombie_of(first), Some(&service));
    assert_eq!(
        (&verdict["code"], &verdict["certainty"]),
        (&"forked_before_exec".into(), &"certain".into()),
        "{verdict:#}"
    );
    let other = explain(zombie_of(second), Some(&service));
    assert_eq!(other["code"], "container_init_does_not_reap", "{other:#}");
    assert_eq!(other["certainty"], "likely", "{other:#}");
    for (verdict, pid) in [(&verdict, first), (&other, second)] {
        assert_eq!(verdict["culprit"]["pid"], pid, "{verdict:#}");
        // SIGTERM is dropped for it, and its end is that of the container.
        assert!(!says(verdict, "remedy", &format!("kill {pid}")), "{verdict:#}");
    }
    drop((forked, orphaned));
    service.stop_clean();
}

#[test]
fn a_supervisor_that_is_stopped_reaps_once_it_is_continued() {
    if has_no_programs() {
        return;
    }
    let service = Service::start(&[]);
    let Some(shell) = Job::start("sh", &["-c", "while :; do sleep 0.2; done"]) else { return };
    until("a child", || children(shell.pid()).first().copied());
    remedy::run(&format!("kill -STOP {}", shell.pid()));
    let zombie = zombie_of(shell.pid());
    let verdict = explain(zombie, Some(&service));
    assert_eq!(
        (&verdict["code"], &verdict["certainty"]),
        (&"parent_stopped".into(), &"certain".into()),
        "{verdict:#}"
    );
    let text = verdict["remedy"].as_str().unwrap_or_default().to_owned();
    let by = "stopped by SIGSTOP from sh (pid ";
    assert!(verdict["summary"].as_str().is_some_and(|text| text.contains(by)), "{verdict:#}");
    let command = remedy::between(&text, "continue it: ", ";");
    assert_eq!(command, format!("kill -CONT {}", shell.pid()));
    remedy::run(command);
    until("it is reaped", || state(zombie).is_none().then_some(()));
    drop(shell);
    service.stop_clean();
}

const DEAD_LEADER: &str = "
import ctypes, os, signal, sys, threading, time
if len(sys.argv) > 1: signal.signal(signal.SIGTERM, signal.SIG_IGN)
def work():
    if os.fork() == 0: os._exit(3)
    time.sleep(1000)
threading.Thread(target=work).start()
time.sleep(0.3)
ctypes.CDLL(None).syscall(60, 0)
";

/// The remedy for a process whose main thread has ended, and for one that ignores SIGTERM.
#[test]
fn a_parent_without_its_main_thread_is_ended_by_the_signal_that_is_printed() {
    if has_no_programs() || cfg!(not(target_arch = "x86_64")) {
        return;
    }
    let service = Service::start(&[]);
    for (args, kill) in [(vec!["-c", DEAD_LEADER], "kill"), (vec!["-c", DEAD_LEADER, "ignores"], "kill -9")] {
        let Some(python) = Job::start("python3", &args) else { return };
        let pid = python.pid();
        until("its main thread has ended", || (state(pid) == Some(b'Z')).then_some(()));
        let own = explain(pid, Some(&service));
        assert_eq!(own["code"], "dead_leader", "{own:#}");
        let command = format!("{kill} {pid}");
        assert!(own["remedy"].as_str().is_some_and(|text| text.ends_with(&command)), "{own:#}");
        let threads = fs::read_dir(format!("/proc/{pid}/task")).map(Iterator::count).unwrap_or_default();
        assert_eq!(threads, 2);
        remedy::run(&command);
        until("all its threads have ended", || {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).map(Iterator::count).unwrap_or_default();
            (tasks < 2).then_some(())
        });
    }
    service.stop_clean();
}

#[test]
fn a_tracer_that_is_stopped_is_ended_by_the_signal_that_is_printed() {
    if has_no_programs() {
        return;
    }
    let service = Service::start(&[]);
    let script = "sleep 0.5 & echo; wait";
    let Some(strace) = Job::start("strace", &["-f", "-o", "/dev/null", "sh", "-c", script]) else { return };
    let shell = named(strace.pid(), "sh", 1)[0];
    let sleep = named(shell, "sleep", 1)[0];
    remedy::run(&format!("kill -STOP {}", strace.pid()));
    until("the tracer is stopped", || (state(strace.pid()) == Some(b'T')).then_some(()));
    until("the tracee is held", || matches!(state(sleep), Some(b't' | b'Z')).then_some(()));
    let verdict = explain(sleep, Some(&service));
    assert_eq!(verdict["culprit"]["pid"], strace.pid(), "{verdict:#}");
    let text = verdict["remedy"].as_str().unwrap_or_default();
    let command = format!("kill -9 {}", strace.pid());
    assert!(text.contains(&command), "{verdict:#}");
    remedy::run(&command);
    until("its tracee has ended", || is_over(sleep).then_some(()));
    drop(strace);
    service.stop_clean();
}
