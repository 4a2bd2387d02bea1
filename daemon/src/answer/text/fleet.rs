//! The answers of many hosts as text: the tables and sentences of a single host's answer, with the host's name.

use std::fmt::Write as _;

use super::{
    Ink, Style, escape,
    table::{Head, table},
    zombies::{self, IN_FULL},
};
use crate::{
    answer::{
        fleet::{Fleet, FleetDeaths, FleetStatus, FleetZombies, HostStatus, OfHost},
        known::Known,
        place::AnswerPlace,
        process::ProcessRef,
    },
    verdict::duration,
};

/// The most hosts without an answer that text names.
const ERRORS_SHOWN: usize = 20;

/// The most entries of a list that text names.
const SHOWN: usize = 5;

fn plural(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// Appends a sentence.
fn sentence(text: &str, ink: Option<Ink>, style: Style, out: &mut String) {
    let text = style.wrap(text, 0);
    out.push_str(&ink.map_or_else(|| text.clone(), |ink| style.paint(ink, &text)));
    out.push('\n');
}

/// The zombies of many hosts.
#[must_use]
pub fn fleet_zombies(fleet: &Fleet<FleetZombies>, style: Style) -> String {
    let answer = &fleet.answer;
    let mut out = String::new();
    if answer.zombies == 0 {
        sentence(&format!("no zombies on {}", answered(fleet)), None, style, &mut out);
    } else {
        let heads: Vec<Head> = std::iter::once(("HOST", false)).chain(zombies::heads()).collect();
        let row = |it: &OfHost<_>| std::iter::once(escape(&it.host)).chain(zombies::row(&it.row)).collect();
        let rows: Vec<Vec<String>> = answer.parents.iter().map(row).collect();
        table(&heads, &rows, style, &mut out);
        for OfHost { host, row } in answer.parents.iter().filter(|it| zombies::is_late(&it.row)).take(IN_FULL)
        {
            out.push('\n');
            let explain = format!("taskscope fleet explain {host}/");
            zombies::in_full(row, &format!("{host}: "), &explain, style, &mut out);
        }
        let parents = (answer.parents.len() as u64).saturating_add(answer.parents_left_off);
        let mut text = format!("{} of {}", plural(answer.zombies, "zombie"), plural(parents, "parent"));
        if answer.parents_left_off > 0 {
            let _ = write!(text, "; {} are not listed", plural(answer.parents_left_off, "parent"));
        }
        if answer.just_died > 0 {
            let _ = write!(text, "; {} died just now", answer.just_died);
        }
        let _ = write!(text, "; zombies on {} of {}", answer.hosts_with_zombies, answered(fleet));
        out.push('\n');
        sentence(&text, None, style, &mut out);
    }
    let of = |list: &[OfHost<crate::answer::zombies::Other>]| -> Vec<String> {
        list.iter().map(|it| named(&it.host, &it.row.process)).collect()
    };
    some("not zombies, dead leaders", &of(&answer.dead_leaders), Ink::Odd, style, &mut out);
    some("not zombies, stuck in do_exit()", &of(&answer.stuck_exits), Ink::Odd, style, &mut out);
    let full: Vec<String> = answer
        .full_limits
        .iter()
        .map(|OfHost { host, row }| format!("{host}: {} {}", row.kind, row.name))
        .collect();
    some("limits on pids that are full", &full, Ink::Bad, style, &mut out);
    out.push_str(&fleet_errors(fleet, style));
    out
}

/// The ends of processes on many hosts, the last one first.
#[must_use]
pub fn fleet_deaths(fleet: &Fleet<FleetDeaths>, style: Style) -> String {
    let mut out = String::new();
    if fleet.answer.deaths.is_empty() {
        let text = format!("no such end on {}", answered(fleet));
        sentence(&text, None, style, &mut out);
    }
    for OfHost { host, row } in &fleet.answer.deaths {
        out.push_str(&style.paint(Ink::Strong, &escape(host)));
        out.push_str("  ");
        out.push_str(&super::death(row, style));
    }
    let loops: Vec<String> = fleet
        .answer
        .crash_loops
        .iter()
        .map(|OfHost { host, row }| {
            format!("{host}: {} by `{}` {} times in 10 minutes", place(&row.place), row.cause, row.count)
        })
        .collect();
    some("crash loops", &loops, Ink::Bad, style, &mut out);
    let histories = &fleet.answer.histories;
    let begins = |it: &OfHost<Known>| {
        let since = it.row.known_since.as_ref()?;
        Some(format!("{}: ends before {since} are not known", it.host))
    };
    let begins: Vec<String> = histories.iter().filter_map(begins).collect();
    some("histories on disk", &begins, Ink::Faint, style, &mut out);
    let lacks = |it: &OfHost<Known>| -> Vec<String> {
        it.row.sentences().into_iter().map(|sentence| format!("{}: {sentence}", it.host)).collect()
    };
    let lacks: Vec<String> = histories.iter().flat_map(lacks).collect();
    some("notes on what histories lack", &lacks, Ink::Odd, style, &mut out);
    out.push_str(&fleet_errors(fleet, style));
    out
}

/// The health of many daemons, a row each.
#[must_use]
pub fn fleet_status(fleet: &Fleet<FleetStatus>, style: Style) -> String {
    const HEADS: [Head; 11] = [
        ("HOST", false),
        ("VERSION", false),
        ("UP", true),
        ("TASKS", true),
        ("ZOMBIES", true),
        ("OLD", true),
        ("LOST", true),
        ("DRIFT", true),
        ("LACKS", true),
        ("MIB", true),
        ("STATE", false),
    ];
    let mut out = String::new();
    let row = |OfHost { host, row }: &OfHost<HostStatus>| {
        vec![
            escape(host),
            escape(&row.version),
            duration(row.uptime_ns),
            row.tasks.to_string(),
            row.zombies.to_string(),
            row.zombies_old.to_string(),
            row.records_lost.to_string(),
            row.drifted.to_string(),
            row.degraded.len().to_string(),
            row.resident_bytes.map_or_else(|| "-".into(), |bytes| (bytes >> 20).to_string()),
            state(row),
        ]
    };
    let rows: Vec<_> = fleet.answer.daemons.iter().map(row).collect();
    if !rows.is_empty() {
        table(&HEADS, &rows, style, &mut out);
        out.push('\n');
    }
    let ready = fleet.answer.daemons.iter().filter(|it| it.row.ready).count();
    sentence(&format!("{ready} ready of {}", answered(fleet)), None, style, &mut out);
    out.push_str(&fleet_errors(fleet, style));
    out
}

fn state(row: &HostStatus) -> String {
    match (&row.not_ready_because, &row.ready_but) {
        (Some(why), _) => format!("NOT READY: {}", escape(why)),
        (None, _) if !row.ready => "NOT READY".into(),
        (None, Some(but)) => escape(but),
        (None, None) => "ready".into(),
    }
}

fn answered<T>(fleet: &Fleet<T>) -> String {
    plural(fleet.hosts_answered, "host") + if fleet.errors.is_empty() { "" } else { " that answered" }
}

fn named(host: &str, process: &ProcessRef) -> String {
    format!("{host}: {process}")
}

fn place(place: &AnswerPlace) -> String {
    place.short()
}

/// Appends a list: the names of its first entries, and the number of the others.
fn some(what: &str, entries: &[String], ink: Ink, style: Style, out: &mut String) {
    if entries.is_empty() {
        return;
    }
    let mut text = format!("{} {what}: ", entries.len());
    text.push_str(&entries.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; "));
    if entries.len() > SHOWN {
        let _ = write!(text, "; and {} more", entries.len() - SHOWN);
    }
    sentence(&text, Some(ink), style, out);
}

/// The hosts that did not answer, and why; empty if all did.
#[must_use]
pub fn fleet_errors<T>(fleet: &Fleet<T>, style: Style) -> String {
    let mut out = String::new();
    if fleet.errors.is_empty() {
        return out;
    }
    let text = format!("no answer from {} of {}:", fleet.errors.len(), plural(fleet.hosts_asked, "host"));
    sentence(&text, Some(Ink::Bad), style, &mut out);
    let widest = fleet.errors.iter().take(ERRORS_SHOWN).map(|error| super::columns(&escape(&error.host)));
    let width = widest.max().unwrap_or_default();
    for error in fleet.errors.iter().take(ERRORS_SHOWN) {
        let host = escape(&error.host);
        let pad = " ".repeat(width.saturating_sub(super::columns(&host)));
        let _ = writeln!(out, "  {host}{pad}  {}", style.wrap(&error.message, width + 4));
    }
    if fleet.errors.len() > ERRORS_SHOWN {
        let _ = writeln!(out, "  and {} more: --format json lists all", fleet.errors.len() - ERRORS_SHOWN);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::fleet::{ErrorKind, HostError};

    fn error(host: &str) -> HostError {
        HostError {
            host: host.into(),
            kind: ErrorKind::Nonsense,
            message: "its answer is \u{1b}[2J\nnonsense".into(),
        }
    }

    #[test]
    fn hosts_that_did_not_answer_are_named_and_their_words_do_no_harm() {
        let mut errors: Vec<HostError> = (0..ERRORS_SHOWN + 5).map(|n| error(&format!("n{n}"))).collect();
        errors[0] = error("a-long-name:9464");
        let fleet = Fleet { hosts_asked: 30, hosts_answered: 5, answer: FleetDeaths::new(9), errors };
        let text = fleet_deaths(&fleet, Style::default());
        assert!(
            text.starts_with("no such end on 5 hosts that answered\nno answer from 25 of 30 hosts:\n"),
            "{text}"
        );
        assert!(
            text.contains("  a-long-name:9464  its answer is \\x1b[2J\\x0anonsense\n  n1                its"),
            "{text}"
        );
        assert!(text.ends_with("  and 5 more: --format json lists all\n"), "{text}");
    }

    #[test]
    fn one_row_tells_the_health_of_a_daemon() {
        let row: HostStatus = serde_json::from_str(
            r#"{"version":"0.1.0","uptime_ns":60000000000,"ready":true,"ready_but":"degraded: 3 records lost","tasks":196,
            "processes":40,"zombies":5,"zombies_old":1,"records_lost":3,"resident_bytes":50331648,"degraded":["x"]}"#,
        )
        .unwrap();
        let daemons = vec![OfHost { host: "node1".into(), row }];
        let answer = FleetStatus { daemons };
        let fleet = Fleet { hosts_asked: 1, hosts_answered: 1, answer, errors: Vec::new() };
        assert_eq!(
            fleet_status(&fleet, Style::default()),
            "HOST   VERSION     UP  TASKS  ZOMBIES  OLD  LOST  DRIFT  LACKS  MIB  STATE\n\
             node1  0.1.0    1 min    196        5    1     3      0      1   48  degraded: 3 records lost\n\n\
             1 ready of 1 host\n"
        );
    }
}
