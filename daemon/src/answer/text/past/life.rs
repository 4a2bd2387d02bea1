//! Processes of the past as text.

use std::fmt::Write as _;

use crate::answer::text::{Ink, Style, escape, moment};
use crate::{
    answer::{
        death::Death,
        life::LifeRecord,
        past_life::{PastAncestor, PastLife, PastLives},
        place::AnswerPlace,
        usage::AnswerUsage,
    },
    verdict::duration,
};

/// The column at which facts begin.
const INDENT: usize = 14;

/// The answer as text: the process, and one fact per line.
#[must_use]
pub fn past_lives(answer: &PastLives, style: Style) -> String {
    let at = moment(&answer.at, style);
    if answer.processes.is_empty() {
        let text = format!(
            "no such process is known for {at}: it may have exited before the oldest process that is still known, or it is alive and no \
             daemon answers"
        );
        return format!("{}\n", style.wrap(&text, 0));
    }
    let mut out = String::new();
    for past in &answer.processes {
        if !out.is_empty() {
            out.push('\n');
        }
        let head = format!("{} as of {at}", escape(&past.process.to_string()));
        let _ = writeln!(out, "{}", style.paint(Ink::Strong, &head));
        for (name, text) in facts(past, style) {
            let _ = writeln!(out, "    {name:<9} {}", style.wrap(&text, INDENT));
        }
    }
    out
}

fn facts(past: &PastLife, style: Style) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    match &past.life {
        Some(life) => of_life(life, style, &mut facts),
        None => facts.push(("state", "it still exists: taskscope explain PID says more".into())),
    }
    facts.push(("ancestors", ancestors(&past.ancestors)));
    facts
}

fn of_life(life: &LifeRecord, style: Style, facts: &mut Vec<(&'static str, String)>) {
    let time = |text: &str| moment(text, style);
    let start = life.start_timestamp.as_deref().map_or_else(|| "at an unknown time".into(), time);
    let mut began = start;
    if let Some(creator) = &life.first_parent {
        let _ = write!(began, " by {creator}");
    }
    if let Some(program) = &life.process.executable {
        let _ = write!(began, "; program {}", program.path);
    }
    facts.push(("created", began));
    if let Some(unit) = life.place.as_ref().map(AnswerPlace::short).filter(|unit| unit != "-") {
        facts.push(("in", unit));
    }
    let death = Death::of_life(life);
    facts.push(("ended", format!("{}: {}", time(&death.timestamp), death.summary)));
    let mut gone = Vec::new();
    if let Some(ns) = life.zombie_duration_ns {
        let bound = match life.zombie_duration_bound.as_deref() {
            Some("at_least") => "at least ",
            Some("at_most") => "at most ",
            _ => "",
        };
        gone.push(format!("zombie for {bound}{}", duration(ns)));
    }
    if let Some(reaper) = &life.reaper {
        let name = reaper.name.as_deref().unwrap_or("?");
        gone.push(format!("reaped by {name} (pid {}), its {}", reaper.pid, reaper.kind.replace('_', " ")));
    }
    if !gone.is_empty() {
        facts.push(("released", format!("{}: {}", time(&life.timestamp), gone.join(", "))));
    }
    if life.reparented > 0 {
        let times = if life.reparented == 1 { "once".into() } else { format!("{} times", life.reparented) };
        let kind = life.reparent_kind.as_deref().unwrap_or("another process").replace('_', " ");
        facts.push(("moved", format!("reparented {times}, the last time to {kind}")));
    }
    if let Some(AnswerUsage { figures, .. }) = &life.usage {
        let text = format!(
            "{} of CPU time in all (user {}, system {}), {} page faults",
            duration(figures.exec_runtime_ns),
            duration(figures.user_ns),
            duration(figures.system_ns),
            figures.minor_faults.saturating_add(figures.major_faults)
        );
        facts.push(("used", text));
    }
}

fn ancestors(all: &[PastAncestor]) -> String {
    let mut text: Vec<String> = all
        .iter()
        .map(|ancestor| match ancestor.state.as_str() {
            "unknown" => {
                format!(
                    "{} (known only from its child's record; its own ancestors are not known)",
                    ancestor.process
                )
            }
            _ => ancestor.process.to_string(),
        })
        .collect();
    if text.is_empty() {
        text.push("none are known".into());
    }
    text.join(" < ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::process::ProcessRef;

    fn life() -> LifeRecord {
        serde_json::from_str(
            r#"{"@timestamp":"2026-11-28T23:55:31.613Z","life_version":1,"process":{"pid":7,"name":"d\u001bd","parent_pid":8,
            "exit":{"status":9,"signal":9,"signal_name":"SIGKILL"},"executable":{"path":"/usr/bin/d"}},
            "start_timestamp":"2026-11-28T23:50:00.000Z","boottime_ns":5000000000,"ended_boottime_ns":3000000000,
            "reparented":1,"reparented_boottime_ns":2000000000,"reparent_kind":"init","first_parent":{"pid":6,"name":"sh"},
            "execs":1,"death":{"cause":"killed","certainty":"certain","signal":{"signal":9,"signal_name":"SIGKILL",
            "boottime_ns":2,"to":"process","result":"delivered","times":1,"sender":{"process":{"pid":9,"name":"bash"}}}},
            "zombie_duration_ns":2000000000,"reaper":{"pid":1,"name":"init","kind":"parent"},"provenance":"observed"}"#,
        )
        .unwrap()
    }

    #[test]
    fn a_past_life_fits_80_columns_and_its_text_is_harmless() {
        let process = ProcessRef { pid: 7, entity_id: None, name: Some("d\u{1b}d".into()), name_bytes: None };
        let ancestors = (0..8).map(|pid| PastAncestor {
            process: ProcessRef { pid, entity_id: None, name: Some("shell".into()), name_bytes: None },
            start_timestamp: None,
            ended_timestamp: None,
            state: if pid == 7 { "unknown" } else { "ended" }.into(),
        });
        let answer = PastLives {
            at: "2026-11-28T23:52:00.000Z".into(),
            processes: vec![PastLife {
                process,
                life: Some(Box::new(life())),
                ancestors: ancestors.collect(),
            }],
            history: None,
        };
        let text = past_lives(&answer, Style { width: Some(80), ..Style::default() });
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(!text.contains('\x1b'), "{text}");
        for part in [
            "killed by SIGKILL from bash (pid 9)",
            "zombie for 2.0 s",
            "reaped by init (pid 1)",
            "reparented once",
        ] {
            assert!(text.replace("\n              ", " ").contains(part), "{part} is not in {text}");
        }
    }

    #[test]
    fn the_parent_of_a_life_is_that_of_the_time() {
        let life = life();
        let end = life.released_ms().unwrap();
        assert_eq!((life.parent_at(end - 3001), life.parent_at(end - 3000)), (Some(6), Some(8)));
        assert_eq!(life.ended_ms(), Some(end - 2000));
        assert!(life.existed_at(end) && !life.existed_at(end + 1) && !life.existed_at(end - 400_000));
    }
}
