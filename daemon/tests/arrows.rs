//! The arrows between the rooms of the daemon point one way, as ARCHITECTURE.md draws them.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The rooms, the lowest level first. A room may use those of lower levels and not those of its own. A room that is missing
/// here is an error, so that none is added unnoticed.
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
    &["host"],
    &["cgroup", "kernel", "procfs"],
    &["export", "recording"],
    &["answer", "runtime"],
    &["job"],
    &["history", "outputs", "perfetto", "view"],
    &["service"],
    &["cli"],
];

/// What the pure crates must not use of `std`: files, processes, threads, clocks. Their manifests keep crates out.
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

fn room_of(path: &Path, src: &Path) -> String {
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
fn every_arrow_points_down() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let level = |room: &str| LEVELS.iter().position(|level| level.contains(&room));
    for path in sources(&src) {
        let room = room_of(&path, &src);
        if room == "lib" || room == "main" {
            continue;
        }
        let own = level(&room).unwrap_or_else(|| panic!("{}: `{room}` is not in LEVELS", path.display()));
        let text = fs::read_to_string(&path).unwrap();
        for used in uses(&text).into_iter().filter(|used| *used != room) {
            assert!(
                level(used).is_none_or(|used| used < own),
                "{} uses `crate::{used}`: an arrow from `{room}` up to `{used}`",
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
    for path in ["view", "job"].into_iter().flat_map(|room| sources(&src.join(room))) {
        let text = fs::read_to_string(&path).unwrap();
        let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for impure in IMPURE.iter().chain(&["tokio", "ratatui", "crossterm"]) {
            assert!(!code.contains(impure), "{} names `{impure}`", path.display());
        }
    }
}
