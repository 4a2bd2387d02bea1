//! The normal form of a scenario's stream, without what differs between runs: tasks by their roles, no times, no numbers.
//!
//! One expected value holds for every kernel and every rung. Each role has its own sequence, because the kernel
//! orders what one task does and not what two tasks do at the same time.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    event::Event,
    facts::{Facts, Role},
    life::Life,
};

/// What the rungs in use can report. One expected value serves both families; the normal form has the differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// kprobe and fentry report everything.
    Full,
    /// Tracepoints report no reaper and no failed clone.
    Tracepoint,
}

impl Family {
    /// Returns the forced family or, with `auto`, the family in taskscope's ready line.
    #[must_use]
    pub fn of(attach: &str, log: &str) -> Self {
        match attach {
            "kprobe" | "fentry" => Self::Full,
            "tracepoint" => Self::Tracepoint,
            _ => {
                let rung = log
                    .split(|c: char| c.is_whitespace() || c == ',' || c == ';')
                    .skip_while(|word| !word.contains("release_task"))
                    .take(3)
                    .find(|word| word.contains("kprobe") || word.contains("fentry"));
                if rung.is_some() { Self::Full } else { Self::Tracepoint }
            }
        }
    }

    /// Whether this family may lack an event.
    #[must_use]
    pub fn may_lack(self, line: &str) -> bool {
        self == Self::Tracepoint && line.starts_with("clone_failed")
    }

    /// Whether an expected line matches the found one. With tracepoints the reaper may be missing, but not wrong.
    fn accepts(self, expected: &str, found: &str) -> bool {
        expected == found
            || (self == Self::Tracepoint
                && (expected.starts_with("released ") || expected.starts_with("reaped "))
                && expected.split(' ').filter(|word| !word.starts_with("by=")).eq(found.split(' ')))
    }

    /// Whether a role's lines are the expected ones.
    ///
    /// Tracepoints report a reparenting at the last switch of the parent that died, which other tasks do not wait for. So it can
    /// be later among the lines of the child, but never earlier.
    fn accepts_all(self, expected: &[&str], found: &[String]) -> bool {
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        let same = |expected: &[&str], found: &[&str]| {
            expected.len() == found.len()
                && expected.iter().zip(found).all(|(expected, found)| self.accepts(expected, found))
        };
        if self == Self::Full || same(expected, &found) {
            return same(expected, &found);
        }
        let (expected_moves, expected_own) = reparentings(expected);
        let (found_moves, found_own) = reparentings(&found);
        same(&expected_own, &found_own)
            && expected_moves.len() == found_moves.len()
            && expected_moves
                .iter()
                .zip(&found_moves)
                .all(|((after, line), (found_after, found))| line == found && found_after >= after)
    }

    /// Returns the lines of one role that this family must show.
    #[must_use]
    pub fn required(self, life: &Life) -> Vec<&str> {
        life.lines().into_iter().filter(|line| !self.may_lack(line)).collect()
    }
}

