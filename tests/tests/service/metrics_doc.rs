//! docs/metrics.md against the metrics that a running daemon has.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write as _,
    fs,
    path::PathBuf,
};

use taskscope_tests::service::{self, Service};

const DOC: &str = include_str!("../../../docs/metrics.md");
const BEGIN: &str = "| metric | type | labels | meaning |\n|---|---|---|---|\n";

/// A metric family of the exposition format.
#[derive(Default)]
struct Family {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
}

fn families(scrape: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in scrape.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|line| line.split_once(' ')) {
            help.clone_into(&mut families.entry(name.to_owned()).or_default().help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' '))
        {
            name.clone_into(&mut current);
            kind.clone_into(&mut families.entry(name.to_owned()).or_default().kind);
        } else if let Some((_, rest)) = line.split_once('{') {
            let (labels, _value) = rest.rsplit_once('}').unwrap_or((rest, ""));
            let names = labels.split("=\"").filter_map(|part| part.rsplit([',', ' ']).next());
            let labels = names
                .filter(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
            let family = families.entry(current.clone()).or_default();
            family.labels.extend(labels.filter(|label| *label != "le").map(str::to_owned));
        }
    }
    families
}

fn table(families: &BTreeMap<String, Family>) -> String {
    let mut text = BEGIN.to_owned();
    for (name, family) in families {
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let help = family.help.replace('|', "\\|");
        // Writing to a String does not fail.
        let _ = writeln!(text, "| `{name}` | {} | {} | {help} |", family.kind, labels.join(", "));
    }
    text
}

#[test]
fn every_metric_is_documented_correctly() {
    let directory = service::directory();
    let file = directory.join("taskscope.toml");
    // Metrics of outputs exist if there is one.
    let lines = "[[output]]\ntype = \"journald\"\nsocket = \"/nonexistent\"\n";
    fs::write(&file, lines).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let service = Service::start_in(directory, &["--sched", "--config", &file.to_string_lossy()]);
    let scrape = service.get("/metrics").body;
    service.stop_clean();
    let real = table(&families(&scrape));
    let begin = DOC.find(BEGIN).expect("docs/metrics.md has no table of metrics");
    let end = DOC[begin..].find("\n\n").map_or(DOC.len(), |length| begin + length + 1);
    if env::var_os("TASKSCOPE_BLESS").is_some() {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
        let text = format!("{}{real}{}", &DOC[..begin], &DOC[end..]);
        fs::write(&path, text).unwrap_or_else(|error| panic!("writing {}: {error}", path.display()));
        return;
    }
    // Metrics that the hooks in use cannot fill are absent.
    let unreported = ["taskscope_clone_failures_total"];
    let is_unreported = |line: &&str| {
        unreported.iter().any(|name| line.contains(name) && !real.contains(&format!("| `{name}` |")))
    };
    let documented: String =
        DOC[begin..end].split_inclusive('\n').filter(|line| !is_unreported(line)).collect();
    let documented = documented.as_str();
    for (wrong, text, other) in [("documented", documented, real.as_str()), ("real", &real, documented)] {
        let known: BTreeSet<&str> = other.lines().collect();
        let only: Vec<&str> = text.lines().filter(|line| !known.contains(line)).collect();
        assert!(
            only.is_empty(),
            "only {wrong}:\n{}\nTASKSCOPE_BLESS=1 with this test writes docs/metrics.md anew",
            only.join("\n")
        );
    }
    assert_eq!(documented, real, "the order differs");
}

#[test]
fn the_sample_in_the_documentation_has_real_metrics_only() {
    let service = Service::start(&[]);
    let scrape = service.get("/metrics").body;
    service.stop_clean();
    let names: BTreeSet<&str> = scrape
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let sample = DOC.split("```text\n").nth(1).and_then(|rest| rest.split("```").next());
    let sample = sample.expect("docs/metrics.md has no sample");
    assert!(sample.lines().count() > 20, "the sample is too short:\n{sample}");
    for line in sample.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        assert!(names.contains(name), "the sample has {name}, but the daemon does not");
    }
}
