//! What changed between two times, as text.

use std::fmt::Write as _;

use crate::answer::text::{Ink, Style, columns, escape, fitting, moment};
use crate::{
    answer::{
        difference::{Difference, UsedByName},
        place::AnswerPlace,
    },
    verdict::duration,
};

/// The most processes of each list; JSON has all.
const MOST: usize = 50;

/// The most names in the table of CPU times.
const MOST_NAMES: usize = 10;

/// The answer as text.
#[must_use]
pub fn difference(answer: &Difference, style: Style) -> String {
    let head = format!("from {} to {}", moment(&answer.from, style), moment(&answer.to, style));
    let mut out = format!("{}\n", style.paint(Ink::Faint, &head));
    let place = |place: &Option<AnswerPlace>| {
        let short = place.as_ref().map(AnswerPlace::short).filter(|short| short != "-");
        short.map_or_else(String::new, |short| format!(" [{short}]"))
    };
    let new = answer.new.iter().map(|it| {
        let parent = it.parent.as_ref().map_or_else(String::new, |parent| format!(" below {parent}"));
        format!("{}{}{parent}", it.process, place(&it.place))
    });
    list(&mut out, style, Ink::Good, "new", new);
    let gone = answer.gone.iter().map(|it| {
        let how = it.death.as_ref().map_or_else(
            || "how it ended is not known".into(),
            |death| format!("{}: {}", moment(&death.timestamp, style), death.summary),
        );
        format!("{}{}, {how}", it.process, place(&it.place))
    });
    list(&mut out, style, Ink::Bad, "gone", gone);
    let moved =
        answer.moved.iter().map(|it| format!("{} from {} to {}", it.process, it.old_parent, it.new_parent));
    list(&mut out, style, Ink::Odd, "moved", moved);
    let text = match answer.came_and_went {
        0 => "no process began and ended in between".into(),
        1 => "1 process began and ended in between".into(),
        count => format!("{count} processes began and ended in between"),
    };
    let _ = writeln!(out, "{}", style.wrap(&text, 0));
    used(&mut out, style, &answer.used);
    out
}

fn list(out: &mut String, style: Style, ink: Ink, what: &str, all: impl ExactSizeIterator<Item = String>) {
    let count = all.len();
    let _ = writeln!(out, "{}", style.paint(ink, &format!("{count} {what}")));
    for text in all.take(MOST) {
        let _ = writeln!(out, "    {}", style.wrap(&text, 8));
    }
    if count > MOST {
        let _ = writeln!(out, "    and {} more: --format json lists them", count - MOST);
    }
}

/// Appends the table of CPU time by name.
fn used(out: &mut String, style: Style, all: &[UsedByName]) {
    if all.is_empty() {
        return;
    }
    let heads = format!("{:<20} {:>9} {:>10}  OLDER, ENDED", "NAME", "PROCESSES", "CPU TIME");
    let _ = writeln!(out, "{}", style.paint(Ink::Faint, &heads));
    for used in all.iter().take(MOST_NAMES) {
        let name = escape(&used.name);
        let name = fitting(&name, 20);
        let pad = 20_usize.saturating_sub(columns(name));
        let mut line =
            format!("{name}{:pad$} {:>9} {:>10}", "", used.processes, duration(used.exec_runtime_ns));
        if used.older_processes > 0 {
            let _ =
                write!(line, "  {}: {} in all", used.older_processes, duration(used.older_exec_runtime_ns));
        }
        let _ = writeln!(out, "{line}");
    }
    if all.len() > MOST_NAMES {
        let _ = writeln!(out, "and {} more names", all.len() - MOST_NAMES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{difference::NewProcess, process::ProcessRef};

    #[test]
    fn a_difference_fits_80_columns_and_its_text_is_harmless() {
        let process = |pid| ProcessRef {
            pid,
            entity_id: None,
            name: Some("a\u{1b}b 工作 long name".into()),
            name_bytes: None,
        };
        let new = (0..60).map(|pid| NewProcess {
            process: process(pid),
            parent: Some(process(4_194_303)),
            place: serde_json::from_str(
                r#"{"cgroup":{"path":"/a/b","unit":"a-unit-with-a-long-name.service"}}"#,
            )
            .ok(),
        });
        let used = (0..12).map(|n| UsedByName {
            name: format!("\u{1b}{}", "工".repeat(30)),
            processes: n,
            exec_runtime_ns: 123_456_789_012,
            older_processes: 3,
            older_exec_runtime_ns: 123_456_789_012,
        });
        let answer = Difference {
            from: "2026-11-28T23:52:00.000Z".into(),
            to: "2026-11-28T23:59:00.000Z".into(),
            new: new.collect(),
            used: used.collect(),
            came_and_went: 1,
            ..Difference::default()
        };
        let text = difference(&answer, Style { width: Some(80), ..Style::default() });
        assert!(text.lines().all(|line| columns(line) <= 80), "{text}");
        assert!(!text.contains('\x1b') && text.contains("and 10 more") && text.contains("60 new"), "{text}");
    }
}
