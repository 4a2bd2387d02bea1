//! Limits on pids as text: how full each is, and which processes fill it.

use std::fmt::Write as _;

use super::{Ink, Style, columns, escape};
use crate::{
    answer::limits::{Limit, Limits},
    verdict::duration,
};

/// The most consumers named below each limit.
const NAMED: usize = 3;

/// The least usage, in percent, at which consumers are named. The consumers of the first limit are always named.
const WORTH_NAMING: u64 = 50;

/// The answer as text.
#[must_use]
pub fn limits(answer: &Limits, style: Style) -> String {
    let mut out = String::new();
    if let Some(process) = &answer.process {
        let title = style.wrap(&format!("limits on the forks of {process}"), 0);
        let _ = writeln!(out, "{}", style.paint(Ink::Strong, &title));
    }
    if answer.limits.is_empty() {
        out.push_str("no limit on pids could be read\n");
    }
    let width = answer.limits.iter().map(|limit| columns(&used(limit))).max().unwrap_or(0);
    for (n, limit) in answer.limits.iter().enumerate() {
        line(limit, width, style, &mut out);
        if n == 0 || 100 * limit.used >= WORTH_NAMING * limit.limit {
            consumers(limit, width + 2, style, &mut out);
        }
    }
    for leak in &answer.leaks {
        let text = format!("{}: {}; see taskscope leaks", escape(&leak.process.to_string()), leak.summary);
        let _ = writeln!(out, "{}", style.paint(Ink::Bad, &style.wrap(&text, 4)));
    }
    for missing in &answer.missing {
        let text = style.wrap(&format!("{}; this needs {}", missing.fact, missing.needs), 9);
        let _ = writeln!(out, "unknown: {text}");
    }
    out
}

/// Appends the full limits of another answer.
pub(super) fn full(limits: &[Limit], style: Style, out: &mut String) {
    for limit in limits {
        let (what, used, most, errno) = (limit.what(), limit.used, limit.limit, &limit.errno);
        let text = format!("{what} is full: {used} of {most} used; forks fail with {errno}");
        let _ = writeln!(out, "\n{}", style.paint(Ink::Bad, &style.wrap(&text, 0)));
        consumers(limit, 2, style, out);
        let remedy = style.paint(Ink::Good, &style.wrap(&limit.raise(), 12));
        let _ = writeln!(out, "  {:<10}{remedy}", "remedy");
    }
}

fn used(limit: &Limit) -> String {
    if limit.kind == "pid_namespace" { "dead".into() } else { format!("{} of {}", limit.used, limit.limit) }
}

fn line(limit: &Limit, width: usize, style: Style, out: &mut String) {
    let mut text = limit.what();
    if limit.full {
        let _ = write!(text, ": FULL, forks fail with {}", limit.errno);
    }
    if let Some(refused) = limit.refused.filter(|&refused| refused > 0) {
        let _ = write!(text, "; {refused} forks refused so far");
    }
    if let Some(ns) = limit.full_in_ns {
        let _ = write!(text, "; full in {} at the current growth", duration(ns));
    }
    let text = style.wrap(&text, width + 2);
    let text = if limit.full { style.paint(Ink::Bad, &text) } else { text };
    let _ = writeln!(out, "{:>width$}  {text}", used(limit));
}

fn consumers(limit: &Limit, indent: usize, style: Style, out: &mut String) {
    for consumer in limit.consumers.iter().take(NAMED) {
        let _ = writeln!(out, "{:indent$}{}", "", style.wrap(&consumer.words(), indent));
    }
}
