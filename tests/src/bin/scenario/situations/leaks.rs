//! Leaks other than zombies, which `taskscope leaks` must report, and processes that look like leaks, which it must not report.

use std::{
    env, fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use crate::{
    Entry,
    actor::{spawn, wait},
    cgroups::{enter, unit},
    fact::{Fact, die, die_with, pause},
    sys::{self, Pid},
};

pub(crate) const SCENARIOS: &[Entry] = &[
    ("leak-threads", "a child creates threads, none of which ends", |_| threads()),
    ("leak-respawn", "a child starts a program again whenever it has exited with 3", |_| respawn()),
    ("leak-unit", "a program of a unit is started again whenever it has exited with 3", |_| respawn_unit()),
    ("leak-storm", "a child forks as fast as it can", |_| storm()),
    ("leak-bomb", "the children of a child fork, and their children too", |_| bomb()),
    ("leak-orphans", "a process outlives its session", |_| outlive("left")),
    ("leak-none", "pools, builds, scripts, servers that fork workers, and timers", |_| none()),
    ("leak-daemons", "processes outlive their session on purpose", |_| daemons()),
];

/// Ends a child of the scenario with SIGKILL.
fn end(role: &str, child: Pid) {
    sys::kill(child, libc::SIGKILL);
    wait("scenario", role, child);
}

/// Waits until the test has seen the leak, and ends the child, unless the test has ended it already.
fn finish(role: &str, child: Pid) {
    pause("leaking");
    end(role, child);
}

/// Sleeps. Ends the process once nobody reads the facts any more, so that no process of a scenario outlives its test.
fn rest(ms: i32) {
    let mut output = libc::pollfd { fd: 1, events: 0, revents: 0 };
    // SAFETY: one element, which outlives the call.
    let ready = unsafe { libc::poll(&raw mut output, 1, ms) };
    if ready > 0 {
        sys::exit_group(72);
    }
}

fn add_thread(act: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
    let builder = thread::Builder::new().name("leaked".into()).stack_size(64 << 10);
    builder.spawn(act).unwrap_or_else(|error| die_with("pthread_create", error.raw_os_error().unwrap_or(0)))
}

fn threads() {
    let child = spawn("child", || {
        // Stop after some time, in case nobody ends this process.
        for _ in 0..2_000 {
            drop(add_thread(|| sys::sleep_for_ever()));
            rest(20);
        }
        sys::sleep_for_ever()
    });
    finish("child", child);
}

/// Forks a child of this name that acts, without a fact.
fn fork(name: &[u8], act: impl FnOnce() -> i32) -> Pid {
    sys::fork().unwrap_or_else(|| {
        sys::set_comm(name);
        sys::exit_group(act())
    })
}

fn reap(child: Pid) {
    if let Err(errno) = sys::wait4(child, 0) {
        die_with("wait4", errno);
    }
}

fn run(name: &[u8], act: impl FnOnce() -> i32) {
    reap(fork(name, act));
}

fn respawn() {
    let child = spawn("child", || {
        loop {
            run(b"app", || 3);
            rest(30);
        }
    });
    finish("child", child);
}

/// The scenario is the manager: the unit's processes are in another cgroup.
fn respawn_unit() {
    let unit = unit("cgroup2", "leak");
    let path = unit.0.clone();
    let manager = spawn("child", move || {
        loop {
            let path = path.clone();
            run(b"app", move || {
                enter(&path);
                3
            });
            // A service manager has other children too.
            run(b"other", || 0);
            run(b"other", || 0);
            rest(30);
        }
    });
    finish("child", manager);
}

fn storm() {
    let child = spawn("child", || {
        loop {
            run(b"brief", || 0);
            rest(0);
        }
    });
    finish("child", child);
}

/// Generations of the bomb: there are 2^GENERATIONS - 1 processes.
const GENERATIONS: u32 = 9;

fn bomb() {
    fn explode(left: u32) {
        if left > 1 {
            for _ in 0..2 {
                fork(b"bomb", || {
                    explode(left - 1);
                    sys::sleep_for_ever()
                });
            }
        }
    }
    let child = spawn("child", || {
        sys::lead_a_group();
        // The scenario's process existed before the bomb, so it is not part of it.
        explode(GENERATIONS);
        sys::sleep_for_ever()
    });
    pause("leaking");
    // SAFETY: two integers.
    if unsafe { libc::kill(-child, libc::SIGKILL) } != 0 {
        die("kill of the group");
    }
    wait("scenario", "child", child);
}

fn none() {
    // A family that calls no execve(2) and is as young as the time for which forks are counted looks like a fork bomb.
    rest(2_000);
    let pool = spawn("pool", || {
        for _ in 0..100 {
            drop(add_thread(|| sys::sleep_for_ever()));
        }
        sys::sleep_for_ever()
    });
    let busy = spawn("busy", || {
        for _ in 0..60 {
            drop(add_thread(|| sys::sleep_for_ever()));
        }
        loop {
            let _ = add_thread(|| rest(20)).join();
        }
    });
    let make = spawn("make", || {
        let mut jobs: Vec<Pid> = Vec::new();
        loop {
            if jobs.len() >= 4 {
                reap(jobs.remove(0));
            }
            jobs.push(fork(b"cc", || {
                rest(20);
                0
            }));
        }
    });
    let script = spawn("script", || {
        loop {
            run(b"grep", || 1);
            run(b"sed", || 0);
            rest(20);
        }
    });
    let timer = spawn("timer", || {
        loop {
            run(b"check", || 1);
            rest(1_500);
        }
    });
    let server = spawn("server", || {
        for _ in 0..40 {
            fork(b"worker", || sys::sleep_for_ever());
        }
        sys::sleep_for_ever()
    });
    let makes: Vec<Pid> = (0..16)
        .map(|_| {
            spawn("submake", || {
                loop {
                    run(b"cc1", || 0);
                    rest(25);
                }
            })
        })
        .collect();
    pause("working");
    for (role, child) in [
        ("pool", pool),
        ("busy", busy),
        ("make", make),
        ("script", script),
        ("timer", timer),
        ("server", server),
    ] {
        end(role, child);
    }
    for child in makes {
        end("submake", child);
    }
}

/// Copies of this program, so that the leader of a session and the processes that it leaves behind run different programs.
struct Programs(PathBuf);

impl Programs {
    fn make() -> Self {
        let place = env::temp_dir().join(format!("taskscope-leaks-{}", sys::getpid()));
        let made = fs::create_dir_all(&place).and_then(|()| fs::copy("/proc/self/exe", place.join("job")));
        let made = made.and_then(|_| fs::copy("/proc/self/exe", place.join("left")));
        if let Err(error) = made {
            die_with("copying this program", error.raw_os_error().unwrap_or(0));
        }
        Self(place)
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        // The processes that are left behind sleep until their files are gone.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn exec(program: &Path, args: &[&str]) -> ! {
    let error = Command::new(program).args(args).exec();
    die_with("execve", error.raw_os_error().unwrap_or(0))
}

/// Runs a session that leaves a process behind, and prints which.
fn leave(programs: &Programs, mode: &str) {
    let place = programs.0.clone();
    let mark = place.join(format!("{mode}.pid"));
    let text = mark.to_string_lossy().into_owned();
    let job = spawn("job", move || {
        // SAFETY: no arguments.
        if unsafe { libc::setsid() } < 0 {
            die("setsid");
        }
        if mode == "double" {
            fork(b"daemon", || exec(&place.join("left"), &["leak-sleeper", &text]));
            return 0;
        }
        exec(&place.join("job"), &["leak-session", mode, &place.to_string_lossy(), &text])
    });
    wait("scenario", "job", job);
    crate::proc::until("what is left has written its pid", || {
        fs::read_to_string(&mark).is_ok_and(|text| text.ends_with('\n'))
    });
    let pid = fs::read_to_string(&mark).ok().and_then(|text| text.trim().parse::<i32>().ok()).unwrap_or(0);
    Fact::new("left").text("mode", mode).number("pid", pid).emit();
}

fn outlive(mode: &str) {
    let programs = Programs::make();
    leave(&programs, mode);
    pause("leaking");
}

fn daemons() {
    let programs = Programs::make();
    for mode in ["own", "nohup", "same", "double"] {
        leave(&programs, mode);
    }
    pause("working");
}

/// The leader of a session, as a program: starts a process in the way that MODE says, and ends.
pub(crate) fn session(args: &[String]) {
    let [mode, place, mark] = args else { die_with("arguments of leak-session", libc::EINVAL) };
    let program = if mode == "same" { "job" } else { "left" };
    // Whoever runs the tests may have started them by nohup(1).
    sys::reset(libc::SIGHUP);
    let child = sys::fork();
    if child.is_none() {
        match mode.as_str() {
            // SAFETY: no arguments, and two integers.
            "own" if unsafe { libc::setsid() } < 0 => die("setsid"),
            "nohup" => {
                // SAFETY: SIG_IGN runs no code of ours.
                unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
            }
            _ => {}
        }
        exec(&Path::new(place).join(program), &["leak-sleeper", mark]);
    }
}

/// A process that a session leaves behind, as a program: writes its pid to a file and sleeps until the file is gone.
pub(crate) fn sleeper(args: &[String]) {
    let Some(mark) = args.first() else { die_with("arguments of leak-sleeper", libc::EINVAL) };
    let written = fs::write(mark, format!("{}\n", sys::getpid()));
    if written.is_err() {
        die_with("writing the pid", libc::EIO);
    }
    while Path::new(mark).exists() {
        rest(50);
    }
}
