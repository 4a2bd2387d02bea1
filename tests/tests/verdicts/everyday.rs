//! Situations of every day with the programs that make them: shells, terminals, tmux, make, xargs, timeout, inits of pid namespaces.
//! What `explain` and `deaths` say must be what happened, and remedies are run literally.

use std::{
    fs,
    io::Write as _,
    os::unix::process::CommandExt as _,
    process::{ChildStdin, Command, Stdio},
};

use taskscope_tests::{
    job::{Job, assert_death, has_no_programs, in_terminal, named},
    proc::{children, name, state},
    remedy,
    service::Service,
    tmux::{self, Tmux},
    verdict::{explain, says},
    wait,
};

fn is_over(pid: i64) -> bool {
    matches!(state(pid), None | Some('Z' | 'X'))
}

#[track_caller]
fn zombie_of(parent: i64) -> i64 {
    wait::until_some(format_args!("{parent} has a zombie"), || {
        children(parent).into_iter().find(|pid| state(*pid) == Some('Z'))
    })
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
    // The same happens when an ssh connection breaks.
    drop(terminal);
    assert_death(&service.death(shell.pid()), "terminal_hangup", "likely", "sent it to itself");
    let crashes = service.json("/v1/deaths")["crash_loops"].clone();
    assert!(!crashes.to_string().contains("killed_by_itself"), "{crashes:#}");
    for (index, sleep) in sleeps.into_iter().enumerate() {
        // The first two (nohup, disown) are meant to outlive the session.
        if index < 2 {
            assert!(!is_over(sleep));
            assert_eq!(explain(sleep, Some(&service))["code"], "alive");
            remedy::run(&format!("kill {sleep}"));
        } else {
            wait::until("the job has ended", || is_over(sleep));
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
    let server = wait::until_some("the server of tmux runs", || {
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
    wait::until("xargs has reaped it", || state(zombie).is_none());
    drop(xargs);
    service.stop_clean();
}

/// Starts a shell as the init of a pid namespace.
fn init(script: &str) -> Option<(Job, i64)> {
    let unshare = Job::start("unshare", &["--pid", "--fork", "--kill-child", "sh", "-c", script])?;
    let init = wait::until_some("unshare has a child", || children(unshare.pid()).first().copied());
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
        // The kernel drops SIGTERM for a namespace's init, and the end of the init would end the whole container.
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
    wait::until_some("the shell has a child", || children(shell.pid()).first().copied());
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
    wait::until("it is reaped", || state(zombie).is_none());
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
        wait::until("its main thread has ended", || state(pid) == Some('Z'));
        let own = explain(pid, Some(&service));
        assert_eq!(own["code"], "dead_leader", "{own:#}");
        let command = format!("{kill} {pid}");
        assert!(own["remedy"].as_str().is_some_and(|text| text.ends_with(&command)), "{own:#}");
        let threads = fs::read_dir(format!("/proc/{pid}/task")).map(Iterator::count).unwrap_or_default();
        assert_eq!(threads, 2);
        remedy::run(&command);
        wait::until("all its threads have ended", || {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).map(Iterator::count).unwrap_or_default();
            tasks < 2
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
    wait::until("the tracer is stopped", || state(strace.pid()) == Some('T'));
    wait::until("the tracee is held", || matches!(state(sleep), Some('t' | 'Z')));
    let verdict = explain(sleep, Some(&service));
    assert_eq!(verdict["culprit"]["pid"], strace.pid(), "{verdict:#}");
    let text = verdict["remedy"].as_str().unwrap_or_default();
    let command = format!("kill -9 {}", strace.pid());
    assert!(text.contains(&command), "{verdict:#}");
    remedy::run(&command);
    wait::until("its tracee has ended", || is_over(sleep));
    drop(strace);
    service.stop_clean();
}
