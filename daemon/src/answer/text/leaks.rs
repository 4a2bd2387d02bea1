//! Leaks other than zombies as text: a paragraph for each.

use std::fmt::Write as _;

use super::{Ink, Style, escape};
use crate::{
    answer::{
        leaks::{AnswerLeak, Leaks},
        place::AnswerPlace,
    },
    verdict::duration,
};

/// The column of the text after a label.
const INDENT: usize = 12;

/// The answer as text.
#[must_use]
pub fn leaks(answer: &Leaks, style: Style) -> String {
    let mut out = String::new();
    for leak in &answer.leaks {
        if !out.is_empty() {
            out.push('\n');
        }
        paragraph(leak, style, &mut out);
    }
    if answer.leaks.is_empty() {
        out.push_str("no leaks: no growing threads, respawn loops, fork storms or orphans\n");
    }
    for sentence in &answer.inconclusive {
        let _ = writeln!(out, "\n{}", style.wrap(sentence, 0));
    }
    if !answer.inconclusive.is_empty() && answer.leaks_left_off == 0 {
        return out;
    }
    let watched = answer.made.observed_ns.unwrap_or(0);
    let text = match (answer.leaks_left_off, watched < answer.window_ns) {
        (0, false) => return out,
        (0, true) => format!(
            "observed for {}; leaks are looked for over {} (--leak-window)",
            duration(watched),
            duration(answer.window_ns)
        ),
        (left_off, _) => format!("{left_off} more are not listed"),
    };
    let _ = writeln!(out, "\n{}", style.wrap(&text, 0));
    out
}

fn paragraph(leak: &AnswerLeak, style: Style, out: &mut String) {
    let place = leak.place.as_ref().map(AnswerPlace::short).filter(|place| place != "-");
    let place = place.map_or_else(String::new, |place| format!(" [{}]", escape(&place)));
    let kind = leak.kind.replace('_', " ");
    let title =
        format!("{kind}: {}{place}: {}", escape(&leak.process.to_string()), escape(&leak.verdict.summary));
    let _ = writeln!(out, "{}", style.paint(Ink::Bad, &style.wrap(&title, 4)));
    let mut line = |label: &str, text: &str, ink: Option<Ink>| {
        let text = style.wrap(&escape(text), INDENT);
        let text = ink.map_or_else(|| text.clone(), |ink| style.paint(ink, &text));
        let _ = writeln!(out, "  {label:<10}{text}");
    };
    line("certainty", &leak.verdict.certainty, None);
    for evidence in &leak.verdict.evidence {
        line("evidence", evidence, None);
    }
    for missing in &leak.verdict.missing {
        line("unknown", &format!("{}; this needs {}", missing.fact, missing.needs), None);
    }
    if let Some(remedy) = &leak.verdict.remedy {
        line("remedy", remedy, Some(Ink::Good));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{Made, process::ProcessRef, text::columns, verdict::AnswerVerdict};

    #[test]
    fn a_leak_is_a_paragraph_that_fits_a_narrow_screen() {
        let verdict = AnswerVerdict {
            code: "threads_only_grow".into(),
            words: "its threads only grow".into(),
            certainty: "certain".into(),
            summary: "its threads only grow: 401 now, 400 more than 10 min ago (40 a minute)".into(),
            culprit: None,
            evidence: vec!["400 threads were created in 10 min, and none of its threads has ended".into()],
            remedy: Some("kill 7".into()),
            missing: Vec::new(),
        };
        let leak = AnswerLeak {
            kind: "thread_leak".into(),
            process: ProcessRef { pid: 7, entity_id: None, name: Some("d\x1bd".into()), name_bytes: None },
            place: None,
            since: String::new(),
            since_boottime_ns: 0,
            span_ns: 600_000_000_000,
            count: 400,
            per_hour: Some(2_400),
            alive: Some(401),
            processes: Vec::new(),
            limit: None,
            verdict,
        };
        let made = Made { timestamp: String::new(), boottime_ns: 0, observed_ns: Some(1) };
        let answer =
            Leaks { made, leaks: vec![leak], leaks_left_off: 0, window_ns: 2, inconclusive: Vec::new() };
        let text = leaks(&answer, Style { width: Some(50), ..Style::default() });
        assert!(text.lines().all(|line| columns(line) <= 50), "{text}");
        assert!(text.contains("thread leak: ") && !text.contains('\x1b'), "{text}");
    }
}
