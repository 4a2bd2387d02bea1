//! Tasks in uninterruptible sleep as a table, and details of the first ones.

use std::fmt::Write as _;

use super::{Ink, Style, columns, escape, fitting};
use crate::{
    answer::blocked::{BlockedTask, BlockedTasks},
    verdict::duration,
};

/// The most tasks with details.
const IN_FULL: usize = 5;

/// The column of the text after a label.
const INDENT: usize = 12;

/// The answer as text.
#[must_use]
pub fn blocked(answer: &BlockedTasks, style: Style) -> String {
    let mut out = String::new();
    if let Some(why) = &answer.unknown_because {
        let text = format!("not known: the kernel's task iterator cannot be read: {why}");
        out.push_str(&style.wrap(&text, 0));
        out.push('\n');
        return out;
    }
    if answer.tasks.is_empty() {
        out.push_str("no task is blocked in uninterruptible sleep (state D)\n");
        return out;
    }
    table(&answer.tasks, style, &mut out);
    for task in answer.tasks.iter().take(IN_FULL) {
        out.push('\n');
        in_full(task, style, &mut out);
    }
    let plural = if answer.blocked == 1 { "" } else { "s" };
    let mut text = format!("{} task{plural} blocked", answer.blocked);
    if answer.tasks_left_off > 0 {
        let _ = write!(text, "; {} are not listed", answer.tasks_left_off);
    }
    if answer.made.observed_ns.is_none() {
        text.push_str("; polled twice: ages are lower limits (a running daemon knows more)");
    }
    let _ = writeln!(out, "\n{}", style.wrap(&text, 0));
    out
}

fn table(tasks: &[BlockedTask], style: Style, out: &mut String) {
    let heads = ["FOR", "TASK", "WHERE", "IN", "SIGKILL"].map(String::from);
    let mut rows = vec![heads];
    rows.extend(tasks.iter().map(|task| {
        [
            format!(">{}", duration(task.blocked_at_least_ns)),
            escape(&task.who()),
            task.place.as_ref().map_or("-".into(), |place| escape(&place.short())),
            task.task.wchan.as_deref().map_or("?".into(), escape),
            if task.killable { "ends it" } else { "no effect" }.into(),
        ]
    }));
    // A column that is empty in all rows is left out.
    let mut widths = [0; 5];
    let mut is_shown = [false; 5];
    for (r, row) in rows.iter().enumerate() {
        for ((cell, width), shown) in row.iter().zip(&mut widths).zip(&mut is_shown) {
            *width = columns(cell).max(*width);
            *shown |= r > 0 && cell != "-";
        }
    }
    for (r, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for ((cell, &width), _) in row.iter().zip(&widths).zip(&is_shown).filter(|&(_, &shown)| shown) {
            let pad = width.saturating_sub(columns(cell));
            let _ = write!(line, "{cell}{:pad$}  ", "");
        }
        let cut = fitting(line.trim_end(), style.width.unwrap_or(usize::MAX));
        out.push_str(&if r == 0 { style.paint(Ink::Strong, cut) } else { cut.to_owned() });
        out.push('\n');
    }
}

fn in_full(task: &BlockedTask, style: Style, out: &mut String) {
    let kind = if task.killable { "killable sleep" } else { "uninterruptible sleep" };
    let title = format!("{} is in {kind} for {} at least", task.who(), duration(task.blocked_at_least_ns));
    out.push_str(&style.paint(Ink::Bad, &style.wrap(&title, 0)));
    out.push('\n');
    let mut line = |label: &str, text: &str| {
        let _ = writeln!(out, "  {label:<10}{}", style.wrap(text, INDENT));
    };
    line("waits for", task.waits_for.as_deref().unwrap_or("not known: its kernel stack does not show it"));
    if !task.task.kernel_stack.is_empty() {
        let names: Vec<&str> =
            task.task.kernel_stack.iter().filter_map(|frame| frame.split('+').next()).collect();
        line("stack", &names.join(" < "));
    }
    if !task.killable {
        line("kill", "SIGKILL takes effect only when the sleep ends");
    }
    if let Some(remedy) = &task.remedy {
        line("remedy", remedy);
    }
    line("more", &format!("taskscope explain {}", task.process.pid));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{Made, now::Does, process::ProcessRef};

    #[test]
    fn a_blocked_task_is_reported_with_its_stack_on_a_narrow_screen() {
        let does: Does = serde_json::from_str(
            r#"{"tid":8,"doing":"uninterruptible","wchan":"percpu_rwsem_wait","kernel_stack":
            ["percpu_rwsem_wait+0x1/0x2","mnt_want_write+0x3/0x4","do_syscall_64+0x5/0x6"]}"#,
        )
        .unwrap();
        let task = BlockedTask {
            process: ProcessRef { pid: 7, entity_id: None, name: Some("d\x1bd".into()), name_bytes: None },
            task: does,
            blocked_at_least_ns: 12_000_000_000,
            killable: false,
            waits_for: Some("a frozen file system".into()),
            waits_for_process: None,
            remedy: None,
            place: None,
        };
        let made = Made { timestamp: String::new(), boottime_ns: 0, observed_ns: None };
        let answer =
            BlockedTasks { made, blocked: 1, tasks: vec![task], tasks_left_off: 0, unknown_because: None };
        let text = blocked(&answer, Style { width: Some(60), ..Style::default() });
        assert!(text.lines().all(|line| columns(line) <= 60), "{text}");
        assert!(text.contains("percpu_rwsem_wait < mnt_want_write"), "{text}");
        assert!(text.contains("thread 8") && !text.contains('\x1b'), "{text}");
        assert!(text.contains("SIGKILL takes effect only when the sleep ends"), "{text}");
    }
}
