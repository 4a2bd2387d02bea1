//! The arrows between the rooms of the daemon point one way, as ARCHITECTURE.md draws them.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Each room with the rooms it may use, lowest first. A room missing here is an error, so that none is added unnoticed.
const ALLOWED: &[(&str, &[&str])] = &[
    ("fd", &[]),
    ("duration", &[]),
    ("timens", &[]),
    ("size", &[]),
    ("bounded", &[]),
    ("failpoint", &[]),
    ("panics", &[]),
    ("pidns", &[]),
    ("cgroup_mounts", &[]),
    ("kernel", &["fd", "timens", "failpoint", "bounded", "pidns", "cgroup_mounts"]),
    ("procfs", &["fd", "timens", "failpoint", "bounded", "pidns"]),
    ("cgroup", &["fd", "failpoint", "bounded", "cgroup_mounts"]),
    ("export", &["cgroup"]),
    ("answer", &["duration", "procfs", "cgroup", "cgroup_mounts", "export"]),
    ("runtime", &["fd", "duration", "failpoint", "kernel", "procfs", "export"]),
    ("history", &["cgroup", "export", "answer"]),
    (
        "service",
        &[
            "history",
            "fd",
            "duration",
            "timens",
            "failpoint",
            "panics",
            "pidns",
            "cgroup_mounts",
            "size",
            "bounded",
            "kernel",
            "procfs",
            "cgroup",
            "export",
            "answer",
            "runtime",
        ],
    ),
    (
        "cli",
        &[
            "fd",
            "duration",
            "timens",
            "failpoint",
            "panics",
            "pidns",
            "cgroup_mounts",
            "size",
            "bounded",
            "kernel",
            "procfs",
            "cgroup",
            "export",
            "answer",
            "history",
            "runtime",
            "service",
        ],
    ),
];

/// What the pure crates must not use: an event loop, the kernel, files, a clock. Their manifests keep crates out; these are in `std`.
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

/// The rooms named after `crate::` in a source, also inside `use crate::{...}`.
fn uses(text: &str, rooms: &BTreeSet<&str>) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0_u32;
            let mut word = String::new();
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => word.clear(),
                    ':' if depth == 0 => {
                        used.insert(std::mem::take(&mut word));
                    }
                    c if depth == 0 && (c.is_alphanumeric() || c == '_') => word.push(c),
                    _ => {}
                }
            }
        } else {
            used.insert(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    used.retain(|word| rooms.contains(word.as_str()));
    used
}

#[test]
fn every_arrow_points_down() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let rooms: BTreeSet<_> = ALLOWED.iter().map(|(room, _)| *room).collect();
    for path in sources(&src) {
        let room = room_of(&path, &src);
        if room == "lib" || room == "main" {
            continue;
        }
        let allowed = ALLOWED
            .iter()
            .find(|(name, _)| *name == room)
            .unwrap_or_else(|| panic!("{}: the room `{room}` is not drawn in this test", path.display()))
            .1;
        for used in uses(&fs::read_to_string(&path).unwrap(), &rooms) {
            assert!(
                used == room || allowed.contains(&used.as_str()),
                "{} uses `crate::{used}`: an arrow from `{room}` up to `{used}`",
                path.display()
            );
        }
    }
}

#[test]
fn lineage_and_verdict_are_pure() {
    for name in ["lineage", "verdict"] {
        let krate = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let manifest = fs::read_to_string(krate.join("Cargo.toml")).unwrap();
        let dependencies = manifest.split_once("[dependencies]").map_or("", |(_, rest)| rest);
        let dependencies = dependencies.split('[').next().unwrap();
        let others = dependencies.lines().filter(|line| !line.is_empty() && !line.starts_with("lineage"));
        assert_eq!(others.collect::<Vec<_>>(), Vec::<&str>::new(), "{name} depends on another crate");
        for path in sources(&krate.join("src")) {
            let text = fs::read_to_string(&path).unwrap();
            let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            for impure in IMPURE {
                assert!(!code.contains(impure), "{} names `{impure}`", path.display());
            }
        }
        assert!(
            fs::read_to_string(krate.join("src/lib.rs")).unwrap().contains("#![forbid(unsafe_code)]"),
            "{name} does not forbid unsafe code"
        );
    }
}

#[test]
fn a_use_inside_braces_is_found() {
    let rooms = BTreeSet::from(["kernel", "lineage"]);
    let found = uses("use crate::{\n    kernel::{clock::boottime, x},\n    lineage::Lineage,\n};", &rooms);
    assert_eq!(found, BTreeSet::from(["kernel".to_owned(), "lineage".to_owned()]));
    assert_eq!(uses("fn f() { crate::kernel::x() }", &rooms), BTreeSet::from(["kernel".to_owned()]));
}
