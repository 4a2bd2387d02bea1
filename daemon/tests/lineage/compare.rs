//! Compares the lineage with the model: the tree at the end, and the effects of each task.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use taskscope::lineage::id::{Ktime, TaskKey};
use taskscope::lineage::{Action, Effect, LifeState, Lineage, Provenance, TaskState};

use crate::kernel::{Kernel, State};
use crate::tape::{Family, comm};

/// Tasks in a form that both sides can produce.
fn expected_tasks(kernel: &Kernel) -> BTreeMap<TaskKey, String> {
    kernel
        .present()
        .map(|no| {
            let view = kernel.view(no);
            let state = match view.state {
                State::Running => "running",
                State::Exiting => "exiting",
                State::Zombie => "zombie",
                State::Going | State::Dead => "dead",
            };
            let mut text = format!("{state} of {} called {:?}", view.task.tgid, comm(view.comm).bytes());
            if view.is_leader {
                let group = &kernel.groups[kernel.tasks[no].group];
                let life = match view.state {
                    State::Zombie if group.members.len() > 1 => LifeState::DeadLeader,
                    State::Zombie => LifeState::Zombie,
                    State::Exiting => LifeState::Exiting,
                    _ => LifeState::Running,
                };
                let parent = kernel.group_of(group.parent);
                let _ = write!(
                    text,
                    "; group {life:?} below {}@{}, signal {}",
                    parent.tgid, parent.start, group.exit_signal
                );
            }
            (view.task.key, text)
        })
        .collect()
}

fn found_tasks(lineage: &Lineage, now: Ktime) -> BTreeMap<TaskKey, String> {
    lineage
        .tasks()
        .map(|task| {
            let state = match task.state {
                TaskState::Implied | TaskState::Running => "running",
                state => state.name(),
            };
            let name = task.thread.name.map(|name| name.bytes().to_vec()).unwrap_or_default();
            let mut text = format!("{state} of {} called {name:?}", task.task.tgid);
            if task.task.is_leader()
                && let Some(life) = lineage.group(task.task.tgid).and_then(|group| group.life(now))
            {
                let parent = life.parent.map_or_else(String::new, |parent| {
                    format!("{}@{}", parent.tgid, parent.start.map_or(0, |start| start.0))
                });
                let _ = write!(
                    text,
                    "; group {:?} below {parent}, signal {}",
                    life.state,
                    life.exit_signal.unwrap_or(-2)
                );
            }
            (task.task.key, text)
        })
        .collect()
}

/// The trees are the same.
pub(crate) fn same_tree(kernel: &Kernel, lineage: &Lineage) -> Result<(), String> {
    let expected = expected_tasks(kernel);
    let found = found_tasks(lineage, Ktime(kernel.now));
    let mut wrong = String::new();
    for (key, text) in &expected {
        match found.get(key) {
            Some(other) if other == text => {}
            other => drop(writeln!(wrong, "{key:?}\n  kernel:  {text}\n  lineage: {other:?}")),
        }
    }
    for (key, text) in found.iter().filter(|(key, _)| !expected.contains_key(key)) {
        let _ = writeln!(wrong, "{key:?}\n  kernel:  nothing\n  lineage: {text}");
    }
    let zombies = expected.values().filter(|text| text.contains("group Zombie")).count();
    if lineage.zombie_count() != zombies {
        let _ = writeln!(wrong, "zombies: kernel {zombies}, lineage {}", lineage.zombie_count());
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("the trees differ:\n{wrong}")) }
}