/// Returns each reparenting with the number of other lines before it, and the other lines.
fn reparentings<'a>(lines: &[&'a str]) -> (Vec<(usize, &'a str)>, Vec<&'a str>) {
    let (mut handed, mut own) = (Vec::new(), Vec::new());
    for &line in lines {
        if line.starts_with("reparented ") {
            handed.push((own.len(), line));
        } else {
            own.push(line);
        }
    }
    (handed, own)
}

/// Fails with both sequences if a role's stream in normal form is not the expected one.
#[track_caller]
pub fn assert_equal(events: &[Arc<Event>], facts: &Facts, expected: &[(&str, Life)], family: Family) {
    let mut wrong = Vec::new();
    for (name, life) in expected {
        let role = facts.role(name);
        let expected = family.required(life);
        let found = sequence(events, facts, &role);
        if !family.accepts_all(&expected, &found) {
            wrong.push(format!(
                "\n{name} ({} of {}):\n  expected\n    {}\n  found\n    {}",
                role.tid,
                role.pid,
                expected.join("\n    "),
                found.join("\n    ")
            ));
        }
    }
    assert!(wrong.is_empty(), "the normal form differs ({family:?}):{}\nfacts:\n{facts}", wrong.concat());
}

/// Actions that only say that time has passed.
const TIMED: [&str; 4] = ["zombie_flagged", "exit_stuck", "blocked_flagged", "blocked_cleared"];

/// Returns one role's events in order, in normal form.
#[must_use]
pub fn sequence(events: &[Arc<Event>], facts: &Facts, role: &Role) -> Vec<String> {
    events
        .iter()
        .filter(|event| role.is(event.tid, event.start_ns()) && !TIMED.contains(&event.action.as_str()))
        .map(|event| line(event, facts))
        .collect()
}

/// Returns one event in normal form.
fn line(event: &Event, facts: &Facts) -> String {
    let mut words = vec![event.action.clone()];
    let mut word = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            words.push(format!("{key}={value}"));
        }
    };
    let who = |path: &str| event.number(path).map(|id| who(id, facts));
    let text = |path: &str| event.text(path).map(str::to_owned);
    match event.action.as_str() {
        "forked" => {
            word("parent", who("process.parent_pid"));
            word("kind", text("task.kind"));
            word("signal", signal(event));
            word("flags", flags(event));
        }
        "execed" => word("name", text("process.name")),
        "renamed" => word("name", text("thread.name")),
        "exited" => word("state", text("task.exit_state")),
        "group_exited" => word("exit", exit(event, facts)),
        "zombie_began" => word("tracer", who("task.tracer.tid")),
        "reaped" => {
            word("by", who("task.reaper.pid"));
            word("kind", text("task.reaper.kind"));
        }
        "released" => word("by", who("task.reaper.pid")),
        "clone_failed" => word("errno", event.number("task.errno").map(|errno| errno.to_string())),
        "exec_takeover" => word("old", who("task.old_tid")),
        "reparented" => {
            word("old", who("task.old_parent_pid"));
            word("new", who("task.new_parent_pid"));
            word("kind", text("task.reparent_kind"));
        }
        _ => {}
    }
    words.join(" ")
}

/// Returns the name of the exit signal, or its number if it has no name.
fn signal(event: &Event) -> Option<String> {
    event
        .text("task.exit_signal_name")
        .map(str::to_owned)
        .or_else(|| event.number("task.exit_signal").map(|number| number.to_string()))
}

fn flags(event: &Event) -> Option<String> {
    let list = event.get("task.clone_flags")?.as_array()?;
    let mut names: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
    names.sort_unstable();
    Some(names.join("|"))
}

/// Returns `waited` if the status is what wait(2) returned for the group, and `unasked` if no wait(2) returned a status, because
/// the status then differs between kernels.
fn exit(event: &Event, facts: &Facts) -> Option<String> {
    let status = event.number("process.exit.status")?;
    let group = facts.roles().into_iter().find(|role| role.pid == event.pid && role.tid == event.pid);
    let waited = group.and_then(|role| facts.waits(&role.name).last().copied());
    Some(match waited {
        Some(waited) if i64::from(waited.status) == status => "waited".to_owned(),
        Some(waited) => format!("{status}(but wait(2) said {})", waited.status),
        None => "unasked".to_owned(),
    })
}

