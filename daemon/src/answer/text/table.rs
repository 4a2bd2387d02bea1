//! A table: columns as wide as their widest cell, cut at the width of the terminal.

use std::fmt::Write as _;

use super::{Ink, Style, columns, fitting};

/// A column's title, and whether it has numbers, which are aligned at the right.
pub(super) type Head = (&'static str, bool);

/// Appends a table whose cells are escaped already. A column that has `-` in all rows is left out.
pub(super) fn table(heads: &[Head], rows: &[Vec<String>], style: Style, out: &mut String) {
    let cells_of = |n: usize| rows.iter().filter_map(move |row| row.get(n));
    let shown: Vec<(usize, bool, usize)> = heads
        .iter()
        .enumerate()
        .filter(|(n, _)| cells_of(*n).any(|cell| cell != "-"))
        .map(|(n, (title, is_number))| {
            (n, *is_number, cells_of(n).map(|cell| columns(cell)).fold(columns(title), usize::max))
        })
        .collect();
    let mut line = |cells: &[String], ink: Option<Ink>| {
        let mut text = String::new();
        for (cell, is_number, width) in
            shown.iter().filter_map(|&(n, is_number, width)| Some((cells.get(n)?, is_number, width)))
        {
            let pad = " ".repeat(width.saturating_sub(columns(cell)));
            let separator = if text.is_empty() { "" } else { "  " };
            let (before, after) = if is_number { (pad.as_str(), "") } else { ("", pad.as_str()) };
            let _ = write!(text, "{separator}{before}{cell}{after}");
        }
        let cut = fitting(text.trim_end(), style.width.unwrap_or(usize::MAX));
        match ink {
            Some(ink) => out.push_str(&style.paint(ink, cut)),
            None => out.push_str(cut),
        }
        out.push('\n');
    };
    let titles: Vec<String> = heads.iter().map(|(title, _)| (*title).into()).collect();
    line(&titles, Some(Ink::Strong));
    for row in rows {
        line(row, None);
    }
}
