//! A fork bomb under a limit: as many processes as are allowed, and many that are refused.

use crate::{
    Entry,
    actor::{spawn, wait},
    fact::{Fact, die_with, pause},
    number,
    sys::{self, Channel, Pid},
};

pub(crate) const SCENARIOS: &[Entry] = &[
    ("fork-bomb", "N (200) processes that all fork, limited by a pids cgroup DIR, else for a user", bomb),
    (
        "fork-bomb-burns",
        "N (200) processes that all fork, limited for a user, in cgroups DIR..., until they are killed",
        burns,
    ),
];

/// A user without other processes, because `RLIMIT_NPROC` counts all processes of a user.
const NOBODY_ELSE: u32 = 61_234;

/// The least time for which it forks; it continues until a fork has failed.
const BURNING_NS: i64 = 1_500_000_000;

/// The time after which each process ends by itself, if it was not killed.
const AT_MOST_NS: i64 = 20 * BURNING_NS;

/// Milliseconds between two attempts of one process.
const TURN_MS: u32 = 10;

fn bomb(args: &[String]) {
    let limit = number(args, 0, 200);
    let cgroup = args.get(1);
    sys::be_subreaper();
    let begun = sys::now_ns();
    let refusals = Channel::new();
    let first = spawn("bomb", || {
        sys::lead_a_group();
        if let Some(directory) = cgroup {
            join(directory);
        } else {
            sys::set_limit(libc::RLIMIT_NPROC, limit.unsigned_abs().into());
            sys::become_user(NOBODY_ELSE);
        }
        burn(begun + AT_MOST_NS, refusals)
    });
    refusals.receive();
    while sys::now_ns() < begun + BURNING_NS {
        sys::breathe();
    }
    // A fork in flight fails because a signal is pending: no child escapes.
    sys::kill(-first, libc::SIGKILL);
    wait("scenario", "bomb", first);
    let mut orphans: Vec<Pid> = Vec::new();
    loop {
        match sys::wait4(-1, 0) {
            Ok((pid, _)) => orphans.push(pid),
            Err(libc::ECHILD) => break,
            Err(errno) => die_with("wait4", errno),
        }
    }
    Fact::new("crowd").text("role", "bomb").numbers("pids", &orphans).emit();
}

/// Starts a bomb, which forks until somebody kills it or its time is over, and reaps all of its processes.
fn burns(args: &[String]) {
    let limit = number(args, 0, 200);
    sys::be_subreaper();
    let begun = sys::now_ns();
    let refusals = Channel::new();
    let first = spawn("bomb", || {
        sys::lead_a_group();
        args.iter().skip(1).for_each(|directory| join(directory));
        sys::set_limit(libc::RLIMIT_NPROC, limit.unsigned_abs().into());
        sys::become_user(NOBODY_ELSE);
        burn(begun + AT_MOST_NS, refusals)
    });
    refusals.receive();
    pause("burning");
    let (mut killed, mut others) = (0, 0);
    loop {
        match sys::wait4(-1, 0) {
            Ok((_, status)) if status & 0x7f == libc::SIGKILL => killed += 1,
            Ok(_) => others += 1,
            Err(libc::ECHILD) => break,
            Err(errno) => die_with("wait4", errno),
        }
    }
    Fact::new("burnt").number("first", first).number("killed", killed).number("others", others).emit();
}

/// Runs in every process of the bomb: forks, reaps, and sometimes exits, so that another fork succeeds.
fn burn(until: i64, refusals: Channel) -> i32 {
    let (mut refused, mut reported) = (0, false);
    while sys::now_ns() < until {
        while matches!(sys::wait4(-1, libc::WNOHANG), Ok((pid, _)) if pid > 0) {}
        match sys::clone(0, libc::SIGCHLD) {
            Ok(None) => refused = 0,
            Ok(Some(_)) => {}
            Err(libc::EAGAIN) => {
                refused += 1;
                // A process and its later children write once, so that the pipe never fills.
                if !std::mem::replace(&mut reported, true) {
                    refusals.send(1);
                }
            }
            Err(errno) => return errno,
        }
        if refused > 8 && sys::getpid() % 8 == 0 {
            return 0;
        }
        for _ in 0..TURN_MS {
            sys::breathe();
        }
    }
    0
}

fn join(directory: &str) {
    let file = format!("{directory}/cgroup.procs");
    if let Err(error) = std::fs::write(&file, "0") {
        die_with(&format!("writing {file}"), error.raw_os_error().unwrap_or(0));
    }
}
