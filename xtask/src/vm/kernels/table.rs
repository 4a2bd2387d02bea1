//! The kernel lines, from `xtask/vm/kernels.table`.

use anyhow::{Context as _, bail};
use clap::ValueEnum as _;

use super::own;
use crate::arch::Arch;
use crate::vm::session::FAMILIES;

const TABLE: &str = include_str!("../../../vm/kernels.table");

/// The name that stands for the last available line of the table.
pub(in crate::vm) const NEWEST: &str = "newest";
/// The kernels that CI runs.
pub(in crate::vm) const SHORT: [&str; 4] = ["5.10", "6.1", "6.12", NEWEST];

/// Returns the name of a line for `arch`: names without an architecture are of amd64.
pub(in crate::vm) fn qualified(name: &str, arch: Arch) -> String {
    match arch {
        _ if name.contains('/') || own::find(name).is_some() => name.to_owned(),
        Arch::X86_64 => name.to_owned(),
        Arch::Aarch64 => format!("{}/{name}", arch.debian()),
    }
}

/// Returns the names of the kernels that stand for all of an architecture.
pub(in crate::vm) fn short(arch: Arch) -> Vec<String> {
    match arch {
        Arch::X86_64 => SHORT.map(str::to_owned).to_vec(),
        Arch::Aarch64 => ["6.1", "6.12", NEWEST].map(|name| qualified(name, arch)).to_vec(),
    }
}

/// Splits the name of a line into its architecture and the rest.
fn split(name: &str) -> anyhow::Result<(Arch, &str)> {
    let Some((arch, rest)) = name.split_once('/') else { return Ok((Arch::X86_64, name)) };
    let arch = Arch::from_str(arch, false)
        .map_err(anyhow::Error::msg)
        .with_context(|| format!("no kernels for the architecture `{arch}` of `{name}`"))?;
    Ok((arch, rest))
}

/// Returns the lines for a name, best first: for [`NEWEST`] the last lines of its architecture, at most `back` of them.
pub(in crate::vm) fn candidates<'a>(
    lines: &'a [Line],
    name: &str,
    back: usize,
) -> anyhow::Result<Vec<&'a Line>> {
    let (arch, rest) = split(name)?;
    match rest {
        NEWEST => Ok(lines.iter().rev().filter(|line| line.arch == arch).take(back).collect()),
        name if own::find(name).is_some() => bail!("`{name}` is compiled, not fetched"),
        _ => Ok(vec![find(lines, &qualified(rest, arch))?]),
    }
}

/// One kernel line of Debian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vm) struct Line {
    /// The name of the line; for an architecture other than amd64, with the architecture before it, as in `arm64/6.12`.
    pub(in crate::vm) name: String,
    pub(in crate::vm) arch: Arch,
    pub(in crate::vm) suites: Vec<String>,
    pub(in crate::vm) patterns: Vec<String>,
    pub(in crate::vm) flavour: String,
    /// The attach families that the kernel supports.
    pub(in crate::vm) families: Vec<String>,
    pub(in crate::vm) note: String,
}

/// Returns all lines, oldest first.
pub(in crate::vm) fn lines() -> anyhow::Result<Vec<Line>> {
    parse(TABLE)
}

/// Returns the line named `name`.
pub(in crate::vm) fn find<'a>(lines: &'a [Line], name: &str) -> anyhow::Result<&'a Line> {
    lines.iter().find(|line| line.name == name).with_context(|| {
        let known: Vec<&str> = lines.iter().map(|line| line.name.as_str()).collect();
        let own = own::names().join(", ");
        format!("no kernel line `{name}`: there are {}, {NEWEST}, {own}", known.join(", "))
    })
}

fn parse(text: &str) -> anyhow::Result<Vec<Line>> {
    let rows = text.lines().filter(|row| !row.starts_with('#') && !row.trim().is_empty());
    rows.map(|row| row_of(row).with_context(|| format!("kernel table row `{row}`"))).collect()
}

fn row_of(row: &str) -> anyhow::Result<Line> {
    let mut words = row.split_whitespace();
    let mut next = |what: &str| words.next().map(str::to_owned).with_context(|| format!("no {what}"));
    let (name, suites, patterns, flavour, families) =
        (next("line")?, next("suites")?, next("patterns")?, next("flavour")?, next("families")?);
    let note = words.collect::<Vec<_>>().join(" ");
    if note.is_empty() {
        bail!("no note; write - for none");
    }
    let list = |text: String| -> Vec<String> { text.split(',').map(str::to_owned).collect() };
    let families = match families.as_str() {
        "all" => FAMILIES.map(str::to_owned).to_vec(),
        _ => list(families),
    };
    if let Some(unknown) = families.iter().find(|family| !FAMILIES.contains(&family.as_str())) {
        bail!("no family `{unknown}`");
    }
    let arch = split(&name)?.0;
    Ok(Line { name, arch, suites: list(suites), patterns: list(patterns), flavour, families, note })
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
        assert_eq!(find(&lines, "5.10").unwrap().families, FAMILIES);
        assert_eq!(find(&lines, "arm64/6.1").unwrap().families, ["kprobe", "tracepoint"]);
    }

    #[test]
    fn an_unknown_line_is_answered_with_the_known_ones() {
        let error = find(&lines().unwrap(), "4.19").unwrap_err().to_string();
        assert!(error.contains("`4.19`") && error.contains("5.10") && error.contains("noinline"), "{error}");
    }

    #[test]
    fn the_newest_line_is_that_of_the_architecture() {
        let lines = lines().unwrap();
        assert_eq!(candidates(&lines, NEWEST, 1).unwrap()[0].arch, Arch::X86_64);
        assert_eq!(candidates(&lines, "arm64/newest", 1).unwrap()[0].arch, Arch::Aarch64);
        assert_eq!(candidates(&lines, "aarch64/6.12", 3).unwrap()[0].name, "arm64/6.12");
        assert_eq!(qualified("6.12", Arch::Aarch64), "arm64/6.12");
        assert_eq!(qualified("arm64/6.12", Arch::X86_64), "arm64/6.12");
        let error = format!("{:#}", candidates(&lines, "sparc/6.12", 1).unwrap_err());
        assert!(error.contains("sparc"), "{error}");
    }

    #[test]
    fn a_short_row_is_refused_with_what_is_missing() {
        let error = format!("{:#}", parse("6.1 bookworm linux-image-*").unwrap_err());
        assert!(error.contains("no flavour"), "{error}");
    }
}
