//! The shipped rules and the dashboard in a real Prometheus, whose target has the labels that a `PodMonitor` gives it.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use taskscope_tests::{
    cgroup::{Cgroup, Sleeper},
    directory::Directory,
    service::Service,
    setting, wait,
};

use super::{Prometheus, common::scenario};

/// Parts of queries of panels whose result is rightly empty here, and why.
const MAY_BE_EMPTY: [(&str, &str); 5] = [
    ("taskscope_records_dropped_total", "no record is dropped"),
    ("taskscope_records_lost_total", "no record is lost"),
    ("taskscope_records_shed_total", "no record is shed"),
    ("taskscope_clone_failures_total", "no fork fails"),
    ("k8s_namespace", "no pod has a name here"),
];

/// Recorded series that are rightly missing here, for the same reasons.
const MAY_BE_MISSING: [&str; 2] =
    ["k8s_namespace:taskscope_unit_live_processes:sum", "cause_unit:taskscope_crash_loop_ends:sum"];

fn packaging(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(file)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The two ways in which a scrape treats labels that the target has too.
const SCRAPES: [(&str, bool); 2] = [("honoured", true), ("overridden", false)];

/// Returns a configuration that scrapes one daemon twice, as two hosts, with the labels that the operator's relabelling makes.
fn configuration(target: &str, rules: &[PathBuf]) -> String {
    let files: Vec<String> = rules.iter().map(|file| format!("'{}'", file.display())).collect();
    let mut text = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [ {} ]\nscrape_configs:\n",
        files.join(", ")
    );
    for (instance, honour) in SCRAPES {
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "- job_name: taskscope/taskscope/{instance}\n  honor_labels: {honour}\n  static_configs:\n  - targets: [ '{target}' ]\n    \
             labels: {{ namespace: monitoring, pod: taskscope-{instance}, container: taskscope, endpoint: metrics, job: taskscope, \
             instance: {instance} }}\n"
        );
    }
    text
}

/// Copies the rules, so that groups with an interval of a minute are evaluated every second.
fn rules(files: &Directory) -> Vec<PathBuf> {
    let copy = |name: &&str| {
        let text = read(&packaging("prometheus").join(name)).replace("interval: 1m\n", "interval: 1s\n");
        let path = files.file(name);
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    };
    ["taskscope.rules.yml", "taskscope-fleet.rules.yml"].iter().map(copy).collect()
}

/// Returns each query of the dashboard with the title of its panel, and with the variables as Grafana substitutes them for this host.
fn panels(instance: &str) -> Vec<(String, String)> {
    let dashboard: Value =
        serde_json::from_str(&read(&packaging("grafana/taskscope.json"))).unwrap_or_default();
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().into_iter().flatten() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let title = panel["title"].as_str().unwrap_or_default().to_owned();
            let expr = target["expr"].as_str().unwrap_or_default();
            let expr = expr.replace("$job", "taskscope").replace("$instance", instance);
            queries.push((title, expr.replace("$__rate_interval", "1m")));
        }
    }
    assert!(queries.len() > 40 && queries.iter().all(|(_, expr)| !expr.contains('$')), "{queries:?}");
    queries
}

/// Causes something of each kind that the rules and panels show.
fn storm(cgroup: &Cgroup) {
    scenario("burst", &["200"]).finish();
    let run = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        cgroup.begin(&mut command);
        command.stderr(Stdio::null()).status().unwrap_or_else(|error| panic!("sh: {error}"));
    };
    run("for n in 1 2 3 4 5 6 7 8; do (exit 3); sh -c 'kill -KILL $$' 2>/dev/null; done");
}