/// Returns the role of a task by tid.
fn who(id: i64, facts: &Facts) -> String {
    if let Some(role) = facts.roles().into_iter().find(|role| role.tid == id) {
        return role.name;
    }
    match id {
        0 => "nobody".to_owned(),
        1 => "init".to_owned(),
        2 => "kthreadd".to_owned(),
        id if id == i64::from(std::process::id()) => "test".to_owned(),
        _ => "stranger".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::life::cloned_by;

    fn facts() -> Facts {
        let mut facts = Facts::default();
        for line in [
            r#"{"fact":"role","role":"scenario","pid":6,"tid":6,"start_ticks":100}"#,
            r#"{"fact":"role","role":"child","pid":7,"tid":7,"start_ticks":123}"#,
            r#"{"fact":"waited","role":"child","pid":7,"status":1792,"before_ns":3,"after_ns":4}"#,
        ] {
            facts.push(serde_json::from_str(line).unwrap());
        }
        facts
    }

    fn recorded() -> Vec<Arc<Event>> {
        let line = |sequence: u32, action: &str, pid: u32, start: u64, more: &str, task: &str| {
            let text = format!(
                r#"{{"@timestamp":"t","event":{{"action":"{action}","sequence":{sequence}}},"boottime_ns":1,
                "process":{{"pid":{pid}{more}}},"thread":{{"id":{pid}}},
                "task":{{"kind":"process","start_boottime_ns":{start}{task}}}}}"#
            );
            Arc::new(Event::parse(&text).unwrap())
        };
        vec![
            line(1, "exited", 7, 99_000_000, "", ""),
            line(
                2,
                "forked",
                7,
                1_231_234_567,
                r#","parent_pid":6"#,
                r#","exit_signal":17,"exit_signal_name":"SIGCHLD","clone_flags":["CLONE_B","CLONE_A"]"#,
            ),
            line(3, "exiting", 7, 1_231_234_567, "", ""),
            line(4, "exited", 7, 1_231_234_567, "", r#","exit_state":"EXIT_ZOMBIE""#),
            line(5, "group_exited", 7, 1_231_234_567, r#","exit":{"status":1792,"code":7}"#, ""),
            line(6, "zombie_began", 7, 1_231_234_567, "", ""),
            line(7, "reaped", 7, 1_231_234_567, "", r#","reaper":{"pid":6,"tid":6,"kind":"parent"}"#),
            line(8, "released", 7, 1_231_234_567, "", r#","reaper":{"pid":6,"tid":6}"#),
        ]
    }

    fn expected() -> Life {
        cloned_by("scenario", "SIGCHLD", "CLONE_A|CLONE_B").waited_for_by("scenario")
    }

    #[test]
    fn a_recorded_stream_has_roles_for_pids_and_no_other_life_of_the_tid() {
        assert_eq!(sequence(&recorded(), &facts(), &facts().role("child")), expected().lines());
        assert_equal(&recorded(), &facts(), &[("child", expected())], Family::Full);
    }

    #[test]
    fn the_tracepoint_family_may_lack_reaper_and_failed_clone_and_nothing_else() {
        let failing = cloned_by("scenario", "SIGCHLD", "").does("clone_failed errno=22").does("exiting");
        assert_eq!(Family::Full.required(&failing).len(), 3);
        assert_eq!(Family::Tracepoint.required(&failing).len(), 2);
        for (family, found, accepted) in [
            (Family::Full, "released by=child", false),
            (Family::Full, "released", false),
            (Family::Tracepoint, "released by=scenario", true),
            (Family::Tracepoint, "released", true),
            (Family::Tracepoint, "released by=child", false),
        ] {
            assert_eq!(family.accepts("released by=scenario", found), accepted, "{family:?} {found}");
        }
        assert!(Family::Tracepoint.accepts("reaped by=scenario kind=parent", "reaped kind=parent"));
        assert!(!Family::Tracepoint.accepts("reaped by=scenario kind=parent", "reaped kind=self"));
    }

    #[test]
    fn tracepoints_may_report_a_reparenting_later_and_not_earlier() {
        let expected = ["forked", "reparented new=init", "exiting", "exited"];
        let reported = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect::<Vec<_>>();
        let late = reported(&["forked", "exiting", "exited", "reparented new=init"]);
        assert!(Family::Tracepoint.accepts_all(&expected, &late));
        assert!(!Family::Full.accepts_all(&expected, &late));
        for wrong in [
            reported(&["reparented new=init", "forked", "exiting", "exited"]),
            reported(&["forked", "exiting", "exited", "reparented new=other"]),
            reported(&["forked", "exited", "reparented new=init", "exiting"]),
            reported(&["forked", "exiting", "exited"]),
        ] {
            assert!(!Family::Tracepoint.accepts_all(&expected, &wrong), "{wrong:?}");
        }
    }

    #[test]
    #[should_panic(expected = "but wait(2) said 1792")]
    fn a_status_that_wait_did_not_return_is_a_difference() {
        let mut events = recorded();
        let wrong = events[4].to_string().replace("1792", "1536");
        events[4] = Arc::new(Event::parse(&wrong).unwrap());
        assert_equal(&events, &facts(), &[("child", expected())], Family::Full);
    }

    #[test]
    #[should_panic(expected = "the normal form differs")]
    fn an_event_too_many_is_a_difference() {
        let mut events = recorded();
        events.push(events[3].clone());
        assert_equal(&events, &facts(), &[("child", expected())], Family::Full);
    }

    #[test]
    fn auto_takes_the_family_that_the_ready_line_names() {
        let line = "taskscope: ready: copy_process=kprobe, release_task=kprobe";
        assert_eq!(Family::of("auto", line), Family::Full);
        assert_eq!(Family::of("auto", &line.replace("kprobe", "tracepoint")), Family::Tracepoint);
        assert_eq!(Family::of("fentry", ""), Family::Full);
        assert_eq!(Family::of("tracepoint", line), Family::Tracepoint);
    }
}
