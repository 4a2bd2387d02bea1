//! Who ended a process, with the programs that do it every day: shells, timeout(1), unshare(1), Python, cron. What
//! `deaths` and `explain` say must be what happened, and remedies are run literally.

use std::{fs, path::PathBuf};

use taskscope_tests::{
    cgroup::Cgroup,
    directory::Directory,
    job::{Job, assert_death, has_no_programs, named},
    proc::{children, name, pids, stat, state},
    remedy,
    service::Service,
    setting,
    verdict::explain,
    wait,
};

/// Waits until a process has the only child of this name below it, at any depth.
#[track_caller]
fn below(parent: i64, program: &str) -> i64 {
    fn search(parent: i64, program: &str) -> Option<i64> {
        let found = children(parent);
        let named = found.iter().copied().find(|pid| name(*pid) == program);
        named.or_else(|| found.into_iter().find_map(|pid| search(pid, program)))
    }
    wait::until_some(format_args!("there is {program} below {parent}"), || search(parent, program))
}

#[test]
fn programs_that_pass_on_how_their_child_ended_name_the_child() {
    if has_no_programs() {
        return;
    }
    let service = Service::start(&[]);
    // A common entry point of containers: the shell exits with the status of its child, 137, which is all that the pod shows.
    let shell = Job::start("sh", &["-c", "sleep 1000; exit $?"]);
    // unshare(1) sends the signal of its child to itself, as sudo(8) and nsenter(1) do.
    let wrapper = Job::start("unshare", &["--mount", "--fork", "sleep", "1000"]);
    for (job, kill, cause) in [(shell, "-9", "exited"), (wrapper, "-TERM", "killed_by_itself")] {
        let Some(job) = job else { continue };
        let sleep = named(job.pid(), "sleep", 1)[0];
        remedy::run(&format!("kill {kill} {sleep}"));
        let death = service.death(job.pid());
        let signal = if kill == "-9" { "SIGKILL" } else { "SIGTERM" };
        assert_death(
            &death,
            cause,
            "certain",
            &format!("before, {signal} had ended its child sleep (pid {sleep})"),
        );
        assert_eq!(death["child_before"]["process"]["pid"], sleep, "{death:#}");
        let explained = service.json(&format!("/v1/explain/{}", job.pid()));
        assert_eq!(explained["death"]["child_before"], death["child_before"], "{explained:#}");
    }
    service.stop_clean();
}

#[test]
fn an_exit_code_says_what_the_program_means_by_it() {
    if has_no_programs() {
        return;
    }
    let service = Service::start(&[]);
    // This shell does what a JVM does: it handles SIGTERM and exits with status 143.
    if let Some(shell) = Job::start("sh", &["-c", "trap 'exit 143' TERM; while :; do sleep 0.1; done"]) {
        below(shell.pid(), "sleep");
        remedy::run(&format!("kill {}", shell.pid()));
        let death = service.death(shell.pid());
        assert_death(&death, "exited", "certain", "it received this signal and handled it");
        assert!(!death["summary"].to_string().contains("no signal ended it"), "{death:#}");
    }
    for (program, args, words) in [
        ("timeout", vec!["0.1", "sleep", "1000"], "its command did not end in time"),
        ("sh", vec!["-c", "taskscope-no-such-command; exit $?"], "does not find a command"),
        ("sh", vec!["-c", "/etc/passwd; exit $?"], "cannot execute a command"),
    ] {
        let Some(job) = Job::start(program, &args) else { continue };
        assert_death(&service.death(job.pid()), "exited", "certain", words);
    }
    service.stop_clean();
}

#[test]
fn kill_9_after_kill_of_one_shell_is_an_escalation_with_its_interval() {
    if has_no_programs() {
        return;
    }
    let service = Service::start(&[]);
    let script = "trap '' TERM; exec sleep 1000";
    let Some(sleep) = Job::start("sh", &["-c", script]) else { return };
    wait::until("the process ignores SIGTERM", || name(sleep.pid()) == "sleep");
    // env(1) starts the program, not the builtin of the shell: the senders are two processes.
    let Some(mut killer) =
        Job::start("sh", &["-c", &format!("env kill {0}; env kill -9 {0}; :", sleep.pid())])
    else {
        return;
    };
    let _ = killer.0.wait();
    let death = service.death(sleep.pid());
    assert_death(&death, "escalation", "likely", "after SIGTERM from another process of that name");
    assert!(death["summary"].to_string().contains("which it ignores"), "{death:#}");
    assert_eq!(death["signal"]["sender"]["ancestors"][0]["pid"], killer.pid(), "{death:#}");
    service.stop_clean();
}

