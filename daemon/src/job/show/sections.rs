//! The report as sections: what the text, Markdown and HTML have in common.

use crate::job::{
    Comparison,
    cost::Sum,
    path::Edge,
    report::{Consumer, Failure, Leftover, Report, Step, StepTime},
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

/// Steps of the path shorter than this part of it are shown together.
const SHORT_STEP: u64 = 100;

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

fn path(report: &Report, most: usize) -> Section {
    let path = &report.critical_path;
    if path.steps.is_empty() {
        let text = vec![no_path(report)];
        return Section { title: "Critical path", text, ..Section::default() };
    }
    let text = vec![format!(
        "{} in {} steps decided how long it took: {}.",
        duration(path.time.wall_ns),
        path.steps.len(),
        in_words(&path.time)
    )];
    let mut table = Table { heads: vec!["AT", "TIME", "CPU", "QUEUE", "ASLEEP", "STEP"], rows: Vec::new() };
    for shown in shown_steps(&path.steps, path.time.wall_ns, most) {
        table.rows.push(shown);
    }
    let mut after = Vec::new();
    if path.time.estimated {
        after.push(
            "~: the kernel's figures are of a whole process, which was on the path in part, or had threads."
                .into(),
        );
    }
    Section { title: "Critical path", text, table: Some(table), after }
}

/// Says why there is no critical path.
fn no_path(report: &Report) -> String {
    match &report.past {
        Some(past) if past.running > 0 => "None yet: it is still running.".into(),
        Some(past) if past.roots > 1 => {
            format!("None: {} processes were started by others, so no single one decided.", past.roots)
        }
        _ => "Not known: the start or the end of the command was not seen.".into(),
    }
}

/// Returns the parts of a time that are not nothing.
fn in_words(time: &StepTime) -> String {
    let about = if time.estimated { "~" } else { "" };
    let parts = [
        (time.cpu_ns, "on a CPU"),
        (time.run_queue_ns, "in the run queue"),
        (time.uninterruptible_ns.unwrap_or(0), "in uninterruptible sleep"),
        (time.asleep_ns, "asleep for a reason that is not known (disk, lock, pipe, timer)"),
        (time.unknown_ns, "not known"),
    ];
    let parts: Vec<_> = parts
        .into_iter()
        .filter(|&(ns, _)| ns > 0)
        .map(|(ns, what)| format!("{about}{} {what}", duration(ns)))
        .collect();
    parts.join(", ")
}

/// Long steps have rows of their own; the short ones between two of them are one row.
fn shown_steps(steps: &[Step], wall_ns: u64, most: usize) -> Vec<Vec<String>> {
    let mut longest: Vec<u64> = steps.iter().map(|step| step.time.wall_ns).collect();
    longest.sort_unstable_by(|a, b| b.cmp(a));
    let least = longest.get(most).copied().unwrap_or(0).saturating_add(1).max(wall_ns / SHORT_STEP);
    let mut rows = Vec::new();
    let mut short: Vec<&Step> = Vec::new();
    for step in steps {
        if step.time.wall_ns < least {
            short.push(step);
            continue;
        }
        rows.extend(short_row(&std::mem::take(&mut short)));
        rows.push(step_row(step.at_ns, &step.time, step_in_words(step)));
    }
    rows.extend(short_row(&short));
    rows
}

fn short_row(steps: &[&Step]) -> Option<Vec<String>> {
    let first = steps.first()?;
    if let [only] = steps {
        return Some(step_row(only.at_ns, &only.time, step_in_words(only)));
    }
    let mut time = StepTime { uninterruptible_ns: Some(0), ..StepTime::default() };
    for step in steps {
        time.add(&step.time);
    }
    let mut names: Vec<&str> = Vec::new();
    for step in steps {
        if !names.contains(&&*step.name) {
            names.push(&step.name);
        }
    }
    let more = if names.len() > 4 { ", ..." } else { "" };
    names.truncate(4);
    Some(step_row(first.at_ns, &time, format!("{} short steps: {}{more}", steps.len(), names.join(", "))))
}

fn step_row(at_ns: u64, time: &StepTime, what: String) -> Vec<String> {
    let about = |ns: u64| match (ns, time.estimated) {
        (0, _) => NONE.to_owned(),
        (_, true) => format!("~{}", duration(ns)),
        (_, false) => duration(ns),
    };
    let asleep = time.not_running_ns();
    vec![
        duration(at_ns),
        duration(time.wall_ns),
        about(time.cpu_ns),
        about(time.run_queue_ns),
        about(asleep),
        what,
    ]
}

fn step_in_words(step: &Step) -> String {
    let edge = match step.edge {
        Edge::Fork => ", forks",
        Edge::Exec => ", execs",
        Edge::ExecFreesParent => ", execs (vfork)",
        Edge::Exit => ", exits",
        Edge::End => ", ends",
    };
    let command = shown_command(step.command.as_deref());
    format!("{} ({}){edge}{command}", step.name, step.pid)
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
        text.push(format!("{cpus} CPUs could have worked {} more in this time.", duration(unused_ns)));
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

fn failures(report: &Report, most: usize) -> Option<Section> {
    let failures = &report.failures;
    if failures.count == 0 {
        return None;
    }
    let row = |failure: &Failure| {
        let how = match (&failure.signal, failure.code) {
            (Some(signal), _) => signal.clone(),
            (None, Some(code)) => format!("exit {code}"),
            (None, None) => "?".into(),
        };
        let cause = failure.cause.as_ref().map(|cause| format!(", {cause}")).unwrap_or_default();
        let parent = failure.parent.as_ref().map(|parent| format!(", made by {parent}")).unwrap_or_default();
        let command = shown_command(failure.command.as_deref());
        let who = format!("{} ({}){cause}{parent}{command}", failure.name, failure.pid);
        vec![duration(failure.at_ns), how, who]
    };
    let rows: Vec<_> = failures.first.iter().take(most).map(row).collect();
    let more = failures.count.saturating_sub(rows.len() as u64);
    let after = if more > 0 { vec![format!("and {more} more")] } else { Vec::new() };
    let text = vec![format!("{} of {} processes failed.", failures.count, report.processes.made)];
    let table = Some(Table { heads: vec!["AT", "HOW", "PROCESS"], rows });
    Some(Section { title: "Failures", text, table, after })
}

fn zombies(report: &Report, most: usize) -> Option<Section> {
    let zombies = &report.zombies;
    if zombies.count == 0 {
        return None;
    }
    let text = vec![format!(
        "{} ended children were left unreaped by their parents; {} still are.",
        zombies.count, zombies.left
    )];
    let rows = zombies
        .parents
        .iter()
        .take(most)
        .map(|parent| {
            let who = format!("{} ({})", parent.name, parent.pid);
            vec![parent.zombies.to_string(), duration(parent.longest_ns), who]
        })
        .collect();
    let table = Some(Table { heads: vec!["ZOMBIES", "LONGEST", "PARENT"], rows });
    Some(Section { title: "Zombies", text, table, after: Vec::new() })
}

fn leftovers(report: &Report, most: usize) -> Option<Section> {
    if report.leftovers.is_empty() {
        return None;
    }
    let count = report.leftovers.len();
    let what = if count == 1 { "1 process is" } else { "processes are" };
    let text = if count == 1 {
        vec![format!("{what} left of the job.")]
    } else {
        vec![format!("{count} {what} left of the job.")]
    };
    let row = |left: &Leftover| {
        let indent = "  ".repeat(left.depth.min(20) as usize);
        let zombie = if left.zombie { ", a zombie" } else { "" };
        let parent = match left.parent_pid {
            Some(parent) if left.depth == 0 => format!(", parent is now {parent}"),
            _ => String::new(),
        };
        let killed = left.killed.as_ref().map(|killed| format!(", {killed}")).unwrap_or_default();
        vec![
            left.pid.to_string(),
            duration(left.age_ns),
            duration(left.cpu_ns),
            format!("{indent}{}{zombie}{parent}{killed}", left.name),
        ]
    };
    let rows: Vec<_> = report.leftovers.iter().take(most.max(20)).map(row).collect();
    let more = count.saturating_sub(rows.len());
    let after = if more > 0 { vec![format!("and {more} more")] } else { Vec::new() };
    let table = Some(Table { heads: vec!["PID", "AGE", "CPU", "PROCESS"], rows });
    Some(Section { title: "Leftovers", text, table, after })
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
