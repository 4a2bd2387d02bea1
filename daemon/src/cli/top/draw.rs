//! The view as characters. Only rows that are seen are made.

use std::fmt::Write as _;

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
};

use super::keys::{Choice, Over};
use crate::{
    answer::text::escape,
    verdict::duration,
    view::{Column, Mark, Pane, Row, View},
};

/// Rows of a pane that is not alone, at least: title, heads and a little more.
const LEAST: u16 = 4;

/// From so many columns on panes stand side by side.
const WIDE: u16 = 150;

/// In which order panes get room where there is little.
const IMPORTANT: [Pane; 6] =
    [Pane::Culprits, Pane::Tree, Pane::Deaths, Pane::Events, Pane::Blocked, Pane::Reparented];

const KEYS: [(&str, &str); 9] = [
    ("q", "quit"),
    ("?", "keys"),
    ("Tab", "pane"),
    ("Enter", "story"),
    ("/", "filter"),
    ("s", "sort"),
    ("f", "fold"),
    ("p", "parent"),
    ("c", "culprit"),
];

/// What the terminal takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) colour: bool,
    pub(super) unicode: bool,
}

impl Look {
    /// Colours that differ in brightness and not by red and green alone; a sign or a word stands beside each.
    fn of(self, mark: Mark) -> Style {
        let style = Style::new();
        match mark {
            Mark::Bad if self.colour => style.fg(Color::LightRed).add_modifier(Modifier::BOLD),
            Mark::Odd if self.colour => style.fg(Color::Yellow),
            Mark::Bad => style.add_modifier(Modifier::BOLD),
            Mark::Faint if self.colour => style.fg(Color::Cyan),
            Mark::None | Mark::Odd | Mark::Faint => style,
        }
    }

    const fn strong() -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }
}

/// Draws all of it; says whether the tree is to be seen.
pub(super) fn draw(view: &View, choice: &mut Choice, look: Look, area: Rect, out: &mut Buffer) -> bool {
    let mut pen = Pen { out, look, area };
    if area.height < 5 || area.width < 40 {
        pen.text(area.x, area.y, "the terminal is too small: 40x5 at least", Style::new(), area.width);
        return false;
    }
    let top = head(view, &mut pen);
    foot(view, choice, &mut pen);
    let body = Rect { y: area.y + top, height: area.height.saturating_sub(top + 1), ..area };
    if let Over::Text(title, text, from) = &choice.over {
        overlay(title, text, *from, body, &mut pen);
        return false;
    }
    let (places, hidden) = arrange(view, choice.alone, body);
    for &(pane, place) in &places {
        if pane == view.focus() {
            choice.page = usize::from(place.height.saturating_sub(2));
        }
        pane_at(view, pane, place, &mut pen);
    }
    if !hidden.is_empty() {
        let names: Vec<String> = hidden
            .iter()
            .map(|pane| format!("{} {} ({})", *pane as usize + 1, pane.title(), view.len(*pane)))
            .collect();
        let y = body.y + body.height.saturating_sub(1);
        pen.text(area.x, y, &format!("more: {}", names.join("   ")), look.of(Mark::Faint), area.width);
    }
    places.iter().any(|(pane, _)| *pane == Pane::Tree)
}

/// Writes within an area.
struct Pen<'a> {
    out: &'a mut Buffer,
    look: Look,
    area: Rect,
}

impl Pen<'_> {
    /// Writes text that is escaped already, in at most `width` columns; what does not fit ends in a sign. Returns the next column.
    fn text(&mut self, x: u16, y: u16, text: &str, style: Style, width: u16) -> u16 {
        let width = width.min(self.area.right().saturating_sub(x));
        if y >= self.area.bottom() || width == 0 {
            return x;
        }
        let (end, _) = self.out.set_stringn(x, y, text, usize::from(width), style);
        if columns(text) > usize::from(width) {
            let sign = if self.look.unicode { "…" } else { ">" };
            self.out.set_stringn(x + width - 1, y, sign, 1, style);
        }
        end
    }
}

/// Columns that a text takes in a terminal.
fn columns(text: &str) -> usize {
    ratatui::text::Span::raw(text).width()
}

/// Who observes, how far that can be trusted, and the limits on pids; returns how many rows that takes.
fn head(view: &View, pen: &mut Pen<'_>) -> u16 {
    let Rect { x, y, width, height, .. } = pen.area;
    let (look, mut next) = (pen.look, y);
    if let Some(health) = view.health() {
        let counts =
            format!("{} tasks  {} processes  {} zombies", health.tasks, health.processes, health.zombies);
        let observer = format!("{}, up {}", escape(&health.observer), duration(health.uptime_ns));
        pen.text(x, next, &observer, Look::strong(), width);
        let at = usize::from(width).saturating_sub(columns(&counts));
        if at > columns(&observer) + 1 {
            pen.text(x + u16::try_from(at).unwrap_or(0), next, &counts, Look::strong(), width);
        }
        next += 1;
        let (mark, text) = trust(view);
        pen.text(x, next, &format!("{} trust  {text}", mark.sign()), look.of(mark), width);
        next += 1;
    } else {
        let why = view.disconnected().unwrap_or("waiting for the first answer");
        pen.text(x, next, &escape(why), Look::strong(), width);
        next += 1;
    }
    let budget = view.budget();
    let most = if height >= 40 { 4 } else { 2 };
    for n in 0..budget.len().min(most) {
        let Some(line) = budget.line(n) else { continue };
        let bar = bar(line.used, look.unicode);
        let mut text = format!("{} pids   {bar} {:>16}  {}", line.mark.sign(), line.numbers, line.what);
        for part in [&line.forecast, &line.consumer] {
            if !part.is_empty() {
                text.push_str("; ");
                text.push_str(part);
            }
        }
        pen.text(x, next, &text, look.of(line.mark), width);
        next += 1;
    }
    next - y
}

