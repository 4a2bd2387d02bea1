//! Zombies by parent as a table, and verdicts on the parents with most zombies.

use std::fmt::Write as _;

use super::{
    Ink, Style, age, escape,
    table::{Head, table},
    verdict,
};
use crate::{
    answer::zombies::{Other, ZombieParent, Zombies},
    verdict::{Code, duration},
};

/// The most parents whose verdict is shown.
pub(super) const IN_FULL: usize = 3;

/// The most other processes that are named.
const OTHERS: usize = 3;

/// A column: its title, whether it is a number, and what is in it.
type Column = (&'static str, bool, fn(&ZombieParent) -> String);

const TABLE: [Column; 7] = [
    ("ZOMBIES", true, |parent| parent.children.zombies.to_string()),
    ("OLDEST", true, |parent| age(parent.oldest)),
    ("PER MIN", true, |parent| parent.zombies_per_minute.map_or("-".into(), |rate| format!("{rate:.1}"))),
    ("REAPED", true, reaped),
    ("PARENT", false, |parent| name(parent)),
    ("WHERE", false, |parent| parent.place.as_ref().map_or("-".into(), |place| escape(&place.short()))),
    ("WHY", false, |parent| escape(&parent.verdict.words)),
];

fn name(parent: &ZombieParent) -> String {
    let name = parent.process.name.as_deref().map_or_else(|| "?".into(), escape);
    format!("{name} (pid {})", parent.process.pid)
}

/// Returns how many children it has reaped, and how long they were zombies.
fn reaped(parent: &ZombieParent) -> String {
    match parent.children.reap_latency_mean_ns {
        Some(mean) => format!("{} in {}", parent.children.reaped, duration(mean)),
        None if parent.zombies_per_minute.is_none() && parent.children.reaped == 0 => "-".into(),
        None => parent.children.reaped.to_string(),
    }
}

/// The answer as text.
#[must_use]
pub fn zombies(answer: &Zombies, style: Style) -> String {
    let mut out = String::new();
    if answer.zombies == 0 {
        out.push_str("no zombies\n");
    } else {
        let (heads, rows): (Vec<_>, Vec<Vec<_>>) =
            (heads().collect(), answer.parents.iter().map(|parent| row(parent).collect()).collect());
        table(&heads, &rows, style, &mut out);
        for parent in answer.parents.iter().filter(|parent| is_late(parent)).take(IN_FULL) {
            out.push('\n');
            in_full(parent, "", "taskscope explain ", style, &mut out);
        }
        out.push('\n');
        let mut text = String::new();
        summary(answer, &mut text);
        out.push_str(&style.wrap(text.trim_end(), 0));
        out.push('\n');
    }
    others(
        "dead leader",
        "the main thread ended, others live: no wait can reap it",
        &answer.dead_leaders,
        style,
        &mut out,
    );
    others("stuck exit", "in do_exit() and not a zombie yet", &answer.stuck_exits, style, &mut out);
    super::limits::full(&answer.full_limits, style, &mut out);
    out
}

/// Returns the titles of the table.
pub(super) fn heads() -> impl Iterator<Item = Head> {
    TABLE.iter().map(|(title, is_number, _)| (*title, *is_number))
}

/// Returns the row of a parent, escaped.
pub(super) fn row(parent: &ZombieParent) -> impl Iterator<Item = String> {
    TABLE.iter().map(|(_, _, cell)| cell(parent))
}

/// Returns whether the verdict on a parent is shown: not while its zombies died just now.
pub(super) fn is_late(parent: &ZombieParent) -> bool {
    parent.verdict.code != Code::JustDied.name()
}

/// Appends the verdict on a parent. `before` is put before its sentence; `explain` is the command before a pid.
pub(super) fn in_full(parent: &ZombieParent, before: &str, explain: &str, style: Style, out: &mut String) {
    let sure = if parent.verdict.certainty == "likely" { "likely: " } else { "" };
    let text = style.wrap(&format!("{before}{sure}{}", parent.verdict.summary), 0);
    out.push_str(&style.paint(Ink::Bad, &text));
    out.push('\n');
    verdict(&parent.verdict, style, out);
    if let Some(oldest) = parent.oldest_zombies.first() {
        let culprit = parent.verdict.culprit.as_ref().map_or(parent.process.pid, |culprit| culprit.pid);
        let who = oldest.process.to_string();
        let text = format!("oldest zombie {who}; {explain}{}, {explain}{culprit}", oldest.process.pid);
        let _ = writeln!(out, "  {:<10}{}", "more", style.wrap(&text, 12));
    }
}

fn summary(answer: &Zombies, out: &mut String) {
    let plural =
        |count: u64, one: &str| if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") };
    let parents = (answer.parents.len() as u64).saturating_add(answer.parents_left_off);
    let _ = write!(out, "{} of {}", plural(answer.zombies, "zombie"), plural(parents, "parent"));
    if answer.parents_left_off > 0 {
        let _ = write!(out, "; {} parents are not listed", answer.parents_left_off);
    }
    if answer.just_died > 0 {
        let _ = write!(out, "; {} died just now", answer.just_died);
    }
    match answer.made.observed_ns {
        Some(observed) => {
            let _ = writeln!(out, "; observed for {}", duration(observed));
        }
        None => out.push_str(
            "; polled once: ages are bounds, and there are no rates (use --observe 10s, or a running daemon)\n",
        ),
    }
}

fn others(what: &str, means: &str, others: &[Other], style: Style, out: &mut String) {
    let Some(_) = others.first() else { return };
    let plural = if others.len() == 1 { "" } else { "s" };
    let mut names: Vec<String> = others
        .iter()
        .take(OTHERS)
        .map(|other| match other.for_at_least_ns {
            Some(ns) => format!("{} for {}", other.process, duration(ns)),
            None => other.process.to_string(),
        })
        .collect();
    if others.len() > OTHERS {
        names.push("...".into());
    }
    let text = format!("not zombies: {} {what}{plural} ({means}): {}", others.len(), names.join(", "));
    let text = style.wrap(&text, 0);
    out.push_str(&style.paint(Ink::Odd, &text));
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::text::columns;
    use crate::answer::{
        Made,
        place::{AnswerPlace, Cgroup},
        process::{Process, ProcessRef},
        task::{Children, ZombieAge},
        verdict::AnswerVerdict,
        zombies::Zombie,
    };

    const SECOND: u64 = 1_000_000_000;

    fn process(pid: u32, name: &str) -> Process {
        Process {
            pid,
            vpid: None,
            entity_id: None,
            parent_pid: None,
            parent_entity_id: None,
            name: Some(name.into()),
            name_bytes: None,
            executable: None,
            user: None,
            real_user: None,
            exit: None,
        }
    }

    fn zombie_parent(pid: u32, name: &str, zombies: u32, code: Code) -> ZombieParent {
        let age = ZombieAge { zombie_at_least_ns: 90 * SECOND, zombie_at_most_ns: 90 * SECOND };
        let zombie = ProcessRef { pid: pid + 1, entity_id: None, name: Some(name.into()), name_bytes: None };
        ZombieParent {
            process: process(pid, name),
            place: Some(AnswerPlace {
                cgroup: Cgroup { controller_path: None, path: "/x".into(), unit: Some("app.service".into()) },
                container: None,
                pod: None,
            }),
            children: Children {
                reaped: 4,
                zombies,
                reap_latency_mean_ns: Some(2 * SECOND),
                ..Children::default()
            },
            zombies_per_minute: Some(1.5),
            oldest: age,
            verdict: AnswerVerdict {
                code: code.name().into(),
                words: code.words().into(),
                certainty: "likely".into(),
                summary: format!("{name} (pid {pid}) is to blame"),
                culprit: None,
                evidence: vec!["it was seen".into()],
                remedy: Some(format!("now: kill {pid}")),
                missing: Vec::new(),
            },
            oldest_zombies: vec![Zombie { process: zombie, exit: None, age }],
            related: Vec::new(),
        }
    }

    fn answer(parents: Vec<ZombieParent>) -> Zombies {
        let made = Made { timestamp: String::new(), boottime_ns: 0, observed_ns: Some(60 * SECOND) };
        let zombies = parents.iter().map(|parent| u64::from(parent.children.zombies)).sum();
        let (dead_leaders, stuck_exits) = (Vec::new(), Vec::new());
        Zombies {
            made,
            zombies,
            just_died: 0,
            reap_debt_ns: 0,
            parents,
            parents_left_off: 0,
            dead_leaders,
            stuck_exits,
            full_limits: Vec::new(),
        }
    }

    #[test]
    fn one_screen_names_the_culprit_the_reason_and_the_remedy() {
        let text = zombies(&answer(vec![zombie_parent(7, "app", 3, Code::NeverWaits)]), Style::default());
        assert_eq!(
            text,
            "ZOMBIES      OLDEST  PER MIN      REAPED  PARENT       WHERE        WHY\n      \
             3  1 min 30 s      1.5  4 in 2.0 s  app (pid 7)  app.service  never waits\n\n\
             likely: app (pid 7) is to blame\n  \
             because   it was seen\n  \
             remedy    now: kill 7\n  \
             more      oldest zombie app (pid 8); taskscope explain 8, taskscope explain 7\n\n\
             3 zombies of 1 parent; observed for 1 min\n"
        );
    }

    #[test]
    fn no_zombies_is_said_in_two_words() {
        assert_eq!(zombies(&answer(Vec::new()), Style::default()), "no zombies\n");
    }

    #[test]
    fn who_only_just_heard_of_it_is_not_accused() {
        let text = zombies(&answer(vec![zombie_parent(7, "app", 3, Code::JustDied)]), Style::default());
        assert!(text.contains("died just now") && !text.contains("to blame"), "{text}");
    }

    #[test]
    fn processes_that_only_look_like_zombies_are_listed_separately() {
        let mut answer = answer(Vec::new());
        let java = ProcessRef { pid: 9, entity_id: None, name: Some("java".into()), name_bytes: None };
        answer.dead_leaders =
            vec![Other { process: java, threads_left: 3, for_at_least_ns: Some(5 * SECOND) }];
        let text = zombies(&answer, Style::default());
        assert!(text.starts_with("no zombies\nnot zombies: 1 dead leader "), "{text}");
        assert!(text.contains("java (pid 9) for 5.0 s"), "{text}");
    }

    #[test]
    fn hostile_names_and_narrow_screens_do_no_harm() {
        let answer = answer(vec![zombie_parent(7, "a\x1b[2J\nb\u{202e}", 3, Code::NeverWaits)]);
        for width in [20, 60, 200] {
            let text = zombies(&answer, Style { width: Some(width), ..Style::default() });
            assert!(!text.contains(['\x1b', '\u{202e}']), "{text}");
            // Rows of the table are cut; sentences are wrapped at blanks.
            assert!(text.lines().take(2).all(|line| columns(line) <= width), "{text}");
        }
        let colours = zombies(&answer, Style { colour: true, ..Style::default() });
        assert!(colours.contains("\x1b[31m") && !colours.contains("\x1b[2J"), "{colours}");
    }
}
