//! Zombies of an earlier time, by parent.

use std::fmt::Write as _;

use crate::answer::text::{Ink, Style, age, escape, moment};
use crate::answer::zombies::{PastParent, PastZombies};

/// The most zombies of one parent that are named.
const NAMED: usize = 5;

/// The answer as text.
#[must_use]
pub fn past_zombies(answer: &PastZombies, style: Style) -> String {
    let mut out = String::new();
    let forgotten = answer.incomplete_before.as_ref().map_or_else(String::new, |until| {
        format!(
            "; incomplete before {}: processes that ended before that are forgotten",
            moment(until, style)
        )
    });
    let heading = format!("as of {}{forgotten}", moment(&answer.at, style));
    out.push_str(&style.paint(Ink::Faint, &style.wrap(&heading, 0)));
    out.push('\n');
    for parent in &answer.parents {
        of_parent(parent, style, &mut out);
    }
    let total = match (answer.zombies, answer.parents.len()) {
        (0, _) => "no zombies".to_owned(),
        (zombies, parents) => {
            format!("{} of {}", plural(zombies, "zombie"), plural(parents as u64, "parent"))
        }
    };
    out.push_str(&total);
    out.push('\n');
    out
}

fn plural(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

fn of_parent(parent: &PastParent, style: Style, out: &mut String) {
    let place =
        parent.place.as_ref().map_or_else(String::new, |place| format!("  {}", escape(&place.short())));
    let state = match parent.state.as_deref() {
        None => "  (nothing else is known of it)".to_owned(),
        Some("running") => String::new(),
        Some(state) => format!("  {}", escape(state)),
    };
    let count = plural(parent.zombies.len() as u64, "zombie");
    let line = format!("{} had not waited for {count}{state}{place}", parent.process);
    out.push_str(&style.paint(Ink::Bad, &style.wrap(&line, 0)));
    out.push('\n');
    for zombie in parent.zombies.iter().take(NAMED) {
        let _ = writeln!(out, "  {}, a zombie for {}", zombie.process, age(zombie.age));
    }
    if let Some(more) = parent.zombies.len().checked_sub(NAMED).filter(|&more| more > 0) {
        let _ = writeln!(out, "  and {more} more");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{Made, process::ProcessRef, task::ZombieAge, zombies::Zombie};

    #[test]
    fn a_parent_is_named_with_its_oldest_zombies() {
        let process = |pid: u32, name: &str| ProcessRef {
            pid,
            entity_id: None,
            name: Some(name.into()),
            name_bytes: None,
        };
        let zombie = |pid: u32| Zombie {
            process: process(pid, "worker"),
            exit: None,
            age: ZombieAge { zombie_at_least_ns: 3_000_000_000, zombie_at_most_ns: 3_000_000_000 },
        };
        let mut answer = PastZombies {
            made: Made { timestamp: String::new(), boottime_ns: 0, observed_ns: None },
            at: "2026-11-20T14:00:00.000000000Z".into(),
            incomplete_before: None,
            history: None,
            zombies: 6,
            parents: vec![PastParent {
                process: process(7, "server"),
                state: Some("running".into()),
                place: None,
                zombies: (10..16).map(zombie).collect(),
            }],
        };
        assert_eq!(
            past_zombies(&answer, Style::default()),
            "as of 2026-11-20 14:00:00.000 UTC\n\
             server (pid 7) had not waited for 6 zombies\n\
             \x20 worker (pid 10), a zombie for 3.0 s\n\
             \x20 worker (pid 11), a zombie for 3.0 s\n\
             \x20 worker (pid 12), a zombie for 3.0 s\n\
             \x20 worker (pid 13), a zombie for 3.0 s\n\
             \x20 worker (pid 14), a zombie for 3.0 s\n\
             \x20 and 1 more\n\
             6 zombies of 1 parent\n"
        );
        (answer.zombies, answer.parents) = (0, Vec::new());
        assert!(past_zombies(&answer, Style::default()).ends_with("\nno zombies\n"));
    }
}
