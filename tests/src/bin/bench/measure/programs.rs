//! Measures what the programs cost in the kernel, by the kernel's own statistics, beside an empty program on the same hook in the
//! same run.

use std::fs;

use anyhow::Context as _;
use serde::Serialize;

use crate::{
    Setup,
    bpf::{self, Empty, Info},
    figure::{Spread, median},
    observers::{self, KINDS, Kind},
    table::Table,
    workload,
};

const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// One program in one workload.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) workload: &'static str,
    pub(crate) observer: &'static str,
    pub(crate) program: String,
    pub(crate) runs: f64,
    pub(crate) ns_a_run: Option<Spread>,
}

/// Names of the rows of the empty programs on the same hook, which the kernel calls right before and after our program. The program
/// that is called first has cold caches; the later ones find what the first one loaded.
pub(crate) const EMPTY: [&str; 2] =
    ["(empty, btf tracepoint, called before ours)", "(empty, btf tracepoint, called after ours)"];
/// Name of the row of the empty raw program.
const EMPTY_RAW: &str = "(empty, raw tracepoint, called last)";

/// The former value of `kernel.bpf_stats_enabled`, restored when this is dropped.
struct Statistics(String);

impl Statistics {
    fn on() -> anyhow::Result<Self> {
        let before = fs::read_to_string(SWITCH).with_context(|| format!("reading {SWITCH}"))?;
        fs::write(SWITCH, "1").with_context(|| format!("writing {SWITCH}"))?;
        Ok(Self(before))
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        // Nothing can be done if this fails.
        let _ = fs::write(SWITCH, &self.0);
    }
}

/// A measurement: an observer, the programs that count, and the workloads.
struct Case {
    observer: &'static str,
    is_reported: fn(&str) -> bool,
    /// Whether empty programs are attached beside its own.
    has_empties: bool,
    workloads: &'static [(&'static str, u64)],
}

const SWITCHES: (&str, u64) = ("switches", 100_000);

/// The cases: the default first, then the programs that `--sched` adds, and a rival with the same purpose.
const CASES: [Case; 3] = [
    Case {
        observer: "taskscope run (metrics)",
        is_reported: |_| true,
        has_empties: true,
        workloads: &[SWITCHES, ("vfork", 20_000), ("exec", 1_000)],
    },
    Case {
        observer: observers::SCHED,
        is_reported: |name| name.starts_with("sched_histogram") || name.starts_with("sched_wakeup"),
        has_empties: false,
        workloads: &[SWITCHES],
    },
    Case { observer: observers::RUNQLAT, is_reported: |_| true, has_empties: false, workloads: &[SWITCHES] },
];

/// Measures `taskscope run` and the programs beside it.
pub(crate) fn measure(setup: &Setup) -> anyhow::Result<Vec<Row>> {
    eprintln!("bench: programs in the kernel");
    let _on = Statistics::on()?;
    let mut rows = Vec::new();
    for case in &CASES {
        rows.extend(case.measure(setup)?);
    }
    Ok(rows)
}

impl Case {
    fn measure(&self, setup: &Setup) -> anyhow::Result<Vec<Row>> {
        let kind =
            KINDS.iter().find(|kind| kind.name == self.observer).context("an observer of that name")?;
        let on_switch = if self.has_empties { on_switch(kind, setup)? } else { None };
        let beside = |name| Some((name, Empty::beside(on_switch.as_ref()?).ok()?));
        let mut empties: Vec<_> = beside(EMPTY[0]).into_iter().collect();
        let others: Vec<u32> = bpf::programs().iter().map(|info| info.id).collect();
        let Some(observer) = kind.start(setup, &[])? else { return Ok(Vec::new()) };
        let ours =
            || bpf::programs().into_iter().filter(|info| !others.contains(&info.id)).collect::<Vec<_>>();
        empties.extend(beside(EMPTY[1]));
        if self.has_empties {
            empties.push((EMPTY_RAW, Empty::raw(c"sched_switch").context("an empty raw tracepoint")?));
        }
        let counts = || -> anyhow::Result<Vec<(String, Info)>> {
            let mut all: Vec<_> = ours()
                .into_iter()
                .filter(|info| !info.name.is_empty())
                .map(|info| (info.name.clone(), info))
                .collect();
            for (name, empty) in &empties {
                all.push(((*name).to_owned(), empty.info()?));
            }
            all.retain(|(name, _)| (self.is_reported)(name));
            Ok(all)
        };
        let mut rows = Vec::new();
        for &(kind, count) in self.workloads {
            let mut all: Vec<(String, Vec<f64>, Vec<f64>)> = Vec::new();
            for _ in 0..setup.rounds {
                let before = counts()?;
                workload::time(kind, setup.scaled(count))?;
                for (name, after) in counts()? {
                    let Some((_, before)) = before.iter().find(|(_, info)| info.id == after.id) else {
                        continue;
                    };
                    let (ns, runs) =
                        ((after.run_ns - before.run_ns) as f64, (after.runs - before.runs) as f64);
                    // A program that hardly ran in this workload is left out.
                    if runs < setup.scaled(count) as f64 / 2.0 {
                        continue;
                    }
                    match all.iter_mut().find(|(known, ..)| *known == name) {
                        Some((_, costs, times)) => (costs.push(ns / runs), times.push(runs)).0,
                        None => all.push((name, vec![ns / runs], vec![runs])),
                    }
                }
            }
            rows.extend(all.into_iter().map(|(program, costs, runs)| Row {
                workload: kind,
                observer: self.observer,
                program,
                runs: median(runs).unwrap_or(0.0),
                ns_a_run: Spread::of(costs),
            }));
        }
        observer.finish()?;
        Ok(rows)
    }
}

/// Returns the observer's program on `sched_switch`, whose BTF id the empty program needs.
fn on_switch(kind: &Kind, setup: &Setup) -> anyhow::Result<Option<Info>> {
    let Some(observer) = kind.start(setup, &[])? else { return Ok(None) };
    let found = bpf::programs().into_iter().find(|info| info.name.starts_with("sched_switch"));
    observer.finish()?;
    Ok(found)
}

/// Returns the table for people.
pub(crate) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(
        "Programs in the kernel",
        &["workload", "observer", "program", "runs", "ns a run (least-most)"],
    );
    table.rows.extend(rows.iter().map(|row| {
        let cost = row.ns_a_run.map_or_else(|| "-".to_owned(), |cost| cost.text(0));
        vec![
            row.workload.to_owned(),
            row.observer.to_owned(),
            row.program.clone(),
            format!("{:.0}", row.runs),
            cost,
        ]
    }));
    table
}
