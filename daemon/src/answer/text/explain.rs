//! One life as text: who it is, the verdict, the story.

use std::fmt::Write as _;

use super::{Ink, Style, moment, verdict};
use crate::{
    answer::{explain::Explanation, place::Place, task::ZombieAge},
    lineage::explain::duration,
};

/// The answer as text.
#[must_use]
pub fn explanation(answer: &Explanation, style: Style) -> String {
    let mut out = String::new();
    out.push_str(&style.paint(Ink::Strong, &style.wrap(&title(answer), 0)));
    out.push('\n');
    let _ = write!(out, "  {}\n\n", style.wrap(&who(answer), 2));
    let sure = if answer.verdict.certainty == "likely" { "likely: " } else { "" };
    let text = style.wrap(&format!("{sure}{}", answer.verdict.summary), 0);
    let ink = if answer.verdict.remedy.is_some() { Ink::Bad } else { Ink::Good };
    out.push_str(&style.paint(ink, &text));
    out.push('\n');
    verdict(&answer.verdict, style, &mut out);
    out.push('\n');
    for step in &answer.story {
        const TIME: usize = 23;
        let time = step.timestamp.as_deref().map(moment).unwrap_or_default();
        let time = style.paint(Ink::Faint, &format!("{time:<TIME$}"));
        let _ = writeln!(out, "  {time}  {}", style.wrap(&step.text, TIME + 4));
    }
    out
}

fn title(answer: &Explanation) -> String {
    let process = &answer.process;
    let name = process.name.as_deref().unwrap_or("?");
    let pid = process.pid;
    let task = &answer.task;
    let now = answer.made.boottime_ns;
    let state = match task.state.as_str() {
        "running" => "lives".into(),
        "exiting" => "is exiting".into(),
        "dead_leader" => "is a dead leader with live threads".into(),
        "zombie" => match task.zombie {
            Some(zombie) => format!("is a zombie, for {}", in_words(zombie)),
            None => "is a zombie".into(),
        },
        _ => match task.released_boottime_ns {
            Some(at) => format!("is gone, {} ago", duration(now.saturating_sub(at))),
            None => "is gone".into(),
        },
    };
    format!("{name} (pid {pid}) {state}")
}

fn in_words(age: ZombieAge) -> String {
    let (least, most) = (age.zombie_at_least_ns, age.zombie_at_most_ns);
    if least == most {
        duration(least)
    } else if least >= 1_000_000_000 {
        format!("{} at least", duration(least))
    } else {
        format!("{} at most", duration(most))
    }
}

fn who(answer: &Explanation) -> String {
    let (process, task) = (&answer.process, &answer.task);
    let mut parts = Vec::new();
    if let Some(vpid) = process.vpid.filter(|&vpid| vpid != process.pid) {
        let level = task.pid_ns.map_or(0, |namespace| namespace.level);
        parts.push(format!("pid {vpid} in its pid namespace (level {level})"));
    }
    match &answer.parent {
        Some(parent) => parts.push(format!("parent {parent}")),
        None => {
            parts.extend(process.parent_pid.filter(|&pid| pid != 0).map(|pid| format!("parent pid {pid}")));
        }
    }
    if task.kind != "process" {
        parts.push(task.kind.replace('_', " "));
    }
    if let Some(user) = &process.user {
        parts.push(format!("uid {}", user.id));
    }
    if task.threads > 1 {
        parts.push(format!("{} threads", task.threads));
    }
    parts.extend(answer.place.as_ref().map(Place::short).filter(|place| place != "-"));
    if let Some(id) = &process.entity_id {
        parts.push(format!("id {id}"));
    }
    parts.join(", ")
}