fn bar(used: f64, unicode: bool) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 10")]
    let full = ((used * 10.0).round() as usize).min(10);
    let (on, off) = if unicode { ("█", "░") } else { ("#", ".") };
    format!("{}{}", on.repeat(full), off.repeat(10 - full))
}

/// How far what is shown can be trusted.
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
        text.push_str("PAUSED (Space goes on); ");
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

/// The keys, or what is being typed.
fn foot(view: &View, choice: &Choice, pen: &mut Pen<'_>) {
    let Rect { x, width, .. } = pen.area;
    let y = pen.area.bottom() - 1;
    if let Some(note) = choice.note {
        pen.text(x, y, note, Look::strong(), width);
        return;
    }
    if choice.over == Over::Typing {
        let text = format!("filter: {}_   Enter keeps it, Esc ends it", escape(view.filter()));
        pen.text(x, y, &text, Look::strong(), width);
        return;
    }
    let mut at = x;
    if !view.filter().is_empty() {
        let text = format!("filter: {} (Esc)", escape(view.filter()));
        at = pen.text(at, y, &text, Look::strong(), width) + 2;
    }
    for (key, what) in KEYS.into_iter().chain([("z", "zoom"), ("x", "groups"), ("Space", "pause")]) {
        let room = pen.area.right().saturating_sub(at);
        if usize::from(room) < key.len() + what.len() + 1 {
            break;
        }
        at = pen.text(at, y, key, Look::strong().add_modifier(Modifier::REVERSED), room);
        at = pen.text(at + 1, y, what, Style::new(), room) + 2;
    }
}

/// Where each pane stands, and panes without room.
fn arrange(view: &View, alone: bool, body: Rect) -> (Vec<(Pane, Rect)>, Vec<Pane>) {
    let focus = view.focus();
    if alone {
        return (vec![(focus, body)], Vec::new());
    }
    if body.width >= WIDE && body.height >= 6 * LEAST {
        let half = body.width / 2;
        let left = Rect { width: half - 1, ..body };
        let right = Rect { x: body.x + half + 1, width: body.width - half - 1, ..body };
        let mut places = stack(view, &[Pane::Culprits, Pane::Deaths, Pane::Blocked, Pane::Reparented], left);
        places.extend(stack(view, &[Pane::Tree, Pane::Events], right));
        return (places, Vec::new());
    }
    let fits = usize::from(body.height.saturating_sub(1) / (LEAST + 1)).clamp(1, 6);
    let mut shown = vec![focus];
    for pane in IMPORTANT {
        if shown.len() < fits && !shown.contains(&pane) {
            shown.push(pane);
        }
    }
    let hidden: Vec<Pane> = Pane::ALL.into_iter().filter(|pane| !shown.contains(pane)).collect();
    shown.sort_by_key(|pane| *pane as usize);
    let height = body.height - u16::from(!hidden.is_empty());
    (stack(view, &shown, Rect { height, ..body }), hidden)
}

/// Panes one below the other: each what it needs, the focus first, the rest to the last that has more.
fn stack(view: &View, panes: &[Pane], area: Rect) -> Vec<(Pane, Rect)> {
    let wants = |pane: Pane| u16::try_from(view.len(pane).max(1)).unwrap_or(u16::MAX).saturating_add(2);
    let mut heights: Vec<u16> = panes.iter().map(|pane| wants(*pane).min(LEAST)).collect();
    let mut left = area.height.saturating_sub(heights.iter().sum());
    // Rows one by one to whoever wants more, so that none starves another; two of three to the focus.
    while left > 0 {
        let mut given = false;
        for (pane, height) in panes.iter().zip(&mut heights) {
            let share = if *pane == view.focus() { 2 } else { 1 };
            let more = wants(*pane).saturating_sub(*height).min(share).min(left);
            *height += more;
            left -= more;
            given |= more > 0;
        }
        if !given {
            break;
        }
    }
    if let Some(last) = heights.last_mut() {
        *last += left;
    }
    let mut y = area.y;
    let mut places = Vec::new();
    for (pane, height) in panes.iter().zip(heights) {
        let height = height.min(area.bottom().saturating_sub(y));
        places.push((*pane, Rect { y, height, ..area }));
        y += height;
    }
    places
}

