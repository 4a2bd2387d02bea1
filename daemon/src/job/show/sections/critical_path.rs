//! The section of the critical path: its long steps each in a row, the short ones between them together.

use super::{NONE, Section, Table, shown_command};
use crate::{
    job::{
        path::Edge,
        report::{Report, Step, StepTime},
    },
    verdict::duration,
};

/// Steps of the path shorter than this part of it are shown together.
const SHORT_STEP: u64 = 100;

pub(super) fn path(report: &Report, most: usize) -> Section {
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

/// Returns the parts of a time that are not zero.
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
