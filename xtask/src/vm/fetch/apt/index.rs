//! Parses the packages of a suite from the Packages files that apt has fetched and verified.

use std::cmp::Reverse;

use super::version;

/// A package in one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vm) struct Package {
    pub(in crate::vm) name: String,
    pub(in crate::vm) version: String,
}

/// Returns the packages of an index whose name matches one of `patterns`.
pub(in crate::vm) fn matching(index: &str, patterns: &[String]) -> Vec<Package> {
    let mut found = Vec::new();
    for stanza in index.split("\n\n") {
        let Some(name) = field(stanza, "Package") else { continue };
        if !patterns.iter().any(|pattern| glob(pattern, name)) {
            continue;
        }
        if let Some(version) = field(stanza, "Version") {
            found.push(Package { name: name.to_owned(), version: version.to_owned() });
        }
    }
    found
}

/// Sorts packages, newest first, without duplicates; of equal versions the earlier pattern is first.
pub(in crate::vm) fn newest_first(mut packages: Vec<Package>, patterns: &[String]) -> Vec<Package> {
    let rank = |package: &Package| patterns.iter().position(|pattern| glob(pattern, &package.name));
    packages.sort_by(|left, right| {
        version::compare(&right.version, &left.version)
            .then_with(|| rank(left).cmp(&rank(right)))
            .then_with(|| Reverse(&left.name).cmp(&Reverse(&right.name)))
    });
    packages.dedup();
    packages
}

fn field<'a>(stanza: &'a str, name: &str) -> Option<&'a str> {
    stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::trim)
}

/// Whether a name matches a pattern in which `*` stands for any text.
fn glob(pattern: &str, name: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == name };
    let Some(rest) = name.strip_prefix(head) else { return false };
    (0..=rest.len()).any(|start| rest.is_char_boundary(start) && glob(tail, &rest[start..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "Package: linux-image-6.12.9+deb13-cloud-amd64
Source: linux-signed-amd64
Version: 6.12.9-1
Description: Linux 6.12
 Version: no field

Package: linux-image-6.12.10+deb13-cloud-amd64
Version: 6.12.10-1

Package: linux-image-6.12.10+deb13-cloud-amd64-unsigned
Version: 6.12.10-1

Package: linux-image-6.12-cloud-amd64
Version: 6.12.10-1
";

    fn package(name: &str, version: &str) -> Package {
        Package { name: name.into(), version: version.into() }
    }

    #[test]
    fn the_newest_of_a_line_comes_first_and_meta_packages_do_not_match() {
        let patterns = ["linux-image-6.12.*-cloud-amd64".to_owned()];
        let found = newest_first(matching(INDEX, &patterns), &patterns);
        assert_eq!(
            found,
            [
                package("linux-image-6.12.10+deb13-cloud-amd64", "6.12.10-1"),
                package("linux-image-6.12.9+deb13-cloud-amd64", "6.12.9-1"),
            ]
        );
    }

    #[test]
    fn between_equal_versions_the_earlier_pattern_wins_and_doubles_go() {
        let patterns = ["linux-binary-7.*".to_owned(), "linux-binary-unsigned-7.*".to_owned()];
        let found = newest_first(
            vec![
                package("linux-binary-unsigned-7.2.6-cloud", "7.2.6-1"),
                package("linux-binary-7.2.6-cloud", "7.2.6-1"),
                package("linux-binary-7.2.6-cloud", "7.2.6-1"),
            ],
            &patterns,
        );
        assert_eq!(
            found.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(),
            ["linux-binary-7.2.6-cloud", "linux-binary-unsigned-7.2.6-cloud"]
        );
    }

    #[test]
    fn a_star_matches_any_text() {
        assert!(glob("a*c*", "abcd"));
        assert!(glob("a*", "a"));
        assert!(!glob("a*c", "abcd"));
        assert!(!glob("a", "ab"));
    }
}