fn pane_at(view: &View, pane: Pane, place: Rect, pen: &mut Pen<'_>) {
    if place.height == 0 {
        return;
    }
    title(view, pane, place, pen);
    let count = view.len(pane);
    let rows = usize::from(place.height.saturating_sub(2));
    if count == 0 {
        let nothing = if view.filter().is_empty() { pane.nothing() } else { "no row contains the filter" };
        if place.height > 1 {
            pen.text(place.x + 2, place.y + 1, nothing, pen.look.of(Mark::Faint), place.width - 2);
        }
        return;
    }
    let selected = view.selected(pane).unwrap_or(0);
    let from = selected.saturating_sub(rows.saturating_sub(1)).min(count.saturating_sub(rows));
    // A page is moved only as far as is needed for the chosen row to be seen.
    let columns = widths(pane, place.width);
    let heads = pane.columns().iter().map(|column| column.title.to_owned()).collect();
    let heads = Row { mark: Mark::None, cells: heads, target: None };
    let style = pen.look.of(Mark::Faint).add_modifier(Modifier::UNDERLINED);
    row_at(&heads, &columns, (place, 1), style, pen);
    for n in 0..rows.min(count - from) {
        let Some(row) = view.row(pane, from + n) else { continue };
        let mut style = pen.look.of(row.mark);
        if view.focus() == pane && from + n == selected {
            style = style.add_modifier(Modifier::REVERSED);
        }
        row_at(&row, &columns, (place, u16::try_from(n).unwrap_or(u16::MAX).saturating_add(2)), style, pen);
    }
}

fn title(view: &View, pane: Pane, place: Rect, pen: &mut Pen<'_>) {
    let is_focus = view.focus() == pane;
    let rule = if pen.look.unicode { "─" } else { "-" };
    let style = if is_focus { Look::strong() } else { Style::new() };
    pen.text(place.x, place.y, &rule.repeat(usize::from(place.width)), style, place.width);
    let sign = if is_focus { ">" } else { " " };
    let text = format!(
        "{sign}{} {} ({}) sorted by {} ",
        pane as usize + 1,
        pane.title(),
        view.len(pane),
        view.order(pane)
    );
    pen.text(place.x + 1, place.y, &text, style, place.width - 1);
}

/// Columns with their places: the sign before them, one column between them, the last takes what is left.
fn widths(pane: Pane, width: u16) -> Vec<(Column, u16, u16)> {
    let columns = pane.columns();
    let wide = width >= 95;
    let mut at = 2;
    let mut places = Vec::new();
    for (n, column) in columns.iter().enumerate() {
        let own = column.width + if wide { column.extra } else { 0 };
        let own = if n + 1 == columns.len() { width.saturating_sub(at) } else { own };
        places.push((*column, at, own));
        at += own + 1;
    }
    places
}

fn row_at(row: &Row, columns: &[(Column, u16, u16)], at: (Rect, u16), style: Style, pen: &mut Pen<'_>) {
    let (place, below) = at;
    let y = place.y + below;
    if below >= place.height {
        return;
    }
    pen.out.set_style(Rect { x: place.x, y, width: place.width, height: 1 }, style);
    pen.text(place.x, y, &row.mark.sign().to_string(), style, 1);
    for ((column, x, width), cell) in columns.iter().zip(&row.cells) {
        let room = place.width.saturating_sub(*x).min(*width);
        let pad = if column.number {
            room.saturating_sub(u16::try_from(self::columns(cell)).unwrap_or(room))
        } else {
            0
        };
        pen.text(place.x + x + pad, y, cell, style, room - pad);
    }
}

/// A text in place of the panes, folded at the width.
fn overlay(title: &str, text: &str, from: u16, body: Rect, pen: &mut Pen<'_>) {
    let rule = if pen.look.unicode { "─" } else { "-" };
    pen.text(body.x, body.y, &rule.repeat(usize::from(body.width)), Look::strong(), body.width);
    let title = format!(" {title}: Up and Down move, any other key ends ");
    pen.text(body.x + 1, body.y, &title, Look::strong(), body.width - 1);
    let mut y = body.y + 1;
    for line in text.lines().skip(usize::from(from)) {
        for part in folded(line, usize::from(body.width)) {
            if y >= body.bottom() {
                return;
            }
            pen.text(body.x, y, &part, Style::new(), body.width);
            y += 1;
        }
    }
}

/// A line in parts that fit, broken between words; what follows the first begins where the line's text does.
fn folded(line: &str, width: usize) -> Vec<String> {
    let indent = (line.len() - line.trim_start().len()).min(width / 2);
    let mut parts = Vec::new();
    let mut part = " ".repeat(indent);
    for word in line.trim_start().split(' ') {
        if columns(&part) + columns(word) > width && !part.trim().is_empty() {
            parts.push(std::mem::replace(&mut part, " ".repeat(indent)));
        }
        part.push_str(word);
        part.push(' ');
    }
    parts.push(part.trim_end().to_owned());
    parts
}
