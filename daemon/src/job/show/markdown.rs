//! The report as Markdown: the summary of a CI job.

use std::fmt::Write as _;

use crate::answer::text::escape;
use crate::job::{
    Comparison,
    report::Report,
    sections::{Section, headline, sections},
};

/// The most rows of a table.
const MOST_ROWS: usize = 15;

/// Returns the report as Markdown with tables (GitHub, GitLab).
#[must_use]
pub fn markdown(report: &Report, comparison: Option<&Comparison>) -> String {
    let mut out = format!("## {}\n\n`{}`\n", plain(&headline(report)), code(&report.command.join(" ")));
    for section in sections(report, comparison, MOST_ROWS) {
        write_section(&mut out, &section);
    }
    out
}

fn write_section(out: &mut String, section: &Section) {
    let _ = writeln!(out, "\n### {}\n", section.title);
    for sentence in &section.text {
        let _ = writeln!(out, "{}", plain(sentence));
    }
    if let Some(table) = section.table.as_ref().filter(|table| !table.rows.is_empty()) {
        if !section.text.is_empty() {
            out.push('\n');
        }
        let mut heads = String::from("|");
        let mut rule = String::from("|");
        for (n, head) in table.heads.iter().enumerate() {
            let _ = write!(heads, " {} |", head.to_lowercase());
            rule.push_str(if n + 1 < table.heads.len() { "---:|" } else { "---|" });
        }
        let _ = writeln!(out, "{heads}\n{rule}");
        for row in &table.rows {
            let mut line = String::from("|");
            for cell in row {
                let _ = write!(line, " {} |", plain(cell));
            }
            let _ = writeln!(out, "{line}");
        }
    }
    if !section.after.is_empty() {
        out.push('\n');
    }
    for sentence in &section.after {
        let _ = writeln!(out, "{}", plain(sentence));
    }
}

/// Escapes the characters with a meaning in Markdown and HTML.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let indent = text.len() - text.trim_start_matches(' ').len();
    for _ in 0..indent {
        out.push_str("&nbsp;");
    }
    for c in escape(text.trim_start_matches(' ')).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

/// Text between backticks.
fn code(text: &str) -> String {
    escape(text).replace('`', "'")
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn names_cannot_change_the_page() {
        assert_eq!(plain("a|b`c`<img>*x*"), "a\\|b\\`c\\`&lt;img&gt;\\*x\\*");
        assert_eq!(plain("  sh"), "&nbsp;&nbsp;sh");
    }
}
