//! The kernel lines, from `xtask/vm/kernels.table`.

use anyhow::{Context as _, bail};

const TABLE: &str = include_str!("../../vm/kernels.table");

/// The kernel that is compiled here, on which `exit_notify` is not inlined.
pub(super) const NOINLINE: &str = "noinline";
/// The name that stands for the last available line of the table.
pub(super) const NEWEST: &str = "newest";
/// The kernels that CI runs.
pub(super) const SHORT: [&str; 4] = ["5.10", "6.1", "6.12", NEWEST];

/// One kernel line of Debian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) suites: Vec<String>,
    pub(super) patterns: Vec<String>,
    pub(super) flavour: String,
    pub(super) note: String,
}

/// Returns all lines, oldest first.
pub(super) fn lines() -> anyhow::Result<Vec<Line>> {
    parse(TABLE)
}

/// Returns the line named `name`.
pub(super) fn find<'a>(lines: &'a [Line], name: &str) -> anyhow::Result<&'a Line> {
    lines.iter().find(|line| line.name == name).with_context(|| {
        let known: Vec<&str> = lines.iter().map(|line| line.name.as_str()).collect();
        format!("no kernel line `{name}`: there are {}, {NEWEST} and {NOINLINE}", known.join(", "))
    })
}

fn parse(text: &str) -> anyhow::Result<Vec<Line>> {
    let rows = text.lines().filter(|row| !row.starts_with('#') && !row.trim().is_empty());
    rows.map(|row| row_of(row).with_context(|| format!("kernel table row `{row}`"))).collect()
}

fn row_of(row: &str) -> anyhow::Result<Line> {
    let mut words = row.split_whitespace();
    let mut next = |what: &str| words.next().map(str::to_owned).with_context(|| format!("no {what}"));
    let (name, suites, patterns, flavour) =
        (next("line")?, next("suites")?, next("patterns")?, next("flavour")?);
    let note = words.collect::<Vec<_>>().join(" ");
    if note.is_empty() {
        bail!("no note; write - for none");
    }
    let list = |text: String| text.split(',').map(str::to_owned).collect();
    Ok(Line { name, suites: list(suites), patterns: list(patterns), flavour, note })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_in_the_repository_parses_and_holds_the_short_set() {
        let lines = lines().unwrap();
        assert!(lines.len() >= 12);
        for name in SHORT {
            assert!(name == NEWEST || find(&lines, name).is_ok(), "{name}");
        }
        for line in &lines {
            assert!(line.patterns.iter().all(|pattern| pattern.contains('*')), "{line:?}");
        }
    }

    #[test]
    fn an_unknown_line_is_answered_with_the_known_ones() {
        let error = find(&lines().unwrap(), "4.19").unwrap_err().to_string();
        assert!(error.contains("`4.19`") && error.contains("5.10") && error.contains("noinline"), "{error}");
    }

    #[test]
    fn a_short_row_is_refused_with_what_is_missing() {
        let error = format!("{:#}", parse("6.1 bookworm linux-image-*").unwrap_err());
        assert!(error.contains("no flavour"), "{error}");
    }
}
