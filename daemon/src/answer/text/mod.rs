//! Answers as text for people, one file for each answer. Text that others chose is escaped, because a terminal acts on control
//! characters.
//!
//! - `past`: answers from the history; `fleet`: answers of many hosts
//! - `table` and `columns`: aligned columns; colours, wrapping and escaping are here

use std::fmt::Write as _;

mod blocked;
mod columns;
mod deaths;
mod explain;
mod fleet;
mod leaks;
mod limits;
mod past;
mod scopes;
mod stops;
mod table;
mod tree;
mod zombies;

pub use self::{
    blocked::blocked,
    deaths::{death, deaths},
    explain::explanation,
    fleet::{fleet_deaths, fleet_errors, fleet_status, fleet_zombies},
    leaks::leaks,
    limits::limits,
    past::{difference, past_lives, past_zombies},
    scopes::scope,
    stops::{stop, stops},
    tree::tree,
    zombies::zombies,
};

use super::{task::ZombieAge, time_arg::wall_ns, verdict::AnswerVerdict};
use crate::{
    export::{Zone, columns, fitting, is_unsafe, local},
    verdict::duration,
};

/// The style of text output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// The width in columns; `None` is no limit.
    pub width: Option<usize>,
    /// Colours.
    pub colour: bool,
    /// Whether branches are drawn in Unicode; otherwise in ASCII.
    pub unicode: bool,
    /// The zone of times.
    pub zone: Zone,
}

/// What a colour marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ink {
    /// A process or an operator has to act.
    Bad,
    /// Unusual.
    Odd,
    /// The remedy.
    Good,
    /// Most important.
    Strong,
    /// Less important.
    Faint,
}

impl Style {
    /// Text that is escaped already, in a colour.
    fn paint(self, ink: Ink, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Bad => "31",
            Ink::Odd => "33",
            Ink::Good => "32",
            Ink::Strong => "1",
            Ink::Faint => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Returns escaped text in lines, all but the first indented; the first begins at column `at`. Does not use the crate
    /// `textwrap`, whose first line begins at column 0, or with an indent that would have to be cut off again.
    fn wrap(self, text: &str, at: usize) -> String {
        self.fold(&escape(text), at)
    }

    /// Escaped text that begins at column `first`, its other lines at column `at`.
    fn wrap_after(self, text: &str, first: usize, at: usize) -> String {
        self.fold_after(&escape(text), first, at)
    }

    /// Does what [`Self::wrap`] does, with text that is escaped already.
    fn fold(self, text: &str, at: usize) -> String {
        self.fold_after(text, at, at)
    }

    fn fold_after(self, text: &str, first: usize, at: usize) -> String {
        let Some(width) = self.width.map(|width| width.max(at + MIN_WRAP)) else { return text.to_owned() };
        let mut out = String::with_capacity(text.len() + 16);
        let mut column = first;
        for (n, word) in text.split(' ').enumerate() {
            let length = columns(word);
            if n > 0 && column + 1 + length > width {
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', at));
                column = at;
            } else if n > 0 {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            column += length;
        }
        out
    }
}

/// Wraps the lines of a text that are too long; continuation lines begin at the column that `at` returns for the line.
#[must_use]
pub fn folded(text: &str, style: Style, at: impl Fn(&str) -> usize) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    for line in text.lines() {
        let (head, rest) = line.split_at_checked(at(line)).unwrap_or(("", line));
        out.push_str(head);
        out.push_str(&style.fold(rest, columns(head)));
        out.push('\n');
    }
    out
}

/// The least width, in columns, at which text is wrapped.
const MIN_WRAP: usize = 20;

/// Escapes what a terminal acts on: control characters, and characters that reverse or hide text, as `\xNN`.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\\' || is_unsafe(c) {
            let mut utf8 = [0; 4];
            for byte in c.encode_utf8(&mut utf8).bytes() {
                let _ = write!(out, "\\x{byte:02x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// An age in a column: `<` and `>` where only a bound of it is known.
#[must_use]
pub fn age(age: ZombieAge) -> String {
    let (least, most) = (age.zombie_at_least_ns, age.zombie_at_most_ns);
    if least == most {
        duration(least)
    } else if least >= 1_000_000_000 {
        format!(">{}", duration(least))
    } else {
        format!("<{}", duration(most))
    }
}

/// Converts a time of an answer, RFC 3339 in UTC, to the zone of the style: `2026-11-20 22:30:00.123 CET`.
fn moment(timestamp: &str, style: Style) -> String {
    wall_ns(timestamp).map_or_else(|| escape(timestamp), |at| local(at, style.zone))
}

/// Appends a verdict: its sentence, then evidence, remedy and missing facts with labels.
fn verdict(verdict: &AnswerVerdict, style: Style, out: &mut String) {
    const INDENT: usize = 12;
    let mut line = |label: &str, text: String| {
        let _ = write!(out, "  {label:<10}");
        out.push_str(&text);
        out.push('\n');
    };
    for (n, evidence) in verdict.evidence.iter().enumerate() {
        line(if n == 0 { "because" } else { "" }, style.wrap(evidence, INDENT));
    }
    if let Some(remedy) = &verdict.remedy {
        line("remedy", style.paint(Ink::Good, &style.wrap(remedy, INDENT)));
    }
    for (n, missing) in verdict.missing.iter().enumerate() {
        let text = format!("{}; this needs {}", missing.fact, missing.needs);
        line(if n == 0 { "unknown" } else { "" }, style.wrap(&text, INDENT));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_the_cursor() {
        assert_eq!(escape("a\x1b[2Jb\n\u{202e}c\\"), "a\\x1b[2Jb\\x0a\\xe2\\x80\\xaec\\x5c");
        assert_eq!(escape("grün"), "grün");
    }

    #[test]
    fn text_is_folded_at_blanks_and_never_lost() {
        let style = Style { width: Some(30), ..Style::default() };
        let text = "one two three four five six seven";
        let folded = style.wrap(text, 6);
        assert!(folded.lines().all(|line| columns(line) <= 30), "{folded}");
        assert_eq!(folded.split_whitespace().collect::<Vec<_>>().join(" "), text);
        assert_eq!(Style::default().wrap(text, 6), text);
    }

    #[test]
    fn an_age_says_what_is_not_known_of_it() {
        let of =
            |zombie_at_least_ns, zombie_at_most_ns| age(ZombieAge { zombie_at_least_ns, zombie_at_most_ns });
        assert_eq!(of(3_000_000_000, 3_000_000_000), "3.0 s");
        assert_eq!(of(61_000_000_000, 3_600_000_000_000), ">1 min 1 s");
        assert_eq!(of(1, 3_600_000_000_000), "<1 h");
    }
}
