//! Processes that gdb and strace trace: who ended them, who stopped them, and what frees them.

use std::fs;

use taskscope_tests::{
    job::{Job, assert_death, has_no_programs},
    proc::state,
    remedy,
    service::Service,
    verdict::{explain, says},
    wait,
};

#[test]
fn a_debugger_that_kills_is_named_and_one_that_detaches_is_not() {
    if has_no_programs() {
        return;
    }
    let service = Service::start(&[]);
    for (command, killed) in [("kill", true), ("detach", false)] {
        let Some(sleep) = Job::start("sleep", &["1000"]) else { return };
        let pid = sleep.pid();
        let args = ["-nx", "-q", "-batch", "-p", &pid.to_string(), "-ex", command];
        let Some(mut gdb) = Job::start("gdb", &args) else { return };
        let _ = gdb.0.wait();
        if !killed {
            wait::until("the process runs again", || state(pid) == Some('S'));
            let verdict = explain(pid, Some(&service));
            assert_eq!(verdict["code"], "alive", "{verdict:#}");
            remedy::run(&format!("kill {pid}"));
        }
        let death = service.death(pid);
        let by = if killed {
            format!("SIGKILL from gdb (pid {})", gdb.pid())
        } else {
            "SIGTERM from sh (pid ".into()
        };
        assert_death(&death, "killed", "certain", &by);
    }
    service.stop_clean();
}

#[test]
fn a_tracee_that_was_sent_sigstop_is_continued_by_the_command_that_is_printed() {
    if has_no_programs() {
        return;
    }
    let service = Service::start(&[]);
    let Some(sleep) = Job::start("sleep", &["1000"]) else { return };
    let pid = sleep.pid();
    let Some(mut strace) = Job::start("strace", &["-o", "/dev/null", "-p", &pid.to_string()]) else { return };
    let tracer = format!("TracerPid:\t{}\n", strace.pid());
    wait::until("strace traces it", || {
        fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|text| text.contains(&tracer))
    });
    remedy::run(&format!("kill -STOP {pid}"));
    wait::until("it is stopped", || state(pid) == Some('t'));
    let verdict =
        wait::until_answer(|| explain(pid, Some(&service)), |verdict| says(verdict, "summary", "SIGSTOP"));
    assert_eq!((&verdict["code"], &verdict["certainty"]), (&"stopped_by_tracer".into(), &"certain".into()));
    assert!(
        says(&verdict, "summary", "SIGSTOP from sh (pid ") && says(&verdict, "summary", "its tracer strace"),
        "{verdict:#}"
    );
    let text = verdict["remedy"].as_str().unwrap_or_default();
    remedy::run(remedy::between(text, "continue it: ", ";"));
    wait::until("it runs again, still traced", || state(pid) == Some('S'));
    // The stop outlasts the tracer, as the remedy says.
    remedy::run(&format!("kill -STOP {pid}"));
    wait::until("it is stopped again", || state(pid) == Some('t'));
    remedy::run(&format!("kill -9 {}", strace.pid()));
    let _ = strace.0.wait();
    wait::until("it stays stopped without its tracer", || state(pid) == Some('T'));
    let verdict = explain(pid, Some(&service));
    assert_eq!(verdict["code"], "stopped", "{verdict:#}");
    assert!(says(&verdict, "summary", "SIGSTOP from sh (pid "), "{verdict:#}");
    service.stop_clean();
}
