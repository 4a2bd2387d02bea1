//! A mixed storm for a given time, with provoked losses and restarts of the daemon. It succeeds if every compared tree equals
//! /proc, every sum balances and the daemon's memory does not grow. The table goes to stdout.
//!
//! `soak [MINUTES [FAMILY]]`, `soak kills [COUNT [FAMILY]]`, `soak outputs [MINUTES]`, or `soak faults [SECONDS [FAMILY [FAULT...]]]`;
//! `TASKSCOPE_BIN` and `TASKSCOPE_SCENARIO` say where the programs are.

mod daemon;
mod faults;
mod figures;
mod kills;
mod outputs;
mod storm;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use daemon::{Daemon, Ring};
use figures::Figures;
use taskscope_tests::setting;

/// Kills of the daemon by default.
const KILLS: u32 = 100;

/// Number of storms between two restarts.
const ROUNDS_A_LIFE: u32 = 6;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("faults", rest)) = args.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return of_faults(rest);
    }
    if let Some(("kills", rest)) = args.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        let turns = rest.first().map_or(Ok(KILLS), |text| text.parse());
        let family = rest.get(1).cloned().unwrap_or_else(setting::attach);
        return kills::all(&family, turns.context("not a number of kills")?);
    }
    if let Some(("outputs", rest)) = args.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return outputs::all(minutes(rest.first())?);
    }
    let lasting = minutes(args.first())?;
    let family = args.get(1).cloned().unwrap_or_else(setting::attach);
    let end = Instant::now() + lasting;
    let begun = Instant::now();
    let mut figures = Figures::default();
    let mut life = 0_u32;
    while Instant::now() < end {
        // The rings have one page, a small size, and the default size.
        let ring = [Ring::Usual, Ring::Page, Ring::Usual, Ring::Small][life as usize % 4];
        let mut daemon = Daemon::start(&family, ring)?;
        for round in 0..ROUNDS_A_LIFE {
            if Instant::now() >= end && round > 0 {
                break;
            }
            storm::round(&daemon, life, round, &mut figures)?;
            figures.sample(ring, daemon.rss_kib()?, daemon.peak_kib()?);
        }
        figures.audited(daemon.audits());
        // Every fourth daemon is killed, so that the next one starts after an unclean end.
        if life % 4 == 3 {
            daemon.kill()?;
            figures.kills += 1;
        } else {
            figures.add(&daemon.stop()?)?;
        }
        life += 1;
        eprintln!("soak: {} s, {}", begun.elapsed().as_secs(), figures.line());
    }
    println!("{}", figures.table(&family, begun.elapsed()));
    figures.verdict()
}

/// Parses a number of minutes, 30 by default.
fn minutes(text: Option<&String>) -> anyhow::Result<Duration> {
    let minutes: f64 = match text {
        Some(text) => text.parse().with_context(|| format!("`{text}` is not a number of minutes"))?,
        None => 30.0,
    };
    Ok(Duration::from_secs_f64(minutes * 60.0))
}

/// Seconds that each fault lasts by default.
const FAULT_SECONDS: u64 = 20;

fn of_faults(args: &[String]) -> anyhow::Result<()> {
    let seconds = match args.first() {
        Some(text) => text.parse().with_context(|| format!("`{text}` is not a number of seconds"))?,
        None => FAULT_SECONDS,
    };
    let family = args.get(1).cloned().unwrap_or_else(setting::attach);
    // The command line of a guest has no quotes, so an underscore stands for the blank in a name.
    let names: Vec<String> = args.iter().skip(2).map(|name| name.replace('_', " ")).collect();
    faults::all(&family, Duration::from_secs(seconds), &names)
}