#[test]
fn a_fault_that_pythons_handler_reports_stays_a_fault() {
    if has_no_programs() {
        return;
    }
    let service = Service::start(&[]);
    let script = "import ctypes; ctypes.string_at(16)";
    for (args, certainty) in
        [(vec!["-c", script], "certain"), (vec!["-X", "faulthandler", "-c", script], "likely")]
    {
        let Some(python) = Job::start("python3", &args) else { return };
        let death = service.death(python.pid());
        assert_death(&death, "fault", certainty, "an address that is not mapped at 0x10");
    }
    service.stop_clean();
}

/// In the v1 freezer no signal frees a task.
#[test]
fn a_process_that_is_killed_while_it_is_frozen_ends_by_the_command_that_is_printed() {
    if has_no_programs() {
        return;
    }
    let Some(cgroup) = Cgroup::v1("freezer", &["taskscope-killed-frozen"]) else {
        return setting::skip("no v1 hierarchy of the freezer");
    };
    let service = Service::start(&[]);
    let Some(sleep) = Job::start("sleep", &["1000"]) else { return };
    let pid = sleep.pid();
    cgroup.take(pid);
    fs::write(cgroup.path().join("freezer.state"), "FROZEN").unwrap_or_else(|error| panic!("{error}"));
    wait::until("it is frozen", || state(pid) == Some('D'));
    remedy::run(&format!("kill -9 {pid}"));
    let verdict = wait::until_answer(
        || explain(pid, Some(&service)),
        |verdict| verdict["code"] == "killed_but_blocked",
    );
    assert_eq!(verdict["certainty"], "certain", "{verdict:#}");
    let text = verdict["remedy"].as_str().unwrap_or_default();
    let story = service.json(&format!("/v1/explain/{pid}"))["story"].to_string();
    assert!(story.contains("received SIGKILL from sh (pid "), "{story}");
    let thaw = text.split_once("then the process ends: ").map(|(_, thaw)| thaw);
    remedy::run(thaw.unwrap_or_else(|| panic!("{verdict:#}")));
    assert_death(&service.death(pid), "killed", "certain", "SIGKILL from sh (pid ");
    drop(sleep);
    service.stop_clean();
}

/// The program of Debian's package, unpacked by `cargo xtask test`.
fn cron() -> Option<PathBuf> {
    let path = std::env::var_os("TASKSCOPE_CRON").map(PathBuf::from);
    if path.is_none() {
        setting::skip("TASKSCOPE_CRON names no cron; cargo xtask test provides it");
    }
    path
}

#[test]
fn jobs_of_cron_end_by_what_ended_them() {
    if has_no_programs() {
        return;
    }
    let Some(cron) = cron() else { return };
    let directory = Directory::new("cron");
    let table = "MAILTO=\"\"\n@reboot sleep 1007\n@reboot kill -SEGV $$\n@reboot timeout 0.2 sleep 1008\n";
    let place = directory.0.display();
    // cron has fixed paths: it gets a mount namespace with its own.
    let script = format!(
        "set -e; mount --make-rprivate /; mkdir -p {place}/spool/crontabs {place}/etc {place}/run
        printf '%s' \"$0\" >{place}/spool/crontabs/root; chmod 600 {place}/spool/crontabs/root
        mount -t tmpfs none /run; mount -t tmpfs none /var/spool; mkdir /var/spool/cron
        mount --bind {place}/spool /var/spool/cron
        if [ -d /etc/cron.d ]; then mount --bind {place}/etc /etc/cron.d; fi
        exec {} -f",
        cron.display()
    );
    let service = Service::start(&[]);
    let Some(job) = Job::start("unshare", &["--mount", "sh", "-c", &script, table]) else { return };
    let sleep = wait::until_some("cron has started its job", || {
        pids().find(|pid| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == b"sleep\x001007\x00")
        })
    });
    let shell: i64 = stat(sleep).and_then(|fields| fields.get(1)?.parse().ok()).unwrap_or_default();
    remedy::run(&format!("kill {sleep}"));
    assert_death(&service.death(sleep), "killed", "certain", "SIGTERM from sh (pid ");
    let ended = service.death(shell);
    assert_death(&ended, "exited", "certain", &format!("SIGTERM had ended its child sleep (pid {sleep})"));
    assert_eq!(ended["parent"]["name"], "cron", "{ended:#}");
    let by_cause = |cause: &str| {
        wait::until_some(format_args!("a job of cron ends by {cause}"), || {
            let all = service.json(&format!("/v1/deaths?subtree={}&cause={cause}", job.pid()));
            all["deaths"].as_array()?.first().cloned()
        })
    };
    let killed = by_cause("killed_by_itself");
    assert_eq!(killed["parent"]["name"], "cron", "{killed:#}");
    let timed_out = by_cause("timeout");
    let ancestors: Vec<_> =
        timed_out["signal"]["sender"]["ancestors"].as_array().into_iter().flatten().collect();
    assert!(ancestors.iter().any(|it| it["name"] == "cron"), "{timed_out:#}");
    drop(job);
    service.stop_clean();
}
