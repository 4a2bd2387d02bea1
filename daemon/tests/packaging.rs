//! Checks the files in packaging/ against the daemon.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

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
    let uncommented: String = commented_keys(&text)
        .iter()
        .map(|(key, value)| format!("{key} = {value}"))
        .collect::<Vec<_>>()
        .join("\n");
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
    // The ambient set and the bounding set must be equal, in the same order.
    let caps = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
    assert_eq!(caps("AmbientCapabilities="), Some("CAP_BPF CAP_PERFMON".into()));
    assert_eq!(caps("AmbientCapabilities="), caps("CapabilityBoundingSet="));
}

#[test]
fn the_chart_and_the_manifest_configure_the_same_daemon() {
    let (values, chart) = (packaging("helm/taskscope/values.yaml"), packaging("helm/taskscope/Chart.yaml"));
    let (_, text) = values.split_once("config: |\n").unwrap();
    let text: Vec<&str> = text.lines().take_while(|line| line.starts_with("  ")).collect();
    let settings = Partial::parse("values", &text.join("\n")).unwrap().settle().unwrap();
    let manifest = packaging("kubernetes/daemonset.yaml");
    let (_, text) = manifest.split_once("taskscope.toml: |\n").unwrap();
    let text: Vec<&str> = text.lines().take_while(|line| line.starts_with("    ")).collect();
    assert_eq!(Partial::parse("manifest", &text.join("\n")).unwrap().settle().unwrap(), settings);
    let version = env!("CARGO_PKG_VERSION");
    for (text, line) in [
        (&values, format!("port: {}", settings.listen.unwrap().port())),
        (&chart, format!("version: {version}")),
        (&chart, format!("appVersion: \"{version}\"")),
    ] {
        assert!(text.lines().any(|other| other == line), "no `{line}` in\n{text}");
    }
    let kustomization = packaging("kubernetes/kustomization.yaml");
    assert!(kustomization.contains(&format!("newTag: {version}\n")), "{kustomization}");
}

#[test]
fn no_label_is_one_that_a_pod_monitor_gives() {
    let metrics = document("metrics.md");
    let rows = metrics.lines().filter(|line| line.starts_with("| `taskscope_"));
    for row in rows {
        let labels = row.split('|').nth(3).unwrap();
        for taken in ["`pod`", "`container`", "`namespace`", "`node`", "`endpoint`", "`job`", "`instance`"] {
            assert!(!labels.contains(taken), "{row}");
        }
    }
}

#[test]
fn the_manifest_for_kubernetes_configures_this_daemon() {
    let manifest = packaging("kubernetes/daemonset.yaml");
    let (_, text) = manifest.split_once("taskscope.toml: |\n").unwrap();
    let text: Vec<&str> = text.lines().take_while(|line| line.starts_with("    ")).collect();
    let settings = Partial::parse("manifest", &text.join("\n")).unwrap().settle().unwrap();
    let port = settings.listen.unwrap().port();
    for line in [
        format!("image: localhost/taskscope:{}", env!("CARGO_PKG_VERSION")),
        format!("containerPort: {port}"),
        format!("prometheus.io/port: \"{port}\""),
        format!("mountPath: {} }}", settings.socket.unwrap().parent().unwrap().display()),
    ] {
        assert!(manifest.contains(&line), "no `{line}` in\n{manifest}");
    }
}

/// Words of a text that are names of metrics.
fn metric_names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '_' && !c.is_ascii_digit());
    words.filter(|word| word.starts_with("taskscope_") || word.starts_with("process_")).collect()
}

/// Name and type of the metrics in docs/metrics.md, which another test compares with the running daemon.
fn documented() -> Vec<(String, String)> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let text = fs::read_to_string(&path).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let metrics = rows.filter(|(name, _)| metric_names(name).contains(name));
    metrics.map(|(name, rest)| (name.to_owned(), rest.split(' ').next().unwrap().to_owned())).collect()
}

