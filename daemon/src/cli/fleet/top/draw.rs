//! Draws the hosts. Only visible rows are made.

use std::{fmt::Write as _, time::Duration};

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
};

use super::keys::{Choice, HELP, Over};
use crate::{
    answer::text::escape,
    cli::full_screen::{Pen, TerminalCaps, columns, overlay, places, row_at},
    view::{
        Mark, Row,
        fleet::{FleetCounts, FleetView, Layout},
    },
};

/// The least size of a terminal.
const LEAST: (u16, u16) = (40, 8);

/// Rows above and below those of the hosts: two lines about all hosts, the title, the column heads, two lines about the chosen host
/// and the keys.
const AROUND: u16 = 7;

const KEYS: [(&str, &str); 7] = [
    ("q", "quit"),
    ("?", "keys"),
    ("Enter", "open"),
    ("/", "filter"),
    ("s", "sort"),
    ("Space", "pause"),
    ("m", "mouse"),
];

/// Draws the view. `every` is the interval; `None` if each host is asked once.
pub(super) fn draw(
    view: &FleetView,
    every: Option<Duration>,
    choice: &mut Choice,
    caps: TerminalCaps,
    area: Rect,
    out: &mut Buffer,
) {
    let mut pen = Pen { out, caps, area };
    choice.rows = Rect::default();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = format!("the terminal is too small: it needs at least {}x{}", LEAST.0, LEAST.1);
        pen.text(area.x, area.y, &text, Style::new(), area.width);
        return;
    }
    let counts = view.counts();
    head(view, &counts, every, &mut pen);
    foot(view, &counts, choice, &mut pen);
    if let Over::Help(from) = choice.over {
        let body = Rect { y: area.y + 2, height: area.height - 3, ..area };
        overlay("Keys", HELP, from, body, &mut pen);
        return;
    }
    hosts(view, choice, &mut pen);
    let y = area.bottom() - 3;
    for (line, y) in view.details().iter().flatten().zip(y..) {
        let style = if y == area.bottom() - 3 { TerminalCaps::strong() } else { Style::new() };
        pen.text(area.x, y, line, style, area.width);
    }
}

/// Draws two lines about all hosts.
fn head(view: &FleetView, counts: &FleetCounts, every: Option<Duration>, pen: &mut Pen<'_>) {
    let Rect { x, y, width, .. } = pen.area;
    let mut text = format!("taskscope fleet: {} hosts, {} answer", view.hosts(), counts.answered);
    if counts.not_ready > 0 {
        // Writing to a String does not fail.
        let _ = write!(text, ", {} not ready", counts.not_ready);
    }
    pen.text(x, y, &text, TerminalCaps::strong(), width);
    let zombies = format!("{} overdue zombies on {} hosts", counts.zombies, counts.with_zombies);
    let end = x.saturating_add(u16::try_from(columns(&text)).unwrap_or(u16::MAX));
    pen.text_right(end.saturating_add(1), y, &zombies, TerminalCaps::strong());

    let mut parts = Vec::new();
    let mut mark = Mark::None;
    if view.is_paused() {
        mark = Mark::Odd;
        parts.push("PAUSED (Space continues)".to_owned());
    }
    if !counts.errors.is_empty() {
        mark = Mark::Bad;
        let kinds: Vec<String> =
            counts.errors.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        parts.push(format!("no answer: {}", kinds.join(", ")));
    }
    if counts.asked < view.hosts() {
        parts.push(format!("{} not asked yet", view.hosts() - counts.asked));
    }
    if !counts.deaths.is_empty() {
        let causes: Vec<String> =
            counts.deaths.iter().take(4).map(|(cause, count)| format!("{} {count}", escape(cause))).collect();
        parts.push(format!("deaths in 1 min: {}", causes.join(", ")));
    }
    if let Some(every) = every {
        parts.push(format!("each is asked every {}", crate::duration::text(every)));
    } else if parts.is_empty() {
        parts.push("each was asked once".to_owned());
    }
    pen.text(x, y + 1, &format!("{} {}", mark.sign(), parts.join("; ")), pen.caps.of(mark), width);
}