#[test]
fn shipped_rules_and_panels_work_with_the_labels_that_a_pod_monitor_adds() {
    if setting::skip_in_vm("a guest has no Prometheus, and the text is the same everywhere") {
        return;
    }
    let unit = format!("ts{}-shipped.service", std::process::id());
    let Some(cgroup) = Cgroup::make(&[&unit]) else {
        return setting::skip("a cgroup of the v2 hierarchy cannot be made");
    };
    let files = Directory::new("prometheus-rules");
    let rules = rules(&files);
    let service = Service::start(&["--zombie-after", "200ms", "--top", "1000", "--sched"]);
    let prometheus = Prometheus::start_with(&configuration(service.address(), &rules));
    for (instance, _) in SCRAPES {
        prometheus.until(&format!("up{{instance=\"{instance}\"}}"), |up| up > 0.0);
    }
    let mut zombie = scenario("zombie", &[]);
    zombie.pause("zombie");
    let sleeper = Sleeper::start(&cgroup);
    // Rates count only from a first sample on: the unit's series begin at zero.
    for (instance, _) in SCRAPES {
        let exits = format!("count(taskscope_unit_exits_total{{instance=\"{instance}\",unit=\"{unit}\"}})");
        prometheus.until(&exits, |series| series > 0.0);
    }
    storm(&cgroup);
    // Rates need samples from before and after.
    for (instance, _) in SCRAPES {
        let ended =
            format!("sum(increase(taskscope_exits_total{{instance=\"{instance}\",kind=\"process\"}}[1m]))");
        prometheus.until(&ended, |ended| ended > 100.0);
    }

    // Prometheus renames or replaces no label of the target, because no metric has a label of the same name.
    for (instance, _) in SCRAPES {
        let series = prometheus.ask(&format!(
            "/api/v1/series?match%5B%5D=%7Binstance%3D%22{instance}%22%2C__name__%3D~%22taskscope_.%2B%22%7D"
        ));
        let series = series.unwrap_or_else(|error| panic!("{error}"));
        let series = series.as_array().cloned().unwrap_or_default();
        assert!(series.len() > 300, "{}", series.len());
        for labels in series.iter().filter_map(Value::as_object) {
            let exported: Vec<_> = labels.keys().filter(|name| name.starts_with("exported_")).collect();
            assert!(exported.is_empty(), "{exported:?} of {labels:?}");
            for (name, value) in
                [("namespace", "monitoring"), ("container", "taskscope"), ("job", "taskscope")]
            {
                assert_eq!(labels[name], value, "{labels:?}");
            }
            assert_eq!(labels["pod"], format!("taskscope-{instance}"));
        }
    }

    // Every rule is evaluated without an error, and what it records is there.
    let recorded = wait::until_ok(|| evaluated(&prometheus));
    assert!(recorded.len() > 15, "{recorded:?}");
    for name in recorded.iter().filter(|name| !MAY_BE_MISSING.contains(&&***name)) {
        wait::until_ok(|| match prometheus.query(name)?.len() {
            0 => Err(format!("{name} has no series")),
            _ => Ok(()),
        });
    }
    assert_eq!(recorded_value(&prometheus, "fleet:taskscope_hosts_up:sum"), Some(2.0));
    // The texts of alerts are templates, which may fail when an alert is made.
    let alerts = prometheus.ask("/api/v1/alerts").unwrap_or_else(|error| panic!("{error}"));
    assert!(!alerts.to_string().contains("error expanding template"), "{alerts:#}");

    for (instance, _) in SCRAPES {
        let mut empty = Vec::new();
        let mut full = 0;
        for (title, query) in panels(instance) {
            match prometheus.query(&query) {
                Err(error) => panic!("{title}: {query}: {error}"),
                Ok(series) if series.is_empty() => empty.push((title, query)),
                Ok(_) => full += 1,
            }
        }
        println!("{instance}: {full} queries of panels have results; without: {empty:#?}");
        empty.retain(|(_, query)| !MAY_BE_EMPTY.iter().any(|(known, _)| query.contains(known)));
        assert_eq!(empty, [], "{instance}");
    }
    zombie.go();
    zombie.finish();
    drop((sleeper, prometheus));
    service.stop_clean();
}

/// Returns the names of recording rules, once all rules were evaluated without an error.
fn evaluated(prometheus: &Prometheus) -> Result<Vec<String>, String> {
    let answer = prometheus.ask("/api/v1/rules")?;
    let rules = answer["groups"].as_array().into_iter().flatten();
    let mut recorded = Vec::new();
    for rule in rules.flat_map(|group| group["rules"].as_array().into_iter().flatten()) {
        let name = rule["name"].as_str().unwrap_or_default();
        if rule["health"] != "ok" {
            return Err(format!("{name} is {}: {}", rule["health"], rule["lastError"]));
        }
        if rule["type"] == "recording" {
            recorded.push(name.to_owned());
        }
    }
    if recorded.is_empty() { Err("no rule was read".into()) } else { Ok(recorded) }
}

fn recorded_value(prometheus: &Prometheus, name: &str) -> Option<f64> {
    prometheus.query(name).ok()?.first()?["value"][1].as_str()?.parse().ok()
}