#[test]
fn alerts_and_dashboard_use_metrics_that_there_are() {
    let mut there = BTreeSet::new();
    for (name, kind) in documented() {
        if kind == "histogram" {
            there.extend(["_bucket", "_sum", "_count"].map(|part| format!("{name}{part}")));
        } else {
            there.insert(name);
        }
    }
    assert!(there.len() > 40, "docs/metrics.md was not understood: {there:?}");
    for file in ["prometheus/taskscope.rules.yml", "prometheus/tests.yml", "grafana/taskscope.json"] {
        let text = packaging(file);
        let used = metric_names(&text);
        assert!(used.len() > 5, "{file}: {used:?}");
        for name in used {
            assert!(there.contains(name), "{file} uses {name}, which there is not");
        }
    }
}

#[test]
fn every_alert_is_seen_to_fire_and_to_keep_silent() {
    let rules = packaging("prometheus/taskscope.rules.yml");
    let tests = packaging("prometheus/tests.yml");
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 10, "{alerts:?}");
    for alert in alerts {
        let mut times = tests.split("- alertname: ").filter(|test| test.lines().next() == Some(alert));
        assert!(times.clone().any(|test| test.contains("exp_alerts:\n")), "{alert} is never seen to fire");
        assert!(times.any(|test| test.contains("exp_alerts: []")), "{alert} is never seen to keep silent");
    }
}

/// The text of a file in docs/.
fn document(file: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()))
}

#[test]
fn every_alert_points_to_its_section_of_the_runbook() {
    let (rules, runbook) = (packaging("prometheus/taskscope.rules.yml"), document("runbook.md"));
    let mut alerts = BTreeSet::new();
    for alert in rules.split("- alert: ").skip(1) {
        let name = alert.lines().next().unwrap();
        let url = format!("runbook_url: docs/runbook.md#{}", name.to_lowercase());
        assert!(alert.lines().any(|line| line.trim() == url), "{name} has no `{url}`");
        alerts.insert(name);
    }
    let sections: Vec<(&str, &str)> =
        runbook.split("\n## ").skip(1).map(|it| it.split_once('\n').unwrap()).collect();
    let names: BTreeSet<&str> = sections.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, alerts, "docs/runbook.md has one section for each alert");
    for (name, text) in sections {
        for part in ["**Means.** ", "**Run.** ", "**Do.** "] {
            assert!(text.contains(part), "{name} has no {part}");
        }
    }
}

#[test]
fn every_panel_says_what_it_shows_and_follows_the_variables() {
    let dashboard: serde_json::Value = serde_json::from_str(&packaging("grafana/taskscope.json")).unwrap();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: Vec<&str> = variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["datasource", "job", "instance"]);
    for panel in dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row") {
        let description = panel["description"].as_str().unwrap_or_default();
        assert!(description.len() > 10 && description.ends_with('.'), "{}: {description:?}", panel["title"]);
        for target in panel["targets"].as_array().unwrap() {
            let expr = target["expr"].as_str().unwrap();
            let chosen = expr.matches(r#"{job=~"$job",instance=~"$instance""#).count();
            // Each selector begins with these two.
            assert!(chosen > 0 && chosen == expr.matches('{').count(), "{}: {expr}", panel["title"]);
        }
    }
}

#[test]
fn the_dashboard_is_json_and_its_panels_do_not_overlap() {
    let dashboard: serde_json::Value = serde_json::from_str(&packaging("grafana/taskscope.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let place =
        |panel: &serde_json::Value| ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
    for (index, panel) in panels.iter().enumerate() {
        let [x, y, w, h] = place(panel);
        assert!(x + w <= 24, "{} is too wide", panel["title"]);
        assert!(!panel["title"].as_str().unwrap().is_empty());
        for other in &panels[index + 1..] {
            let [ox, oy, ow, oh] = place(other);
            let apart = x + w <= ox || ox + ow <= x || y + h <= oy || oy + oh <= y;
            assert!(apart, "{} and {} overlap", panel["title"], other["title"]);
            assert_ne!(panel["id"], other["id"]);
        }
    }
}
