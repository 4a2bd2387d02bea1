//! The report as sections: what the text, Markdown and HTML have in common.
//!
//! `critical_path` and `findings` (failures, zombies, leftovers) have the larger ones.

mod critical_path;
mod findings;

use self::{
    critical_path::path,
    findings::{failures, leftovers, zombies},
};
use crate::job::{
    Comparison,
    cost::Sum,
    report::{Consumer, Report},
};
use crate::{export::fitting, verdict::duration};

/// A part of the report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::job) struct Section {
    pub(in crate::job) title: &'static str,
    /// Sentences before the table.
    pub(in crate::job) text: Vec<String>,
    pub(in crate::job) table: Option<Table>,
    /// Sentences after it.
    pub(in crate::job) after: Vec<String>,
}

/// A table. The last column is text, all before it are figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::job) struct Table {
    pub(in crate::job) heads: Vec<&'static str>,
    pub(in crate::job) rows: Vec<Vec<String>>,
}

/// The most columns of a command line in a row; JSON has all of it.
const MOST_COMMAND: usize = 100;

/// Nothing.
const NONE: &str = "-";

/// Returns the sections; tables have at most `most` rows.
pub(in crate::job) fn sections(
    report: &Report,
    comparison: Option<&Comparison>,
    most: usize,
) -> Vec<Section> {
    let mut sections = vec![
        usage(report),
        path(report, most),
        parallelism(report, most),
        consumers("Programs", "PROGRAM", &report.programs, report.cost().cpu_ns, most),
    ];
    if !report.commands.is_empty() {
        let all = report.cost().cpu_ns;
        sections.push(consumers("Command lines", "COMMAND", &report.commands, all, most));
    }
    sections.extend(failures(report, most));
    sections.extend(zombies(report, most));
    sections.extend(leftovers(report, most));
    sections.extend(comparison.map(|comparison| compared(comparison, most)));
    sections.extend(missing(report));
    sections
}

/// Returns the first line.
pub(in crate::job) fn headline(report: &Report) -> String {
    let wall = duration(report.wall_ns);
    format!("{}: {} after {wall}", report.name, report.exit_in_words())
}

/// A figure that may be a lower bound.
fn figure(ns: u64, at_least: bool) -> String {
    format!("{}{}", if at_least { ">" } else { "" }, duration(ns))
}

fn usage(report: &Report) -> Section {
    let (all, counts) = (&report.usage.all, &report.processes);
    let at_least = if report.at_least { "at least " } else { "" };
    let made = |count: u64, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    let mut text = vec![format!(
        "{at_least}{}, at most {} at once; {}; {}; {} minor and {} major page faults.",
        made(counts.made, "process", "processes"),
        counts.most_at_once,
        made(counts.threads_made, "more thread", "more threads"),
        made(counts.execs, "exec", "execs"),
        all.cost.minor_faults,
        all.cost.major_faults,
    )];
    if report.wall_ns > 0 {
        let cpus = tenths(all.cost.cpu_ns, report.wall_ns);
        text.push(match report.cpus {
            Some(all) => format!("On average {cpus} of {all} CPUs ran it."),
            None => format!("On average {cpus} CPUs ran it; how many it could use is not known."),
        });
    }
    let rows = [
        ("waited for, as in time(1)", &report.usage.waited_for),
        ("autoreaped: in no rusage", &report.usage.autoreaped),
        ("orphaned: reaped by others", &report.usage.orphaned),
        ("still there at the end", &report.usage.left),
    ];
    let mut table = Table { heads: vec!["CPU", "USER", "SYSTEM", "QUEUE", "PROC", "WHO"], rows: Vec::new() };
    table
        .rows
        .extend(rows.into_iter().filter(|(_, sum)| sum.processes > 0).map(|(who, sum)| sum_row(who, sum)));
    if table.rows.len() > 1 {
        table.rows.push(sum_row("together", all));
    }
    Section { title: "Usage", text, table: Some(table), after: Vec::new() }
}