/// Draws the table. The first visible row changes only as far as needed for the chosen row to be visible.
fn hosts(view: &FleetView, choice: &mut Choice, pen: &mut Pen<'_>) {
    let area = pen.area;
    let place = Rect { y: area.y + 2, height: area.height - (AROUND - 2), ..area };
    let of = if view.filter().is_empty() { String::new() } else { format!(" of {}", view.hosts()) };
    let title = format!(" Hosts ({}{of}) sorted by {} ", view.len(), view.order());
    pen.title(place, &title, TerminalCaps::strong());
    if view.is_empty() {
        pen.text(
            place.x + 2,
            place.y + 1,
            "no host contains the filter",
            pen.caps.of(Mark::Faint),
            place.width,
        );
        return;
    }
    let layout = Layout::of(area.width);
    let columns = places(layout.columns(), place.width);
    let heads = layout.columns().iter().map(|column| column.title.to_owned()).collect();
    let heads = Row { mark: Mark::None, cells: heads, target: None };
    let style = pen.caps.of(Mark::Faint).add_modifier(Modifier::UNDERLINED);
    row_at(&heads, &columns, (place, 1), style, pen);
    let rows = usize::from(place.height - 2);
    let (count, selected) = (view.len(), view.selected());
    let least = (selected + 1).saturating_sub(rows);
    let from = choice.first_row.max(least).min(selected).min(count.saturating_sub(rows));
    choice.first_row = from;
    choice.rows = Rect { y: place.y + 2, height: place.height - 2, ..place };
    for (n, below) in (0..rows.min(count - from)).zip(2..) {
        let Some(row) = view.row(from + n, layout) else { continue };
        let mut style = pen.caps.of(row.mark);
        if from + n == selected {
            style = style.add_modifier(Modifier::REVERSED);
        }
        row_at(&row, &columns, (place, below), style, pen);
    }
}

/// Draws how many hosts answered, and the keys, or the filter that is being typed.
fn foot(view: &FleetView, counts: &FleetCounts, choice: &Choice, pen: &mut Pen<'_>) {
    let Rect { x, width, .. } = pen.area;
    let y = pen.area.bottom() - 1;
    if let Some(note) = &choice.note {
        pen.text(x, y, note, TerminalCaps::strong(), width);
        return;
    }
    if choice.over == Over::Typing {
        let text = format!("filter: {}_   Enter keeps it, Esc removes it", escape(view.filter()));
        pen.text(x, y, &text, TerminalCaps::strong(), width);
        return;
    }
    let text = format!("{} of {} answered", counts.answered, view.hosts());
    let mark = if counts.answered < counts.asked { Mark::Bad } else { Mark::None };
    let mut at = pen.text(x, y, &text, pen.caps.of(mark), width) + 2;
    if !view.filter().is_empty() {
        let text = format!("filter: {} (Esc)", escape(view.filter()));
        at = pen.text(at, y, &text, TerminalCaps::strong(), width) + 2;
    }
    for (key, what) in KEYS {
        let Some(next) = pen.key(at, y, key, what) else { break };
        at = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        answer::fleet::{ErrorKind, NoAnswer},
        view::fleet::FleetInput,
    };

    fn picture(view: &FleetView, choice: &mut Choice, width: u16, height: u16) -> Vec<String> {
        let area = Rect { x: 0, y: 0, width, height };
        let mut buffer = Buffer::empty(area);
        let caps = TerminalCaps { colour: true, unicode: true };
        draw(view, Some(Duration::from_secs(2)), choice, caps, area, &mut buffer);
        let line =
            |y| (0..width).filter_map(|x| buffer.cell((x, y))).map(ratatui::buffer::Cell::symbol).collect();
        (0..height).map(line).collect()
    }

    fn view(hosts: usize) -> FleetView {
        let mut view = FleetView::new((0..hosts).map(|n| format!("node-{n:05}").into()));
        let message = "refused: no process listens on 10.0.0.1:9753".to_owned();
        for index in (0..hosts).step_by(3) {
            let answer = Err(NoAnswer { kind: ErrorKind::Refused, message: message.clone() });
            view.apply(FleetInput { index, answer });
        }
        view.refresh();
        view
    }

    #[test]
    fn every_size_has_a_picture_with_the_chosen_host_and_the_keys() {
        let mut view = view(100);
        for steps in [0, 7, 60, 1000] {
            view.move_by(isize::MIN);
            view.move_by(steps);
            let name = view.name(view.chosen().unwrap()).unwrap().to_owned();
            for width in [0, 1, 39, 40, 79, 80, 95, 149, 150, 200] {
                for height in [0, 1, 7, 8, 9, 23, 24, 50, 200] {
                    for over in [Over::Nothing, Over::Typing, Over::Help(3)] {
                        let mut choice = Choice { over, ..Choice::default() };
                        let lines = picture(&view, &mut choice, width, height);
                        if width >= 40 && height >= 8 && choice.over == Over::Nothing {
                            let rows = &lines[4..lines.len() - 3];
                            assert!(rows.iter().any(|line| line.contains(&name)), "{name}: {lines:#?}");
                            assert!(lines.last().unwrap().starts_with("0 of 100 answered"), "{lines:#?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn ten_thousand_hosts_are_drawn_without_a_delay() {
        let mut view = view(10_000);
        view.set_filter("node".into());
        let began = std::time::Instant::now();
        for n in 0..10 {
            let answer = Err(NoAnswer { kind: ErrorKind::Timeout, message: "timeout".into() });
            view.apply(FleetInput { index: n * 7, answer });
            view.refresh();
            picture(&view, &mut Choice::default(), 200, 50);
        }
        // A release build takes a few ms for each; five frames a second are drawn.
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }
}
