//! docs/verdicts.md has every verdict and no others.

use taskscope::verdict::Code;

const PAGE: &str = include_str!("../../docs/verdicts.md");

/// Code and words of each row.
fn rows() -> Vec<(String, String)> {
    let cells = |line: &'static str| -> Vec<&'static str> { line.split('|').map(str::trim).collect() };
    PAGE.lines()
        .filter(|line| line.starts_with("| `"))
        .map(cells)
        .filter_map(|cells| Some((cells.get(1)?.trim_matches('`').to_owned(), (*cells.get(2)?).to_owned())))
        .collect()
}

#[test]
fn every_verdict_is_described_once_with_its_words() {
    let mut described = rows();
    described.sort();
    let mut known: Vec<(String, String)> =
        Code::ALL.iter().map(|code| (code.name().to_owned(), code.words().to_owned())).collect();
    known.sort();
    assert_eq!(described, known);
}
