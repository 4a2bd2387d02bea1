//! Draws the lines above the panes, and the line below them.

use std::fmt::Write as _;

use ratatui::{layout::Rect, style::Modifier};

use super::{Choice, Over};
use crate::{
    answer::text::escape,
    cli::full_screen::{Pen, TerminalCaps, columns},
    export::{Zone, local},
    verdict::duration,
    view::{Mark, Past, View},
};

const KEYS: [(&str, &str); 10] = [
    ("q", "quit"),
    ("?", "keys"),
    ("Tab", "pane"),
    ("Enter", "explain"),
    ("/", "filter"),
    ("s", "sort"),
    ("t", "time"),
    ("f", "fold"),
    ("p", "parent"),
    ("c", "zombie parent"),
];

/// Draws the observer, its health, and the limits on pids. Returns the number of rows.
pub(super) fn head(view: &View, pen: &mut Pen<'_>) -> u16 {
    let Rect { x, y, width, height, .. } = pen.area;
    let (caps, mut next) = (pen.caps, y);
    if let Some(health) = view.health() {
        let counts = match view.past() {
            Some(past) => format!("then {} processes  {} zombies", past.processes, past.zombies),
            None => {
                format!("{} tasks  {} processes  {} zombies", health.tasks, health.processes, health.zombies)
            }
        };
        let observer = format!("{}, up {}", escape(&health.observer), duration(health.uptime_ns));
        pen.text(x, next, &observer, TerminalCaps::strong(), width);
        let end = x.saturating_add(u16::try_from(columns(&observer)).unwrap_or(u16::MAX));
        pen.text_right(end.saturating_add(1), next, &counts, TerminalCaps::strong());
        next += 1;
        let (mark, text) = trust(view);
        pen.text(x, next, &format!("{} trust  {text}", mark.sign()), caps.of(mark), width);
        next += 1;
    } else {
        let why = view.disconnected().unwrap_or("waiting for the first answer");
        pen.text(x, next, &escape(why), TerminalCaps::strong(), width);
        next += 1;
    }
    if let Some(past) = view.past() {
        let style = caps.of(Mark::Odd).add_modifier(Modifier::BOLD);
        for line in past_lines(past, view.zone()) {
            pen.text(x, next, &line, style, width);
            next += 1;
        }
        return next - y;
    }
    let budget = view.budget();
    let most = if height >= 40 { 4 } else { 2 };
    for n in 0..budget.len().min(most) {
        let Some(line) = budget.line(n) else { continue };
        let bar = bar(line.used, caps.unicode);
        let mut text = format!("{} pids   {bar} {:>16}  {}", line.mark.sign(), line.numbers, line.what);
        for part in [&line.forecast, &line.consumer] {
            if !part.is_empty() {
                text.push_str("; ");
                text.push_str(part);
            }
        }
        pen.text(x, next, &text, caps.of(line.mark), width);
        next += 1;
    }
    next - y
}

/// Returns the lines that say which past time is shown, and how far back all is known.
fn past_lines(past: &Past, zone: Zone) -> [String; 2] {
    let time = |at: Option<i128>| at.map_or_else(|| "?".into(), |at| seconds(at, zone));
    let mut known = match past.known_since_ns {
        Some(since) => format!("* known  since {}", seconds(since, zone)),
        None => "* known  since the first process in the history".into(),
    };
    // Writing to a String does not fail.
    if past.incomplete_before_ns.is_some() {
        let _ = write!(known, "; some that ended before {} are forgotten", time(past.incomplete_before_ns));
    }
    if past.gaps > 0 {
        let _ = write!(known, "; gaps since then: {}", past.gaps);
    }
    [format!("* PAST   {}; t or Esc shows the present", time(past.at_ns)), known]
}

/// Returns a time with its date, to the second.
fn seconds(at_ns: i128, zone: Zone) -> String {
    local(at_ns, zone).chars().take("2026-11-20 14:30:05".len()).collect()
}

fn bar(used: f64, unicode: bool) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 10")]
    let full = ((used * 10.0).round() as usize).min(10);
    let (on, off) = if unicode { ("█", "░") } else { ("#", ".") };
    format!("{}{}", on.repeat(full), off.repeat(10 - full))
}

/// Returns the mark and the text about the daemon's health.
fn trust(view: &View) -> (Mark, String) {
    if let Some(why) = view.disconnected() {
        return (Mark::Bad, format!("NO DAEMON, what is shown is older: {}", escape(why)));
    }
    let Some(health) = view.health() else { return (Mark::None, String::new()) };
    let mut mark = Mark::None;
    // Writing to a String does not fail.
    let mut text = String::new();
    if view.is_paused() {
        mark = Mark::Odd;
        text.push_str("PAUSED (Space continues); ");
    }
    match (&health.not_ready, &health.ready_but) {
        (Some(why), _) => {
            mark = Mark::Bad;
            let _ = write!(text, "NOT READY: {}", escape(why));
        }
        (None, Some(but)) => {
            mark = Mark::Odd;
            text.push_str(&escape(but));
        }
        (None, None) => text.push_str("ready"),
    }
    if health.drift > 0 || health.lost > 0 {
        mark = if mark == Mark::Bad { mark } else { Mark::Odd };
    }
    let _ = write!(text, "; lost {}, repaired {}, drift {}", health.lost, health.repaired, health.drift);
    if let Some(age) = health.canary_age_ns {
        let _ = write!(text, "; canary {} ago", duration(age));
    }
    if health.zombies_unconfirmed > 0 {
        let _ = write!(text, "; {} zombies unconfirmed", health.zombies_unconfirmed);
    }
    if !health.degraded.is_empty() {
        let _ = write!(text, "; degraded: {}", health.degraded.len());
    }
    (mark, text)
}

/// Draws the keys, or the filter that is being typed.
pub(super) fn foot(view: &View, choice: &Choice, pen: &mut Pen<'_>) {
    let Rect { x, width, .. } = pen.area;
    let y = pen.area.bottom() - 1;
    if let Some(note) = &choice.note {
        pen.text(x, y, note, TerminalCaps::strong(), width);
        return;
    }
    if let Over::Time(text) = &choice.over {
        let text =
            format!("time: {}_   10m (ago), 14:30 or 2026-11-20 14:30; Esc: the present", escape(text));
        pen.text(x, y, &text, TerminalCaps::strong(), width);
        return;
    }
    if choice.over == Over::Typing {
        let text = format!("filter: {}_   Enter keeps it, Esc removes it", escape(view.filter()));
        pen.text(x, y, &text, TerminalCaps::strong(), width);
        return;
    }
    let mut at = x;
    if !view.filter().is_empty() {
        let text = format!("filter: {} (Esc)", escape(view.filter()));
        at = pen.text(at, y, &text, TerminalCaps::strong(), width) + 2;
    }
    for (key, what) in
        KEYS.into_iter().chain([("z", "zoom"), ("x", "groups"), ("Space", "pause"), ("m", "mouse")])
    {
        let Some(next) = pen.key(at, y, key, what) else { break };
        at = next;
    }
}
