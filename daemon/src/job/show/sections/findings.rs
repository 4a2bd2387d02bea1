//! The sections of what went wrong: failures, zombies, and processes that the job left.

use super::{Section, Table, shown_command};
use crate::{
    job::report::{Failure, Leftover, Report},
    verdict::duration,
};

pub(super) fn failures(report: &Report, most: usize) -> Option<Section> {
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

pub(super) fn zombies(report: &Report, most: usize) -> Option<Section> {
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

pub(super) fn leftovers(report: &Report, most: usize) -> Option<Section> {
    if report.leftovers.is_empty() {
        return None;
    }
    let count = report.leftovers.len();
    let text = if count == 1 {
        vec!["1 process of the job is left.".to_owned()]
    } else {
        vec![format!("{count} processes of the job are left.")]
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
