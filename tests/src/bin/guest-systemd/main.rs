//! Tests what an operator does with the package on a real system: install, start, reload, upgrade and remove it; and faults of
//! the service in between.
//!
//! `cargo xtask vm --systemd` boots a Debian with systemd as process 1 from a disk; a unit there unpacks
//! this with the packages and starts it. Verdicts go to the second serial port, as those of guest-init.

mod daemon;
mod package;
mod podman;
#[path = "../guest-init/power.rs"]
mod power;
mod privileges;
mod programs;
#[path = "../guest-init/results.rs"]
mod results;
mod run;
mod service;
mod stops;
mod survive;
mod systemctl;

use crate::power::Verdict;
use crate::run::{Run, Step};

/// The steps in order: each begins with the state that the one before it left.
const STEPS: [Step; 18] = [
    ("installs", package::installs),
    ("is_live_as_soon_as_it_is_started", service::starts),
    ("runs_with_few_privileges", privileges::are_few),
    ("observes_and_answers_without_them", service::observes),
    ("writes_flagged_zombies_to_the_journal", service::writes_to_the_journal),
    ("compares_with_the_kernel_without_them", service::resyncs),
    ("reloads", service::reloads),
    ("survives_a_broken_configuration", service::refuses_a_broken_configuration),
    ("names_a_container_that_does_not_reap", podman::names_a_container),
    ("reports_a_unit_that_ignores_sigterm", stops::of_a_unit_that_ignores_sigterm),
    ("reports_an_entry_point_that_is_deaf_to_sigterm", stops::of_an_entry_point_without_a_handler),
    ("runs_as_an_image", podman::runs_the_image),
    ("is_restarted_when_it_stands_still", survive::watchdog),
    ("is_restarted_when_it_is_killed", survive::kill),
    ("leaves_nothing_when_it_stops", survive::stop),
    ("is_upgraded", package::upgrades),
    ("is_removed", package::removes),
    ("is_purged", package::purges),
];

fn main() {
    if !std::path::Path::new(package::DEB).exists() {
        eprintln!("guest-systemd runs only in a test guest: use `cargo xtask vm --systemd`");
        std::process::exit(2);
    }
    let verdict = Run::open("/dev/ttyS1").and_then(|mut run| run.all(&STEPS)).unwrap_or_else(|error| {
        eprintln!("guest-init: {error:#}");
        Verdict::Broken
    });
    power::leave(verdict);
}
