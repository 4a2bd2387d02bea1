//! What tasks are doing now, compared with /proc.

use std::{collections::BTreeMap, fs, process::Command};

use serde_json::Value;
use taskscope_tests::{proc, service::Service, setting, wait};

/// A child that is killed when this is dropped.
struct Ended(libc::pid_t);

impl Ended {
    const fn id(&self) -> u32 {
        self.0.cast_unsigned()
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        // SAFETY: the pid is of a child that only this waits for; the status may be null.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}

/// Forks a child that runs `act` only.
#[track_caller]
fn child(act: fn()) -> Ended {
    // SAFETY: the child makes system calls only, and never returns.
    match unsafe { libc::fork() } {
        0 => {
            act();
            // SAFETY: `act` makes system calls only; `_exit` never returns.
            unsafe { libc::_exit(0) }
        }
        pid if pid > 0 => Ended(pid),
        _ => panic!("fork: {}", std::io::Error::last_os_error()),
    }
}

/// Sleeps for longer than the test takes.
fn sleep() {
    let long = libc::timespec { tv_sec: 1000, tv_nsec: 0 };
    // SAFETY: the time outlives the call; the pointer for the remaining time may be null.
    unsafe { libc::nanosleep(&raw const long, std::ptr::null_mut()) };
}

/// Whether a task has left its CPU. A task that has set its state still runs until it switches. The kernel waits for the switch
/// before it fills /proc/PID/syscall, and writes `running` there if the task continues.
fn has_left_its_cpu(pid: u32) -> bool {
    let syscall = fs::read_to_string(format!("/proc/{pid}/syscall"));
    // If the file cannot be read, the state alone decides.
    !syscall.is_ok_and(|text| text.starts_with("running"))
}

#[track_caller]
fn until_state(pid: u32, wanted: &str) -> Vec<String> {
    wait::until_ok(|| match proc::stat(pid) {
        Some(fields) if fields.first().is_some_and(|state| state == wanted) && has_left_its_cpu(pid) => {
            Ok(fields)
        }
        fields => Err(format!("{pid} is not in state {wanted}: {fields:?}")),
    })
}

/// Returns the letters in /proc for a state of taskscope.
fn letter(doing: &str) -> char {
    match doing {
        "running" | "ready" | "runnable" => 'R',
        "sleeping" => 'S',
        "uninterruptible" | "killable" | "frozen" => 'D',
        "stopped" => 'T',
        "traced" => 't',
        "parked" => 'P',
        "idle" => 'I',
        "zombie" => 'Z',
        "dead" => 'X',
        other => panic!("{other} is no state"),
    }
}

#[track_caller]
fn answer(args: &[&str]) -> Value {
    let output = Command::new(setting::taskscope()).args(args).args(["--alone", "--format", "json"]).output();
    let output = output.unwrap_or_else(|error| panic!("running taskscope: {error}"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {said}"))
}

/// Returns the leader from the answer of `explain`.
#[track_caller]
fn explained(pid: u32) -> Value {
    answer(&["explain", &pid.to_string()])["now"]["tasks"][0].clone()
}

/// Compares the figures of /proc that do not change while a task sleeps.
#[track_caller]
fn has_the_figures_of_proc(does: &Value, fields: &[String]) {
    let field = |number: usize| fields[number - 3].parse::<i64>().unwrap_or(i64::MAX);
    let number = |key: &str| does[key].as_i64().unwrap_or(0);
    assert_eq!(letter(does["doing"].as_str().unwrap_or_default()).to_string(), fields[0], "{does:#}");
    assert_eq!(number("priority"), field(18), "{does:#}");
    assert_eq!(number("nice"), field(19), "{does:#}");
    assert_eq!(number("cpu"), field(39), "{does:#}");
    assert_eq!(number("rt_priority"), field(40), "{does:#}");
    assert_eq!(does["usage"]["minor_faults"].as_i64(), Some(field(10)), "{does:#}");
    assert_eq!(does["usage"]["major_faults"].as_i64(), Some(field(12)), "{does:#}");
}

#[test]
fn a_sleeper_has_the_figures_of_proc() {
    let child = child(|| {
        // SAFETY: the system call takes integers only.
        unsafe { libc::nice(5) };
        sleep();
    });
    let pid = child.id();
    // The kernel may have moved it to another CPU, or it may not be asleep yet.
    wait::until_ok(|| {
        let before = until_state(pid, "S");
        let does = explained(pid);
        if proc::stat(pid).as_ref() != Some(&before) || does["wchan"].is_null() {
            return Err(format!("the answer always differs from /proc: {does:#}"));
        }
        has_the_figures_of_proc(&does, &before);
        assert_eq!((&does["policy"], &does["nice"]), (&"SCHED_OTHER".into(), &5.into()), "{does:#}");
        let schedstat = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
        let of = |key: &str| does["usage"][key].as_u64().unwrap_or_default();
        let ours = format!("{} {} {}\n", of("exec_runtime_ns"), of("run_delay_ns"), of("run_count"));
        if ours.trim() == schedstat.trim() { Ok(()) } else { Err(format!("{ours} is not {schedstat}")) }
    });
    let wchan = fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
    let does = explained(pid);
    if wchan != "0" && !wchan.is_empty() {
        assert_eq!(does["wchan"].as_str(), Some(wchan.as_str()), "{does:#}");
    }
}

#[test]
fn policies_stops_and_zombies_have_their_names() {
    let fifo = child(|| {
        let parameters = libc::sched_param { sched_priority: 7 };
        // SAFETY: the structure outlives the call.
        unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
        sleep();
    });
    let stopped = child(|| {
        // SAFETY: the system call takes integers only.
        unsafe { libc::raise(libc::SIGSTOP) };
        sleep();
    });
    let zombie = child(|| ());
    for (child, state, doing) in
        [(&fifo, "S", "sleeping"), (&stopped, "T", "stopped"), (&zombie, "Z", "zombie")]
    {
        until_state(child.id(), state);
        let does = explained(child.id());
        assert_eq!(does["doing"], doing, "{does:#}");
    }
    let fields = until_state(fifo.id(), "S");
    let does = explained(fifo.id());
    assert_eq!(does["policy"], "SCHED_FIFO", "{does:#}");
    assert_eq!((does["rt_priority"].as_i64(), fields[37].as_str()), (Some(7), "7"), "{does:#}");
    assert_eq!((does["priority"].as_i64(), fields[15].as_str()), (Some(-8), "-8"), "{does:#}");
}

#[test]
fn every_process_that_does_not_change_has_the_state_of_proc() {
    // The number of context switches is read as well: if it has not changed, the state has not changed in between.
    let pids = |states: &mut BTreeMap<i64, (char, Vec<String>)>| {
        for pid in proc::pids() {
            let switches = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let switches = switches.lines().filter(|line| line.contains("ctxt_switches")).map(str::to_owned);
            if let Some(state) = proc::state(pid) {
                states.insert(pid, (state, switches.collect()));
            }
        }
    };
    let service = Service::start(&[]);
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    pids(&mut before);
    let tree = service.json("/v1/tree?now=true&kernel=true");
    pids(&mut after);
    let mut compared = 0;
    for node in tree["processes"].as_array().into_iter().flatten() {
        let Some(pid) = node["pid"].as_i64() else { continue };
        let (Some(before), Some(after)) = (before.get(&pid), after.get(&pid)) else { continue };
        let leader = &node["now"]["tasks"][0];
        // Tasks that run or wake up differ from one poll to the next, so they are not compared.
        if before == after && before.0 != 'R' && leader["tid"] == pid {
            let ours = letter(leader["doing"].as_str().unwrap_or_default());
            compared += 1;
            assert!(ours == 'R' || ours == before.0, "{pid}: {before:?} in /proc: {leader:#}");
        }
    }
    assert!(compared >= 3, "only {compared} could be compared: {tree:#}");
    service.stop_clean();
}