/// Converts an effect to the model's form; `None` for effects that the model does not have.
fn act(effect: &Effect) -> Option<String> {
    Some(match &effect.action {
        Action::Renamed { new, .. } => {
            let [_, high, low, ..] = new.0;
            format!("renamed {}", u16::from(high - b'a') * 26 + u16::from(low - b'a'))
        }
        Action::Exited { .. } => {
            let state = if effect.thread.exit_state == Some(16) { "EXIT_DEAD" } else { "EXIT_ZOMBIE" };
            format!("exited {state}")
        }
        Action::Reaped { reaper, .. } => match reaper {
            Some(reaper) => format!("reaped by {}", reaper.process.tgid),
            None => "reaped".to_owned(),
        },
        Action::Reparented { old_parent, new_parent, .. } => {
            if old_parent.is_some_and(|old| old.tgid == new_parent.tgid) {
                // No hook reports which thread of a process becomes the new parent.
                return None;
            }
            format!("reparented {}", new_parent.tgid)
        }
        // Whether other threads still live can change within microseconds, and hooks after exit_notify() see the later state.
        Action::LeaderDied { .. }
        | Action::ZombieFlagged { .. }
        | Action::ExitStuck { .. }
        | Action::CloneFailed { .. } => return None,
        action => action.name().to_owned(),
    })
}

/// The effects of each task.
pub(crate) fn reported(effects: &[Effect]) -> BTreeMap<TaskKey, Vec<String>> {
    let mut reported: BTreeMap<TaskKey, Vec<String>> = BTreeMap::new();
    for effect in effects {
        if let Some(act) = act(effect) {
            reported.entry(effect.thread.key).or_default().push(act);
        }
    }
    reported
}

/// Checks that both runs had the same effects for each task.
pub(crate) fn same_reports(
    once: &BTreeMap<TaskKey, Vec<String>>,
    twice: &BTreeMap<TaskKey, Vec<String>>,
) -> Result<(), String> {
    let mut wrong = String::new();
    for key in once.keys().chain(twice.keys()).collect::<BTreeSet<_>>() {
        let (once, twice) = (once.get(key), twice.get(key));
        if once != twice {
            let _ = writeln!(wrong, "{key:?}\n  one run:     {once:?}\n  the other: {twice:?}");
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("the reported effects differ:\n{wrong}")) }
}

/// Checks that the effects of each task are what it did, in that order. Returns how often they were not and were marked as
/// inferred.
pub(crate) fn same_acts(kernel: &Kernel, effects: &[Effect], family: Family) -> Result<usize, String> {
    let reported = reported(effects);
    let inferred = effects.iter().filter(|effect| effect.provenance == Provenance::Inferred);
    let guessed: BTreeSet<TaskKey> = inferred.map(|effect| effect.thread.key).collect();
    let mut wrong = String::new();
    let mut wrong_guesses = 0;
    let nothing = Vec::new();
    for (key, expected) in kernel.truth.acts() {
        let found = reported.get(key).unwrap_or(&nothing);
        // Another task does the reparenting, so it can be reported before or after the child's own exit. Compare the two
        // separately.
        let is_same = [true, false].into_iter().all(|is_reparenting| {
            let of = |acts: &[String]| -> Vec<String> {
                acts.iter().filter(|act| act.starts_with("reparented") == is_reparenting).cloned().collect()
            };
            let (expected, found) = (of(expected), of(found));
            if is_reparenting && family == Family::Tracepoint {
                return is_part(&found, &expected);
            }
            expected.len() == found.len()
                && expected.iter().zip(&found).all(|(expected, found)| accepts(family, expected, found))
        });
        if !is_same && family == Family::Tracepoint && guessed.contains(key) {
            wrong_guesses += 1;
        } else if !is_same {
            let _ =
                writeln!(wrong, "{key:?}\n  did:  {}\n  reported:{}", expected.join(", "), found.join(", "));
        }
    }
    for (key, found) in reported.iter().filter(|(key, _)| !kernel.truth.acts().contains_key(key)) {
        let _ = writeln!(wrong, "{key:?}\n  did:  nothing\n  reported:{}", found.join(", "));
    }
    if wrong.is_empty() { Ok(wrong_guesses) } else { Err(format!("the reported effects differ:\n{wrong}")) }
}

/// Whether `found` is a part of `expected`, in order. With tracepoints, the last switch of a parent shows only the parent that its
/// children have at that time; a new parent that has died before is not seen.
fn is_part(found: &[String], expected: &[String]) -> bool {
    let mut expected = expected.iter();
    found.iter().all(|found| expected.any(|expected| expected == found))
}

fn accepts(family: Family, expected: &str, found: &str) -> bool {
    expected == found
        || (family == Family::Tracepoint && found == "reaped" && expected.starts_with("reaped by"))
}
