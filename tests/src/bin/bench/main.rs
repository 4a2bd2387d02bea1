//! Measures what observers cost and what they miss: the same workloads run bare and under each observer in turn, interleaved and
//! repeated.
//!
//! `cargo xtask bench` builds this, fetches the other tools and runs it as root.
#![expect(clippy::cast_precision_loss, reason = "figures for people, far below 2^52")]

mod bpf;
mod budgets;
mod crowd;
mod figure;
mod floor;
mod http;
mod limits;
mod measure;
mod observers;
mod plot;
mod process;
mod relay;
mod table;
mod workload;

use std::{env, fs, path::PathBuf};

use anyhow::{Context as _, bail};
use serde::Serialize;

use self::measure::{growth, idle, latency, programs, replay, storms, viewers};

/// The settings of a run.
pub(crate) struct Setup {
    /// The program under test.
    pub(crate) taskscope: PathBuf,
    /// Other observers that are available, by name.
    pub(crate) rivals: Vec<(String, PathBuf)>,
    /// How often each pair of workload and observer is run.
    pub(crate) rounds: usize,
    /// Whether to run a tenth of everything, as a check.
    pub(crate) quick: bool,
    /// The only part to run; `None` for all.
    only: Option<String>,
}

impl Setup {
    /// Returns how much of a workload is run.
    pub(crate) const fn scaled(&self, count: u64) -> u64 {
        if self.quick { count / 10 } else { count }
    }

    fn wants(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }
}

/// All figures, in base units.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    budgets: Vec<budgets::Row>,
    storms: Vec<storms::Row>,
    programs: Vec<programs::Row>,
    latency: Option<latency::Row>,
    growth: Vec<growth::Row>,
    idle: Vec<idle::Row>,
    replay: Vec<replay::Row>,
    viewers: Vec<viewers::Row>,
}

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    if let [word, kind, count] = args.as_slice()
        && word == "workload"
    {
        return workload::run(kind, count.parse().context("the number of turns")?);
    }
    if let [word, what] = args.as_slice()
        && word == "floor"
    {
        return floor::run(what);
    }
    let setup = setup(&args)?;
    mount_tracefs();
    let (path, config) = observers::PROCESS_CONFIG;
    fs::write(path, config).with_context(|| format!("writing {path}"))?;
    let raised = limits::raise()?;
    let criterion = env::var_os("TASKSCOPE_BENCH_CRITERION").map(PathBuf::from);
    let mut report = Report {
        storms: part(&setup, "storms", storms::measure)?,
        programs: part(&setup, "programs", programs::measure)?,
        latency: part(&setup, "latency", |setup| latency::measure(setup).map(Some))?,
        growth: part(&setup, "growth", growth::measure)?,
        idle: part(&setup, "idle", idle::measure)?,
        replay: part(&setup, "replay", |_| Ok(replay::read(criterion.as_deref())))?,
        viewers: part(&setup, "viewers", viewers::measure)?,
        ..Report::default()
    };
    drop(raised);
    fs::remove_file(path).with_context(|| format!("removing {path}"))?;
    report.budgets = budgets::judge(&report);
    let tables = [
        budgets::table(&report.budgets),
        storms::table(&report.storms),
        programs::table(&report.programs),
        latency::table(report.latency.as_ref()),
        growth::table(&report.growth),
        idle::table(&report.idle),
        replay::table(&report.replay),
        viewers::table(&report.viewers),
    ];
    for table in tables.iter().filter(|table| !table.rows.is_empty()) {
        println!("{}", table.text());
    }
    if let Some(dir) = env::var_os("TASKSCOPE_BENCH_OUTPUT").map(PathBuf::from) {
        let path = dir.join("results.json");
        let text = serde_json::to_string_pretty(&report).context("writing the figures as JSON")?;
        fs::write(&path, text + "\n").with_context(|| format!("writing {}", path.display()))?;
        plot::write(&report, &dir)?;
    }
    Ok(())
}

/// Runs one part, if it is wanted.
fn part<T: Default>(
    setup: &Setup,
    name: &str,
    measure: impl FnOnce(&Setup) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    if setup.wants(name) {
        measure(setup).with_context(|| format!("measuring {name}"))
    } else {
        Ok(T::default())
    }
}

/// Mounts tracefs, which some rivals need, for this process and its children only.
fn mount_tracefs() {
    let path = c"/sys/kernel/tracing";
    // SAFETY: the strings end with NUL; the data may be null. If this fails, the rival that needs tracefs ends by itself.
    unsafe {
        libc::unshare(libc::CLONE_NEWNS);
        libc::mount(
            c"none".as_ptr(),
            c"/".as_ptr(),
            std::ptr::null(),
            libc::MS_REC | libc::MS_PRIVATE,
            std::ptr::null(),
        );
        libc::mount(c"tracefs".as_ptr(), path.as_ptr(), c"tracefs".as_ptr(), 0, std::ptr::null());
    }
}

/// Parses the arguments: `bench ROUNDS [quick] [only:PART] [NAME=PATH...]`.
fn setup(args: &[String]) -> anyhow::Result<Setup> {
    let Some((rounds, rest)) = args.split_first() else {
        bail!("bench ROUNDS [quick] [only:PART] [NAME=PATH...]")
    };
    let itself = Some((observers::ITSELF.to_owned(), env::current_exe().context("finding this program")?));
    let rivals = rest.iter().filter_map(|arg| arg.split_once('='));
    Ok(Setup {
        taskscope: taskscope_tests::setting::taskscope(),
        rivals: rivals.map(|(name, path)| (name.to_owned(), PathBuf::from(path))).chain(itself).collect(),
        rounds: rounds.parse().context("the number of rounds")?,
        quick: rest.iter().any(|arg| arg == "quick"),
        only: rest.iter().find_map(|arg| arg.strip_prefix("only:")).map(str::to_owned),
    })
}
