//! The modules of the daemon use each other in one direction only, as ARCHITECTURE.md shows.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The modules at the top of the crate, the lowest level first. A module may use those of lower levels, and none of its own level. A
/// module that is missing here is an error, so that none is added unnoticed.
const LEVELS: &[&[&str]] = &[
    &[
        "bounded",
        "cgroup_mounts",
        "duration",
        "event_loop",
        "failpoint",
        "fd",
        "panics",
        "pem",
        "pidns",
        "size",
        "timens",
    ],
    &["host", "tls_client"],
    &["cgroup", "kernel", "procfs"],
    &["export", "recording"],
    &["answer", "runtime"],
    &["job"],
    &["history", "outputs", "perfetto", "view"],
    &["service"],
    &["cli"],
];

/// Parts of `std` that the pure crates must not use: files, processes, threads, clocks. Their manifests restrict the crates that
/// they use.
const IMPURE: &[&str] = &["std::fs", "std::net", "std::process", "std::thread", "Instant", "SystemTime"];

fn sources(under: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(under).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn module_of(path: &Path, src: &Path) -> String {
    let relative = path.strip_prefix(src).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The names after `crate::` in a source, also inside `use crate::{...}`.
fn uses(text: &str) -> BTreeSet<&str> {
    let mut used = BTreeSet::new();
    for (_, rest) in text.match_indices("crate::").map(|(at, name)| text.split_at(at + name.len())) {
        let Some(list) = rest.strip_prefix('{') else {
            used.extend(rest.split(|c: char| !c.is_alphanumeric() && c != '_').next());
            continue;
        };
        let mut depth = 0_i32;
        for word in list.split_inclusive(['{', '}', ',']) {
            if depth == 0 {
                used.extend(word.trim().split(|c: char| !c.is_alphanumeric() && c != '_').next());
            }
            depth += i32::from(word.ends_with('{')) - i32::from(word.ends_with('}'));
            if depth < 0 {
                break;
            }
        }
    }
    used
}

#[test]
fn modules_use_only_those_of_lower_levels() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let level = |module: &str| LEVELS.iter().position(|level| level.contains(&module));
    for path in sources(&src) {
        let module = module_of(&path, &src);
        if module == "lib" || module == "main" {
            continue;
        }
        let own = level(&module).unwrap_or_else(|| panic!("{}: `{module}` is not in LEVELS", path.display()));
        let text = fs::read_to_string(&path).unwrap();
        for used in uses(&text).into_iter().filter(|used| *used != module) {
            assert!(
                level(used).is_none_or(|used| used < own),
                "{} uses `crate::{used}`, but `{module}` must not depend on `{used}`",
                path.display()
            );
        }
    }
}

#[test]
fn lineage_and_verdict_are_pure() {
    for name in ["lineage", "verdict"] {
        for path in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(name).join("src")) {
            let text = fs::read_to_string(&path).unwrap();
            let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            for impure in IMPURE {
                assert!(!code.contains(impure), "{} names `{impure}`", path.display());
            }
        }
    }
}

#[test]
fn the_view_and_the_report_of_a_job_read_no_clock_and_no_file() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in ["view", "job"].into_iter().flat_map(|module| sources(&src.join(module))) {
        let text = fs::read_to_string(&path).unwrap();
        let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for impure in IMPURE.iter().chain(&["tokio", "ratatui", "crossterm"]) {
            assert!(!code.contains(impure), "{} names `{impure}`", path.display());
        }
    }
}
