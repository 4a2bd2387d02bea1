//! The files in packaging/ against the daemon they are for.

use std::{collections::BTreeSet, fs, path::PathBuf};

use taskscope::service::config::{DEFAULT_SOCKET, KEYS, Partial, RELOADABLE};

fn packaging(file: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()))
}

/// Lines such as `#key = value`.
fn commented_keys(text: &str) -> Vec<(&str, &str)> {
    let keys = text.lines().filter_map(|line| line.strip_prefix('#')?.split_once(" = "));
    keys.filter(|(key, _)| KEYS.contains(key) || !key.contains(' ')).collect()
}

#[test]
fn the_configuration_shows_every_key_in_order_with_its_default() {
    let text = packaging("taskscope.toml");
    let keys: Vec<&str> = commented_keys(&text).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, KEYS);
    let defaults = Partial::default().settle().unwrap();
    assert_eq!(Partial::parse("shipped", &text).unwrap(), Partial::default(), "it must change nothing");
    let uncommented: String =
        commented_keys(&text).iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    let shown = Partial::parse("uncommented", &uncommented).unwrap().settle().unwrap();
    assert_eq!(shown.changes(&defaults), [""; 0], "a value shown is not the default");
}

#[test]
fn the_configuration_marks_what_reloads() {
    let text = packaging("taskscope.toml");
    let mut marked = Vec::new();
    let mut reloads = false;
    for line in text.lines() {
        if line.starts_with("# ") {
            reloads |= line.ends_with("(reloads)");
        } else if let Some((key, _)) = line.strip_prefix('#').and_then(|line| line.split_once(" = ")) {
            marked.extend(reloads.then_some(key));
        } else {
            reloads = false;
        }
    }
    assert_eq!(BTreeSet::from_iter(marked), BTreeSet::from(RELOADABLE));
}

#[test]
fn the_unit_names_the_places_that_the_daemon_takes() {
    let unit = packaging("systemd/taskscope.service");
    let has = |line: &str| assert!(unit.lines().any(|other| other == line), "no `{line}` in\n{unit}");
    assert_eq!(DEFAULT_SOCKET, "/run/taskscope/taskscope.sock");
    has("RuntimeDirectory=taskscope");
    has("ConfigurationDirectory=taskscope");
    has("User=taskscope");
    has("ExecStart=/usr/bin/taskscope run");
    assert!(packaging("sysusers.d/taskscope.conf").contains("\nu taskscope "));
    // Both lists in one order: what is asked for is all there can be.
    let caps = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
    assert_eq!(caps("AmbientCapabilities="), Some("CAP_BPF CAP_PERFMON".into()));
    assert_eq!(caps("AmbientCapabilities="), caps("CapabilityBoundingSet="));
}
