//! Stops of units and containers as text: a sentence, and a line for each process.

use std::fmt::Write as _;

use super::{Ink, Style, columns, escape, moment};
use crate::answer::stop::{StopStory, Stops};

/// Processes of one stop that are shown.
const MOST: usize = 20;

/// The answer as text, the last stop first.
#[must_use]
pub fn stops(answer: &Stops, style: Style) -> String {
    if answer.stops.is_empty() {
        return "no stop of such a unit or container is known\n".into();
    }
    answer.stops.iter().map(|it| stop(it, style)).collect()
}

/// One stop: its time and summary, and, indented, its processes.
#[must_use]
pub fn stop(story: &StopStory, style: Style) -> String {
    const INDENT: usize = 4;
    let time = moment(&story.timestamp, style);
    let ink = match story.outcome.as_str() {
        "by_itself" => Ink::Good,
        "killed" => Ink::Bad,
        _ => Ink::Odd,
    };
    let text = style.wrap_after(&story.summary, columns(&time) + 2, INDENT);
    let mut out = format!("{}  {}\n", style.paint(Ink::Faint, &time), style.paint(ink, &text));
    for process in story.processes.iter().take(MOST) {
        let text = format!("{} {}", process.process, process.summary);
        let _ = writeln!(out, "{:INDENT$}{}", "", style.wrap(&escape(&text), 2 * INDENT));
    }
    let left = story.processes.len().saturating_sub(MOST) as u64 + story.more_processes;
    if left > 0 {
        let _ = writeln!(out, "{:INDENT$}and {left} more processes", "");
    }
    out
}
