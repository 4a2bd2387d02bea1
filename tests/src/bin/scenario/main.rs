//! Runs one scenario with real processes, and prints what it did and what the kernel returned, as NDJSON.
//!
//! The facts are the oracle: a test compares them with taskscope's output about the same tasks. Where a state must last, the
//! scenario prints a `pause` and continues when it reads a line from stdin.
//!
//! It needs only /proc, /sys and /tmp: a scenario that calls execve(2) executes itself.

mod ends;
mod lives;
mod situations;
mod tools;

use ends::{deaths, enforced, exits, indirect, scopes, senders, stops};
use fact::Fact;
use lives::{
    basic, clones, crowd, executables, jobs, kernel, namespaces, naming, reparenting, sched, storms, threads,
    uring, usage,
};
use situations::{
    blameless, bomb, held, hogs, leaks, limits, parents, ptrace, strangers, terminal, verdicts, zombies,
};
use tools::{actor, cgroups, fact, owing, proc, sys};

/// A scenario: its name, what it shows, and the act.
type Entry = (&'static str, &'static str, fn(&[String]));

/// Every scenario by family.
const FAMILIES: [&[Entry]; 33] = [
    basic::SCENARIOS,
    blameless::SCENARIOS,
    bomb::SCENARIOS,
    clones::SCENARIOS,
    crowd::SCENARIOS,
    deaths::SCENARIOS,
    enforced::SCENARIOS,
    executables::SCENARIOS,
    exits::SCENARIOS,
    held::SCENARIOS,
    hogs::SCENARIOS,
    indirect::SCENARIOS,
    jobs::SCENARIOS,
    kernel::SCENARIOS,
    leaks::SCENARIOS,
    limits::SCENARIOS,
    namespaces::SCENARIOS,
    naming::SCENARIOS,
    parents::SCENARIOS,
    ptrace::SCENARIOS,
    reparenting::SCENARIOS,
    sched::SCENARIOS,
    scopes::SCENARIOS,
    senders::SCENARIOS,
    stops::SCENARIOS,
    storms::SCENARIOS,
    strangers::SCENARIOS,
    terminal::SCENARIOS,
    threads::SCENARIOS,
    uring::SCENARIOS,
    usage::SCENARIOS,
    verdicts::SCENARIOS,
    zombies::SCENARIOS,
];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = args.split_first() else {
        eprintln!("usage: scenario NAME [ARGUMENT...]; `scenario list` names them");
        std::process::exit(2);
    };
    match name.as_str() {
        "list" => list(),
        // All processes that the scenario spawns get this name.
        "named" => {
            let Some((hex, [name, rest @ ..])) = rest.split_first() else {
                eprintln!("usage: scenario named HEX NAME [ARGUMENT...]");
                std::process::exit(2);
            };
            actor::name_all(hex);
            act(name, rest);
        }
        // The program that scenarios exec.
        "report" => basic::report(rest),
        "leak-session" => leaks::session(rest),
        "leak-sleeper" => leaks::sleeper(rest),
        _ => act(name, rest),
    }
}

fn list() {
    for (name, shows, _) in FAMILIES.iter().copied().flatten() {
        println!("{name:<24} {shows}");
    }
}

fn act(name: &str, args: &[String]) {
    let Some((_, _, run)) = FAMILIES.iter().copied().flatten().find(|(known, ..)| *known == name) else {
        eprintln!("scenario: no scenario is called `{name}`; `scenario list` names them");
        std::process::exit(2);
    };
    let me = sys::getpid();
    actor::announce("scenario", me, me);
    run(args);
    Fact::new("done").emit();
}

/// Returns the argument at `index` as a number, or `default` if there is none.
fn number(args: &[String], index: usize, default: i32) -> i32 {
    let Some(text) = args.get(index) else { return default };
    text.parse().unwrap_or_else(|_| {
        eprintln!("scenario: argument `{text}` is not a number");
        std::process::exit(2);
    })
}
