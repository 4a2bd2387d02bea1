//! One round: many kinds of lives at once, losses among them, and a comparison while all processes are stopped.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use taskscope_tests::scenario::Scenario;

use crate::{daemon::Daemon, figures::Figures};

/// Scenarios that pause, with the name of the pause.
const STANDING: [(&str, &[&str], &str); 8] = [
    ("zombie", &[], "zombie"),
    ("parent-killed", &["subreaper"], "zombie"),
    ("leader-exits-first", &[], "dead-leader"),
    ("orphan", &[], "orphaned"),
    ("nested-subreapers", &[], "with-inner"),
    ("sibling-thread", &[], "reparented"),
    ("many-threads", &["150"], "all-alive"),
    ("many-orphans", &["200"], "all-alive"),
];

/// Scenarios that do not pause.
const PASSING: [(&str, &[&str]); 3] =
    [("burst", &["1500"]), ("exec-from-thread", &[]), ("exit-group-from-thread", &[])];

/// How long the daemon is stopped in one round, s.
const STOPPED: Duration = Duration::from_secs(20);

fn start(name: &str, args: &[&str]) -> anyhow::Result<Scenario> {
    let beside = std::env::current_exe().context("finding this program")?;
    let built = beside.parent().unwrap_or(Path::new("/")).join("scenario");
    Ok(Scenario::start(&built.to_string_lossy(), name, args))
}

pub(crate) fn round(daemon: &Daemon, life: u32, round: u32, figures: &mut Figures) -> anyhow::Result<()> {
    let mut standing = Vec::new();
    for (name, args, at) in STANDING {
        standing.push((start(name, args)?, at));
    }
    // In one round the daemon is stopped for long, and in every second of the others during the storm.
    let long = round == 2 && life % 2 == 1;
    let stopped = long || round % 2 == 1;
    if stopped {
        daemon.signal(libc::SIGSTOP);
        figures.stops += 1;
    }
    for (scenario, at) in &mut standing {
        scenario.pause(at);
    }
    for (name, args) in PASSING {
        through(&mut start(name, args)?);
    }
    if long {
        std::thread::sleep(STOPPED);
    }
    if stopped {
        daemon.signal(libc::SIGCONT);
    }
    let roots: Vec<i64> =
        standing.iter().map(|(scenario, _)| scenario.facts().role("scenario").pid).collect();
    for &root in &roots {
        figures.compared(daemon.compare(root).with_context(|| format!("life {life}, round {round}"))?);
    }
    for (scenario, _) in &mut standing {
        scenario.go();
        through(scenario);
    }
    drop(standing);
    for root in roots {
        daemon.forgets(root).with_context(|| format!("life {life}, round {round}"))?;
    }
    figures.rounds += 1;
    Ok(())
}

/// Continues a scenario at every pause, until its end.
fn through(scenario: &mut Scenario) {
    while scenario.until(&["pause", "done"])["fact"] == "pause" {
        scenario.go();
    }
}
