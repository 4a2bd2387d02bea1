//! One life as text: the process, the verdict, the history.

use std::fmt::Write as _;

use super::{Ink, Style, columns, escape, moment, scope, stop, verdict};
use crate::{
    answer::{
        death::Death,
        explain::{Explanation, Step},
        place::AnswerPlace,
        task::ZombieAge,
    },
    verdict::duration,
};

/// The answer as text.
#[must_use]
pub fn explanation(answer: &Explanation, style: Style) -> String {
    let mut out = String::new();
    out.push_str(&style.paint(Ink::Strong, &style.wrap(&title(answer), 0)));
    out.push('\n');
    let _ = writeln!(out, "  {}", style.wrap(&who(answer), 2));
    if let Some(now) = &answer.now {
        for (n, line) in now.lines().iter().enumerate() {
            let head = if n == 0 { "now  " } else { "     " };
            let _ = writeln!(out, "  {}{}", style.paint(Ink::Faint, head), style.wrap(&escape(line), 7));
        }
    }
    for missing in &answer.missing {
        let text = format!("not known: {}; this needs {}", missing.fact, missing.needs);
        let _ = writeln!(out, "  {}{}", style.paint(Ink::Faint, "now  "), style.wrap(&text, 7));
    }
    let is_reported = answer.now.is_some() || !answer.missing.is_empty();
    if !is_reported && matches!(answer.task.state.as_str(), "running" | "exiting") {
        let _ = writeln!(
            out,
            "  {}not known: the kernel's task iterator does not show it",
            style.paint(Ink::Faint, "now  ")
        );
    }
    out.push('\n');
    // The history has an exit by itself.
    let is_plain = |death: &&Death| death.cause == "exited" && death.other_signals.is_empty();
    if let Some(death) = answer.death.as_ref().filter(|death| !is_plain(death)) {
        out.push_str(&style.paint(Ink::Odd, &style.wrap(&ending(death), 0)));
        out.push_str("\n\n");
    }
    let sure = if answer.verdict.certainty == "likely" { "likely: " } else { "" };
    let text = style.wrap(&format!("{sure}{}", answer.verdict.summary), 0);
    let ink = if answer.verdict.remedy.is_some() { Ink::Bad } else { Ink::Good };
    out.push_str(&style.paint(ink, &text));
    out.push('\n');
    verdict(&answer.verdict, style, &mut out);
    out.push('\n');
    let time = |step: &Step| step.timestamp.as_deref().map_or_else(String::new, |at| moment(at, style));
    let width = answer.story.iter().map(|step| columns(&time(step))).max().unwrap_or(0);
    for step in &answer.story {
        let time = style.paint(Ink::Faint, &format!("{:<width$}", time(step)));
        let _ = writeln!(out, "  {time}  {}", style.wrap(&step.text, width + 4));
    }
    for story in &answer.scopes {
        out.push('\n');
        out.push_str(&scope(story, style));
    }
    for story in &answer.stops {
        out.push('\n');
        out.push_str(&stop(story, style));
    }
    out
}

/// Returns why a process ended. The cause comes first, unless the sentence begins with it: `killed by SIGTERM from ...`.
fn ending(death: &Death) -> String {
    let cause = death.cause.replace('_', " ");
    if death.summary.starts_with(&cause) {
        death.summary.clone()
    } else {
        format!("{cause}: {}", death.summary)
    }
}

fn title(answer: &Explanation) -> String {
    let process = &answer.process;
    let name = process.name.as_deref().unwrap_or("?");
    let pid = process.pid;
    let task = &answer.task;
    let now = answer.made.boottime_ns;
    let state = match task.state.as_str() {
        "running" => "is alive".into(),
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
    parts.extend(answer.place.as_ref().map(AnswerPlace::short).filter(|place| place != "-"));
    if let Some(id) = &process.entity_id {
        parts.push(format!("id {id}"));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        answer::{ExplainDraft, HostFacts, LineageAt, TaskSelector},
        export::Stamp,
        lineage::{Config, Lineage, id::Ktime},
        procfs::Procfs,
    };

    /// Creates the explanation of the idle task's only known child.
    fn of(record: &crate::lineage::record::Record) -> String {
        let mut lineage = Lineage::new(Config::default());
        lineage.apply(record, record.at, &mut Vec::new());
        let stamp = Stamp::new("0badcafe-0000", 0);
        let lineage_at =
            LineageAt { lineage: &lineage, now: Ktime(9_000_000_000), observed_since: Some(Ktime(0)) };
        let draft = ExplainDraft::asked(&TaskSelector::Pid(4_194_000), &lineage_at, &stamp).unwrap();
        let nowhere = Procfs::at(std::path::Path::new("/nonexistent"));
        let host_facts = &mut HostFacts { stamp: &stamp, procfs: &nowhere, places: &mut |_| None };
        let explained = draft.explain(host_facts);
        // The client parses the daemon's JSON into an equal answer.
        let json = serde_json::to_string(&explained).unwrap();
        assert_eq!(serde_json::from_str::<Explanation>(&json).unwrap(), explained);
        explanation(&explained, Style::default())
    }

    fn born(name: [u8; 16]) -> crate::lineage::record::Record {
        use crate::lineage::{
            id::{TaskKey, TaskRef, Tgid, Tid},
            record::{Comm, Fact, New, Record, TaskPlace},
        };
        let key = TaskKey { tid: Tid(4_194_000), start: Ktime(4_000_000_000) };
        let new = New {
            task: TaskRef { key, tgid: Tgid(4_194_000) },
            leader_start: None,
            creator: None,
            parent: None,
            clone_flags: Some(0x4100),
            exit_signal: Some(10),
            task_flags: Some(0),
            place: TaskPlace::default(),
            comm: Some(Comm(name)),
        };
        Record { at: key.start, cpu: 0, fact: Fact::New(Box::new(new).as_ref().to_owned()) }
    }

    #[test]
    fn the_cause_is_said_once() {
        let death = |cause: &str, summary: &str| -> Death {
            serde_json::from_value(serde_json::json!({
                "@timestamp": "", "boottime_ns": 1, "process": {"pid": 7}, "cause": cause,
                "certainty": "certain", "summary": summary,
            }))
            .unwrap()
        };
        let said = |cause, summary| ending(&death(cause, summary));
        assert_eq!(said("killed", "killed by SIGTERM from sh (pid 8)"), "killed by SIGTERM from sh (pid 8)");
        assert_eq!(said("timeout", "timeout(1) ended it by SIGKILL"), "timeout(1) ended it by SIGKILL");
        assert_eq!(said("escalation", "killed by SIGKILL"), "escalation: killed by SIGKILL");
        assert_eq!(
            said("killed_by_itself", "sent SIGTERM to itself"),
            "killed by itself: sent SIGTERM to itself"
        );
    }

    #[test]
    fn a_life_is_reported_from_its_beginning_and_harmless() {
        let text = of(&born(*b"ev\x1b[2Jil\n\0\0\0\0\0\0\0"));
        assert!(text.starts_with("ev\\x1b[2Jil\\x0a (pid 4194000) is alive\n"), "{text}");
        assert!(text.contains("id 0badcafe-4194000-4000000000"), "{text}");
        assert!(text.contains("1970-01-01 00:00:04.000 UTC  vforked"), "{text}");
        assert!(text.contains("CLONE_VM|CLONE_VFORK, exit signal SIGUSR1"), "{text}");
        assert!(text.contains("unknown   its state in /proc"), "{text}");
        assert!(!text.contains('\x1b'), "{text}");
    }
}
