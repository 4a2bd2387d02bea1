//! The report for a terminal.

use std::fmt::Write as _;

use crate::job::{
    Comparison,
    report::Report,
    sections::{Section, Table, headline, sections},
};
use crate::{
    answer::text::escape,
    export::{columns, fitting},
};

/// The most rows of a table.
const MOST_ROWS: usize = 10;

/// Where text begins.
const INDENT: &str = "  ";

/// Returns the report in lines of at most `width` columns. `colour` marks titles.
#[must_use]
pub fn text(report: &Report, comparison: Option<&Comparison>, width: usize, colour: bool) -> String {
    let width = width.clamp(40, 200);
    let mut out = String::new();
    let (bold, plain) = if colour { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let head = escape(&headline(report));
    let _ = writeln!(out, "{bold}{}{plain}", fitting(&head, width));
    for section in sections(report, comparison, MOST_ROWS) {
        let _ = writeln!(out, "\n{bold}{}{plain}", section.title);
        write_section(&mut out, &section, width);
    }
    out
}

fn write_section(out: &mut String, section: &Section, width: usize) {
    for sentence in &section.text {
        wrap(out, &escape(sentence), width);
    }
    if let Some(table) = section.table.as_ref().filter(|table| !table.rows.is_empty()) {
        write_table(out, table, width);
    }
    for sentence in &section.after {
        wrap(out, &escape(sentence), width);
    }
}

/// Writes a sentence in lines, broken at blanks.
fn wrap(out: &mut String, sentence: &str, width: usize) {
    let mut used = 0;
    for word in sentence.split(' ') {
        let length = columns(word);
        if used == 0 {
            out.push_str(INDENT);
            used = INDENT.len();
        } else if used + 1 + length > width {
            out.push('\n');
            out.push_str(INDENT);
            used = INDENT.len();
        } else {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += length;
    }
    out.push('\n');
}

/// The last column is cut where the line would be too long.
fn write_table(out: &mut String, table: &Table, width: usize) {
    let figures = table.heads.len().saturating_sub(1);
    let mut widths: Vec<usize> = table.heads.iter().map(|head| columns(head)).collect();
    for row in &table.rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = columns(cell).max(*width);
        }
    }
    let heads: Vec<String> = table.heads.iter().map(|&head| head.to_owned()).collect();
    for row in std::iter::once(&heads).chain(&table.rows) {
        let mut line = String::from(INDENT);
        for (cell, &width) in row.iter().zip(&widths).take(figures) {
            let blanks = width.saturating_sub(columns(cell));
            let _ = write!(line, "{:blanks$}{cell}  ", "");
        }
        let last = row.last().map(|cell| escape(cell)).unwrap_or_default();
        line.push_str(&last);
        let shown = fitting(&line, width);
        let _ = writeln!(out, "{}", shown.trim_end());
    }
}