fn tenths(part: u64, of: u64) -> String {
    let tenths = u128::from(part) * 10 / u128::from(of.max(1));
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn sum_row(who: &str, sum: &Sum) -> Vec<String> {
    let cost = &sum.cost;
    vec![
        figure(cost.cpu_ns, cost.at_least),
        duration(cost.user_ns),
        duration(cost.system_ns),
        duration(cost.run_delay_ns),
        sum.processes.to_string(),
        who.into(),
    ]
}

/// Returns the end of a row that names a command line.
fn shown_command(command: Option<&str>) -> String {
    match command {
        None | Some("") => String::new(),
        Some(command) => format!(": {}", shortened(command)),
    }
}

fn shortened(command: &str) -> String {
    let start = fitting(command, MOST_COMMAND);
    if start.len() < command.len() { format!("{start}...") } else { command.to_owned() }
}

fn parallelism(report: &Report, most: usize) -> Section {
    let Report { parallelism, wall_ns, cpus, .. } = report;
    let mut text = Vec::new();
    if let (Some(cpus), Some(unused_ns)) = (cpus, parallelism.unused_cpu_ns) {
        text.push(format!("The job did not use {} of the time of its {cpus} CPUs.", duration(unused_ns)));
    }
    let share = percent(parallelism.alone_ns, *wall_ns);
    text.push(format!(
        "For {} ({share} of the time) one process worked alone, and all others of the job waited for a child:",
        duration(parallelism.alone_ns)
    ));
    let rows = parallelism
        .alone
        .iter()
        .take(most.min(8))
        .map(|alone| {
            let waited = alone.waited.as_deref().unwrap_or("the job's starter");
            let command = shown_command(alone.command.as_deref());
            let who = format!("{} ({}), made by {waited}{command}", alone.name, alone.pid);
            vec![duration(alone.ns), percent(alone.ns, *wall_ns), who]
        })
        .collect();
    let table = Some(Table { heads: vec!["TIME", "SHARE", "WORKED ALONE"], rows });
    Section { title: "Lost parallelism", text, table, after: Vec::new() }
}

fn percent(part: u64, of: u64) -> String {
    format!("{} %", (u128::from(part) * 100 + u128::from(of) / 2) / u128::from(of.max(1)))
}

fn consumers(
    title: &'static str,
    head: &'static str,
    consumers: &[Consumer],
    all: u64,
    most: usize,
) -> Section {
    let rows = consumers
        .iter()
        .take(most)
        .map(|consumer| {
            let Consumer { name, execs, sum } = consumer;
            vec![
                figure(sum.cost.cpu_ns, sum.cost.at_least),
                percent(sum.cost.cpu_ns, all),
                execs.to_string(),
                sum.processes.to_string(),
                shortened(name),
            ]
        })
        .collect();
    let after = match consumers.len().saturating_sub(most) {
        0 => Vec::new(),
        more => vec![format!("and {more} more; --report FILE.json has them")],
    };
    let table = Some(Table { heads: vec!["CPU", "SHARE", "EXECS", "PROC", head], rows });
    Section { title, text: Vec::new(), table, after }
}

fn compared(comparison: &Comparison, most: usize) -> Section {
    let row = |change: &crate::job::report::compare::Change| {
        vec![change.before_in_words(), change.after_in_words(), change.grown_in_words(), change.what.clone()]
    };
    let rows: Vec<_> = comparison.changes.iter().take(most.max(12)).map(row).collect();
    let text = vec![format!("{} of {}, {}:", comparison.name, comparison.started, comparison.exit)];
    let table = Some(Table { heads: vec!["BEFORE", "NOW", "CHANGE", "WHAT"], rows });
    Section { title: "Compared with", text, table, after: Vec::new() }
}

fn missing(report: &Report) -> Option<Section> {
    let mut text: Vec<_> = report
        .lost
        .iter()
        .map(|loss| {
            let count = loss.count.map_or_else(|| "an unknown number of".into(), |count| count.to_string());
            format!("{count} events were lost ({}): figures are lower bounds.", loss.place)
        })
        .collect();
    text.extend(report.notes.iter().cloned());
    (!text.is_empty()).then(|| Section { title: "Notes", text, ..Section::default() })
}
