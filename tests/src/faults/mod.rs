//! What the daemon does when the machine runs out of a resource: one row per fault.
//!
//! Each row runs the same steps ([`run`]): start a daemon and stopped processes, cause the fault, ask during the fault, end it,
//! and compare the daemon's tree with /proc. The tests of `tests/tests/faults/faults.rs` fail if anything is wrong in a row;
//! `soak faults` prints all rows as a table.

mod answers;
mod clock;
mod cpu;
mod daemon;
mod files;
pub mod limits;
mod memory;
mod pids;
mod row;
mod suspend;
pub mod truth;

use std::{any::Any, process::Command, time::Duration};

pub use self::{
    answers::{Question, questions},
    daemon::Daemon,
    row::Row,
};
use crate::{scenario::Scenario, setting};

/// Ends a fault when it is dropped.
pub type Held = Box<dyn Any>;

/// A fault of the machine, or of the daemon's limits.
pub struct Fault {
    /// Its name in the table.
    pub name: &'static str,
    /// What happens.
    pub what: &'static str,
    /// Whether it would harm a machine with other users.
    pub guest_only: bool,
    /// Whether it takes long or needs a machine of its own, so that only `soak faults` runs it.
    pub long: bool,
    /// Whether canaries work during the fault, so that the daemon must report that it is ready.
    pub stays_ready: bool,
    /// Additional arguments of the daemon.
    args: &'static [&'static str],
    /// Changes the command that starts the daemon.
    prepare: fn(&mut Command, &Place),
    /// Causes the fault.
    inflict: fn(&Case<'_>) -> Result<Held, String>,
}

/// The directory of a daemon.
pub struct Place {
    /// Its directory.
    pub directory: std::path::PathBuf,
}

/// A daemon under a fault, with the means to cause the fault.
pub struct Case<'a> {
    /// The daemon.
    pub daemon: &'a Daemon,
    /// Path of the scenario program, if the environment names none.
    built: &'a str,
}

impl Case<'_> {
    /// Starts a scenario.
    fn scenario(&self, name: &str, args: &[&str]) -> Scenario {
        Scenario::start(self.built, name, args)
    }
}

/// Every row.
pub const FAULTS: [Fault; 15] = [
    NONE,
    pids::CGROUP,
    pids::NPROC,
    pids::THREADS_MAX,
    pids::PID_MAX,
    memory::CGROUP,
    memory::HOST,
    files::DISK_FULL,
    files::EXT4_FULL,
    files::NOFILE,
    cpu::REAL_TIME,
    cpu::LOAD,
    clock::JUMPS,
    clock::SUSPEND,
    clock::STOPPED,
];

/// The row without a fault, for comparison. The other rows have its values where they do not say otherwise.
const NONE: Fault = Fault {
    name: "none",
    what: "nothing, for comparison",
    guest_only: false,
    long: false,
    stays_ready: true,
    args: &[],
    prepare: |_, _| {},
    inflict: |case| {
        case.scenario("burst", &["500"]).finish();
        Ok(Box::new(()))
    },
};

/// Returns the row of that name.
#[must_use]
#[track_caller]
pub fn named(name: &str) -> &'static Fault {
    FAULTS.iter().find(|fault| fault.name == name).unwrap_or_else(|| panic!("there is no fault {name}"))
}

/// The least duration of a fault, during which queries are made.
const SHORT: Duration = Duration::from_secs(2);

/// Causes a fault to a daemon of its own; `Err` is why it cannot be tried here. `built` is `env!("CARGO_BIN_EXE_scenario")`.
pub fn run(fault: &Fault, built: &str, family: &str, lasts: Duration) -> Result<Row, String> {
    if fault.guest_only && !setting::in_vm() {
        return Err("it would harm this machine: only in a guest (cargo xtask vm)".into());
    }
    let mut zombie = Scenario::start(built, "zombie", &[]);
    zombie.pause("zombie");
    let mut threads = Scenario::start(built, "many-threads", &["30"]);
    threads.pause("all-alive");
    let daemon = Daemon::start(family, fault)?;
    let (parent, child) = (zombie.facts().role("scenario").pid, zombie.facts().role("child").pid);
    let questions = answers::questions(parent, child);
    let mut row = Row::new(fault);
    let before = daemon.figures().map_err(|wrong| format!("before the fault: {wrong}"))?;
    daemon.forget_peak();
    let held = (fault.inflict)(&Case { daemon: &daemon, built })?;
    row.under(&daemon, &questions, lasts);
    if daemon.has_ended().is_some() {
        row.after(daemon.stop());
        return Ok(row);
    }
    if fault.stays_ready {
        row.demand_ready(&daemon, "under the fault");
    }
    drop(held);
    row.demand_ready(&daemon, "after the fault");
    let roots = [parent, threads.facts().role("scenario").pid];
    row.after(truth::becomes_proc(&daemon, &roots));
    row.figures(&daemon, &before);
    for mut scenario in [zombie, threads] {
        scenario.go();
        scenario.finish();
    }
    row.after(truth::has_the_zombies_of_proc(&daemon));
    row.after(daemon.stop());
    Ok(row)
}

/// Runs a row as a test, for a short time. Fails on any finding.
#[track_caller]
pub fn check(name: &str, built: &str) {
    let fault = named(name);
    match run(fault, built, &setting::attach(), SHORT) {
        Err(why) if fault.guest_only && !setting::in_vm() => setting::skip(why),
        Err(why) => match why.strip_prefix(SKIPPED) {
            Some(why) => setting::skip(why),
            None => panic!("{name}: {why}"),
        },
        Ok(row) => {
            setting::report(&format!("fault.{name}"), row.line());
            assert!(row.wrong.is_empty(), "{name}: {}\n{}", row.line(), row.wrong.join("\n"));
        }
    }
}

/// The prefix of a reason why this machine cannot cause a fault.
const SKIPPED: &str = "skipped: ";

fn skipped(why: impl std::fmt::Display) -> String {
    format!("{SKIPPED}{why}")
}
