//! docs/events.md describes exactly what is written: every action and every field, and no other.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::{collections::BTreeSet, fs, path::Path};

use taskscope::export::SCHED_ACTIONS;
use taskscope::lineage::ActionKind;

fn read(relative: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)).unwrap()
}

/// First cells of the table rows below the heading `## title`, up to the next heading of that level.
fn rows(page: &str, title: &str) -> BTreeSet<String> {
    let from = page.find(&format!("\n## {title}\n")).unwrap_or_else(|| panic!("no heading {title}"));
    let body = &page[from + 4..];
    let body = &body[..body.find("\n## ").unwrap_or(body.len())];
    body.lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|rest| rest.split('`').next().unwrap().to_owned())
        .collect()
}

/// String literals of the encoder that have the form of a field name.
fn literals(source: &str) -> BTreeSet<String> {
    let code = source.split("#[cfg(test)]").next().unwrap();
    let is_name =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '@');
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split('"').skip(1).step_by(2))
        .filter(|text| is_name(text))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_action_is_described_and_no_other() {
    let described = rows(&read("../docs/events.md"), "Actions");
    let written: BTreeSet<_> = ActionKind::ALL.iter().map(|kind| kind.name().to_owned()).collect();
    assert_eq!(described, written);
}

#[test]
fn every_step_of_the_scheduler_and_its_fields_are_described_and_no_other() {
    let described = rows(&read("../docs/events.md"), "Steps of the scheduler");
    let common = rows(&read("../docs/events.md"), "Fields");
    // Leave out the object, which the text above the table describes, and values.
    let others = ["sched", "runnable", "dead"].map(str::to_owned);
    let mut written: BTreeSet<_> = SCHED_ACTIONS.iter().map(|action| (*action).to_owned()).collect();
    written.extend(literals(&read("src/export/sched.rs")).into_iter().filter(|name| {
        let is_of_another = common.contains(name) && !["state", "cpu"].contains(&name.as_str());
        !is_of_another && !others.contains(name)
    }));
    assert_eq!(described, written);
}

/// The names of all properties below a schema.
fn properties(schema: &serde_json::Value, found: &mut BTreeSet<String>) {
    match schema {
        serde_json::Value::Object(object) => {
            let own = object.get("properties").and_then(serde_json::Value::as_object);
            found.extend(own.into_iter().flatten().map(|(name, _)| name.clone()));
            object.values().for_each(|inner| properties(inner, found));
        }
        serde_json::Value::Array(all) => all.iter().for_each(|inner| properties(inner, found)),
        _ => {}
    }
}

#[test]
fn the_schema_of_an_event_has_every_field_that_is_written_and_no_other() {
    let mut described = BTreeSet::new();
    properties(&taskscope::export::event_schema().to_value(), &mut described);
    let written: BTreeSet<_> =
        ["json.rs", "json/action.rs", "host.rs", "usage.rs", "death.rs", "leak.rs", "scope.rs", "sched.rs"]
            .iter()
            .flat_map(|source| literals(&read(&format!("src/export/{source}"))))
            // Values.
            .filter(|name| {
                !["runnable", "dead", "switched_out", "woken", "switched_in"].contains(&name.as_str())
            })
            .collect();
    let missing: Vec<_> = written.difference(&described).collect();
    let stale: Vec<_> = described.difference(&written).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "not in the schema: {missing:?}; never written: {stale:?}"
    );
}

#[test]
fn every_field_is_described_and_no_other() {
    let described = rows(&read("../docs/events.md"), "Fields");
    let sources = ["json", "json/action", "host", "usage", "death", "scope", "leak"]
        .map(|name| format!("src/export/{name}.rs"));
    let written: BTreeSet<_> = sources.iter().flat_map(|source| literals(&read(source))).collect();
    let missing: Vec<_> = written.difference(&described).collect();
    let stale: Vec<_> = described.difference(&written).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "not described: {missing:?}; described, never written: {stale:?}"
    );
}
