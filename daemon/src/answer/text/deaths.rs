//! Ends of processes as text: two lines each.

use std::fmt::Write as _;

use super::{Ink, Style, escape, moment};
use crate::answer::{
    death::{Death, Deaths},
    place::AnswerPlace,
};

/// The answer as text, the last end first.
#[must_use]
pub fn deaths(answer: &Deaths, style: Style) -> String {
    if answer.deaths.is_empty() {
        if answer.history.is_some() {
            return "no process in the history ended with a signal or a code other than 0 in that time\n"
                .into();
        }
        return match answer.made.observed_ns {
            Some(_) => "no process has ended with a signal or a code other than 0\n".into(),
            None => "only a running daemon (`taskscope run`), or --observe, can report ends\n".into(),
        };
    }
    let mut out: String = answer.deaths.iter().map(|it| death(it, style)).collect();
    for it in &answer.crash_loops {
        let text = format!(
            "crash loop: processes of {} ended by `{}` {} times in 10 minutes, the last was {}",
            it.place.short(),
            it.cause,
            it.count,
            it.last
        );
        let _ = writeln!(out, "{}", style.paint(Ink::Bad, &style.wrap(&escape(&text), 0)));
    }
    out
}

/// Returns two lines: the first has time, cause and process; the second, indented, has the sentence.
#[must_use]
pub fn death(death: &Death, style: Style) -> String {
    const INDENT: usize = 4;
    let time = style.paint(Ink::Faint, &moment(&death.timestamp, style));
    let ink = match death.cause.as_str() {
        "exited" => Ink::Good,
        "oom" | "fault" | "seccomp" | "cpu_limit" => Ink::Bad,
        _ => Ink::Odd,
    };
    let cause = style.paint(ink, &escape(&death.cause));
    let mut who = death.process.to_string();
    if let Some(place) = death.place.as_ref().map(AnswerPlace::short).filter(|it| it != "-") {
        let _ = write!(who, " [{place}]");
    }
    let summary = style.wrap(&death.summary, INDENT);
    format!("{time}  {cause}  {}\n{:INDENT$}{summary}\n", escape(&who), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_fits_a_narrow_screen_and_its_text_is_harmless() {
        let end: Death = serde_json::from_str(
            r#"{"@timestamp":"2026-11-28T23:55:31.613Z","boottime_ns":1,"process":{"pid":7,"name":"d\u001bd"},
            "cause":"killed","certainty":"certain",
            "summary":"killed by SIGKILL from \u001bsh (pid 8), uid 0, below bash (pid 9) < bash (pid 10) < sshd (pid 11)"}"#,
        )
        .unwrap();
        let text = death(&end, Style { width: Some(60), ..Style::default() });
        assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
        assert!(
            text.contains("killed  d\\x1bd (pid 7)\n    killed by SIGKILL") && !text.contains('\x1b'),
            "{text}"
        );
    }
}
