//! Storms: what an observer makes of them, and they of it.

use anyhow::Context as _;

use super::{
    Setup,
    observers::KINDS,
    process::Cost,
    table::{Table, median},
    workload,
};

/// A storm.
struct Storm {
    kind: &'static str,
    title: &'static str,
    count: u64,
    /// Ends of processes for each turn.
    ends: u64,
}

const STORMS: [Storm; 4] = [
    Storm { kind: "vfork", title: "vfork + exit + wait", count: 20_000, ends: 1 },
    Storm { kind: "exec", title: "fork + exec + exit + wait", count: 1_000, ends: 1 },
    Storm { kind: "threads", title: "thread create + join", count: 20_000, ends: 0 },
    Storm { kind: "switches", title: "pipe ping-pong on one CPU", count: 100_000, ends: 0 },
];

/// All rounds of one observer in one storm.
#[derive(Default)]
struct Rounds {
    times: Vec<f64>,
    costs: Vec<Cost>,
}

/// Runs everything, each round bare first and then under each observer.
pub(crate) fn measure(setup: &Setup) -> anyhow::Result<Table> {
    let columns = [
        "workload",
        "observer",
        "slowdown (min-max)",
        "CPU",
        "CPU a turn",
        "lines",
        "ends seen by name",
        "missed",
        "peak RSS",
    ];
    let mut table = Table::new("Storms: medians, observers interleaved", &columns);
    for storm in &STORMS {
        let count = if setup.quick { storm.count / 10 } else { storm.count };
        let mut bare = Vec::new();
        let mut rounds: Vec<Option<Rounds>> =
            KINDS.iter().map(|kind| kind.is_for(storm.kind, setup).then(Rounds::default)).collect();
        for _ in 0..setup.rounds {
            bare.push(workload::time(storm.kind, count)?.as_secs_f64());
            for (kind, rounds) in KINDS.iter().zip(&mut rounds) {
                let Some(rounds) = rounds else { continue };
                let Some(observer) = kind.start(setup)? else { continue };
                rounds.times.push(workload::time(storm.kind, count)?.as_secs_f64());
                rounds.costs.push(observer.finish().with_context(|| kind.name)?);
            }
        }
        let (bare, least, most) = median(bare);
        let spread = format!("1 ({:.2}-{:.2})", least / bare, most / bare);
        let per_turn = format!("{:.2} us a turn", bare * 1e6 / count as f64);
        let none = || "-".to_owned();
        table.rows.push(vec![
            storm.title.to_owned(),
            format!("none: {per_turn}"),
            spread,
            none(),
            none(),
            none(),
            none(),
            none(),
            none(),
        ]);
        for (kind, rounds) in KINDS.iter().zip(rounds) {
            let Some(rounds) = rounds else { continue };
            table.rows.push(row(storm, kind.name, kind.has_lines, rounds, bare, count));
        }
    }
    Ok(table)
}

fn row(storm: &Storm, name: &str, has_lines: bool, rounds: Rounds, bare: f64, count: u64) -> Vec<String> {
    let (time, least, most) = median(rounds.times);
    let of = |figure: fn(&Cost) -> f64| median(rounds.costs.iter().map(figure).collect()).0;
    let cpu = of(|cost| cost.cpu.as_secs_f64());
    let (lines, hits) = (of(|cost| cost.lines as f64), of(|cost| cost.hits as f64));
    let ends = storm.ends * count;
    let only = |yes: bool, text: String| if yes { text } else { "-".to_owned() };
    vec![
        storm.title.to_owned(),
        name.to_owned(),
        format!("{:.3} ({:.2}-{:.2})", time / bare, least / bare, most / bare),
        format!("{:.0} ms", cpu * 1e3),
        format!("{:.2} us", cpu * 1e6 / count as f64),
        only(has_lines, format!("{lines:.0}")),
        only(has_lines && ends > 0, format!("{hits:.0}")),
        only(has_lines && ends > 0, format!("{:.0}", (ends as f64 - hits).max(0.0))),
        format!("{:.1} MiB", of(|cost| cost.peak_rss as f64) / 1_048_576.0),
    ]
}
