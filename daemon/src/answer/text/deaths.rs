//! Ends of processes as text: one line each.

use std::fmt::Write as _;

use super::{Ink, Style, moment};
use crate::answer::death::{Death, Deaths};

/// The answer as text, the last end first.
#[must_use]
pub fn deaths(answer: &Deaths, style: Style) -> String {
    if answer.deaths.is_empty() {
        return match answer.made.observed_ns {
            Some(_) => "no process has ended but with exit code 0\n".into(),
            None => {
                "ends are known only to a daemon that was running then (`taskscope run`), or with --observe\n"
                    .into()
            }
        };
    }
    answer.deaths.iter().map(|it| death(it, style)).collect()
}

/// One line, more where it is long.
#[must_use]
pub fn death(death: &Death, style: Style) -> String {
    const TIME: usize = 23;
    let time = style.paint(Ink::Faint, &format!("{:<TIME$}", moment(&death.timestamp, style)));
    let ink = match death.cause.as_str() {
        "exited" => Ink::Good,
        "oom" | "fault" | "seccomp" | "cpu_limit" => Ink::Bad,
        _ => Ink::Odd,
    };
    let mut text = format!("{}: {}", death.process, death.summary);
    if let Some(place) = death.place.as_ref().map(super::super::place::Place::short).filter(|it| it != "-") {
        let _ = write!(text, " [{place}]");
    }
    let cause = style.paint(ink, &format!("{:<19}", death.cause));
    format!("{time}  {cause} {}\n", style.wrap(&text, TIME + 22))
}
