//! The rows of each pane.

use std::collections::VecDeque;

use super::{
    Event, Mark, Pane, Row, Target, View,
    event::name_pid,
    past::{Past, PastParent},
};
use crate::{
    answer::{
        blocked::BlockedTask,
        death::Death,
        process::ProcessRef,
        text::{age, escape},
        time_arg::wall_ns,
        zombies::{Other, ZombieParent},
    },
    export::local,
    verdict::{Code, duration},
};

/// Position of the time of day in [`local`]'s text, and its length without milliseconds.
const TIME_AT: usize = 11;
const TIME_LENGTH: usize = 8;

/// A pane's rows before they are drawn.
pub(super) struct Rows<'a> {
    pub(super) view: &'a View,
    pub(super) pane: Pane,
}

fn target_of(process: &ProcessRef, parent: Option<u32>) -> Target {
    Target { pid: process.pid, entity_id: process.entity_id.clone(), parent }
}

impl<'a> Rows<'a> {
    fn past(&self) -> Option<&'a Past> {
        self.view.past()
    }

    fn past_parents(&self) -> Option<&'a [PastParent]> {
        self.past().map(|past| past.parents.as_slice())
    }

    fn deaths(&self) -> &'a VecDeque<Death> {
        self.past().map_or(&self.view.deaths, |past| &past.deaths)
    }

    fn zombie_parents(&self) -> &'a [ZombieParent] {
        self.view.zombies.as_ref().map_or(&[], |zombies| &zombies.parents)
    }

    fn stuck(&self) -> &'a [Other] {
        self.view.zombies.as_ref().map_or(&[], |zombies| &zombies.stuck_exits)
    }

    fn blocked(&self) -> &'a [BlockedTask] {
        self.view.blocked.as_ref().map_or(&[], |blocked| &blocked.tasks)
    }

    fn events(&self) -> &'a VecDeque<Event> {
        if self.pane == Pane::Reparented { &self.view.reparented } else { &self.view.events }
    }

    fn count(&self) -> usize {
        match self.pane {
            Pane::ZombieParents => self.past_parents().map_or(self.zombie_parents().len(), <[_]>::len),
            Pane::Deaths => self.deaths().len(),
            // Only the present is known.
            Pane::Blocked | Pane::Reparented | Pane::Events if self.past().is_some() => 0,
            Pane::Blocked => self.stuck().len() + self.blocked().len(),
            Pane::Reparented | Pane::Events => self.events().len(),
            Pane::Tree => 0,
        }
    }

    /// Returns the rows that match the filter, in this order.
    pub(super) fn sorted(&self, order: usize, filter: &str) -> Vec<u32> {
        let filter = filter.to_lowercase();
        let is_wanted = |&row: &u32| {
            filter.is_empty()
                || self
                    .row(row)
                    .is_some_and(|row| row.cells.iter().any(|it| it.to_lowercase().contains(&filter)))
        };
        let mut rows: Vec<u32> =
            (0..u32::try_from(self.count()).unwrap_or(u32::MAX)).filter(is_wanted).collect();
        let order = self.pane.orders().get(order).copied().unwrap_or_default();
        if let Some(past) = self.past().filter(|_| self.pane == Pane::ZombieParents) {
            past.sort_parents(order, &mut rows);
            return rows;
        }
        match order {
            "name" => rows.sort_by_cached_key(|&row| self.name(row)),
            "cause" => rows
                .sort_by_cached_key(|&row| self.deaths().get(row as usize).map(|death| death.cause.clone())),
            // Parents whose children have just died come last, because they may be about to reap them.
            "zombies" => rows.sort_by_key(|&row| {
                std::cmp::Reverse(self.zombie_parent(row).map(|it| (is_late(it), it.children.zombies)))
            }),
            "rate" => {
                let rate =
                    |row: u32| self.zombie_parent(row).and_then(|it| it.zombies_per_minute).unwrap_or(0.0);
                rows.sort_by(|&a, &b| rate(b).total_cmp(&rate(a)));
            }
            "age" if self.pane == Pane::ZombieParents => rows.sort_by_key(|&row| {
                std::cmp::Reverse(self.zombie_parent(row).map(|it| it.oldest.zombie_at_least_ns))
            }),
            // The answers are in this order already: the oldest sleep first, the newest event first.
            _ => {}
        }
        rows
    }

    fn zombie_parent(&self, row: u32) -> Option<&'a ZombieParent> {
        self.zombie_parents().get(row as usize)
    }

    fn name(&self, row: u32) -> Option<String> {
        let row = row as usize;
        match self.pane {
            Pane::ZombieParents => self.zombie_parents().get(row).and_then(|it| it.process.name.clone()),
            Pane::Deaths => self.deaths().get(row).and_then(|it| it.process.name.clone()),
            Pane::Blocked => self
                .stuck()
                .get(row)
                .map(|it| &it.process)
                .or_else(|| self.blocked().get(row - self.stuck().len()).map(|it| &it.process))
                .and_then(|process| process.name.clone()),
            Pane::Reparented | Pane::Events => {
                self.events().get(row).and_then(Event::process).and_then(|it| it.name.clone())
            }
            Pane::Tree => None,
        }
    }

    /// Returns a value that identifies a row, by which the row is found again after a change.
    pub(super) fn id(&self, row: u32) -> u64 {
        let n = row as usize;
        let id = match self.pane {
            Pane::ZombieParents if self.past().is_some() => {
                self.past_parents().and_then(|all| all.get(n)).map(|it| u64::from(it.pid))
            }
            Pane::ZombieParents => self.zombie_parents().get(n).map(|it| u64::from(it.process.pid)),
            Pane::Deaths => self.deaths().get(n).map(|it| it.boottime_ns ^ u64::from(it.process.pid)),
            Pane::Blocked => match self.stuck().get(n) {
                Some(stuck) => Some(u64::from(stuck.process.pid)),
                None => self.blocked().get(n - self.stuck().len()).map(|it| u64::from(it.task.tid)),
            },
            Pane::Reparented | Pane::Events => self.events().get(n).map(Event::sequence),
            Pane::Tree => return self.view.tree().id(row),
        };
        id.unwrap_or(u64::MAX)
    }

    /// Returns the row.
    pub(super) fn row(&self, row: u32) -> Option<Row> {
        let n = row as usize;
        match self.pane {
            Pane::ZombieParents => match self.past_parents() {
                Some(parents) => parents.get(n).map(PastParent::row),
                None => self.zombie_parents().get(n).map(zombie_parent_row),
            },
            Pane::Deaths => self.deaths().get(n).map(|death| self.death_row(death)),
            Pane::Blocked => match self.stuck().get(n) {
                Some(stuck) => Some(stuck_row(stuck)),
                None => self.blocked().get(n - self.stuck().len()).map(blocked_row),
            },
            Pane::Reparented => self.events().get(n).map(|event| self.reparented_row(event)),
            Pane::Events => self.events().get(n).map(|event| self.event_row(event)),
            Pane::Tree => self.view.tree().row(row, self.view.unicode),
        }
    }

    fn time(&self, timestamp: Option<&str>) -> String {
        let Some(at) = timestamp.and_then(wall_ns) else { return String::new() };
        local(at, self.view.zone).chars().skip(TIME_AT).take(TIME_LENGTH).collect()
    }

    fn death_row(&self, death: &Death) -> Row {
        let mark = match death.cause.as_str() {
            "oom" | "fault" | "seccomp" | "cpu_limit" => Mark::Bad,
            "exited" => Mark::None,
            _ => Mark::Odd,
        };
        Row {
            mark,
            cells: vec![
                self.time(Some(&death.timestamp)),
                escape(&death.cause),
                escape(&name_pid(death.process.name.as_deref(), death.process.pid)),
                escape(&death.summary),
            ],
            target: Some(target_of(&death.process, death.parent.as_ref().map(|parent| parent.pid))),
        }
    }

    /// Returns a pid with its comm in the tree, or in the events if the process has ended.
    fn known(&self, pid: Option<u32>) -> String {
        let Some(pid) = pid else { return "?".into() };
        let ended = || {
            let mut processes = self.view.events.iter().filter_map(Event::process);
            processes.find(|process| process.pid == pid).and_then(|process| process.name.as_deref())
        };
        escape(&name_pid(self.view.tree.name(pid).or_else(ended), pid))
    }

    fn reparented_row(&self, event: &Event) -> Row {
        let (old, new, kind) = event.parents();
        let process = event.process();
        Row {
            mark: Mark::None,
            cells: vec![
                self.time(event.timestamp.as_deref()),
                process.map_or_else(String::new, |it| escape(&name_pid(it.name.as_deref(), it.pid))),
                self.known(old),
                format!("{}, {}", self.known(new), escape(&kind.replace('_', " "))),
            ],
            target: process.map(|it| Target { pid: it.pid, entity_id: it.entity_id.clone(), parent: new }),
        }
    }

    fn event_row(&self, event: &Event) -> Row {
        let mark = match event.action() {
            _ if event.is_gap() => Mark::Bad,
            "zombie_flagged" | "blocked_flagged" | "leak_flagged" | "exit_stuck" | "clone_failed" => {
                Mark::Bad
            }
            "leader_died" | "reparented" => Mark::Odd,
            _ => Mark::None,
        };
        let process = event.process();
        Row {
            mark,
            cells: vec![
                self.time(event.timestamp.as_deref()),
                escape(event.action()),
                process.map_or_else(String::new, |it| escape(&name_pid(it.name.as_deref(), it.pid))),
                escape(&event.facts()),
            ],
            target: process.map(|it| Target {
                pid: it.pid,
                entity_id: it.entity_id.clone(),
                parent: it.parent_pid,
            }),
        }
    }
}

fn is_late(parent: &ZombieParent) -> bool {
    parent.verdict.code != Code::JustDied.name()
}

fn zombie_parent_row(parent: &ZombieParent) -> Row {
    Row {
        mark: if is_late(parent) { Mark::Bad } else { Mark::None },
        cells: vec![
            parent.children.zombies.to_string(),
            age(parent.oldest),
            parent.zombies_per_minute.map_or_else(|| "-".into(), |rate| format!("{rate:.1}")),
            escape(&name_pid(parent.process.name.as_deref(), parent.process.pid)),
            escape(&parent.verdict.words),
        ],
        target: Some(Target {
            pid: parent.process.pid,
            entity_id: parent.process.entity_id.clone(),
            parent: parent.process.parent_pid,
        }),
    }
}

fn stuck_row(stuck: &Other) -> Row {
    Row {
        mark: Mark::Bad,
        cells: vec![
            stuck.for_at_least_ns.map_or_else(|| "-".into(), duration),
            "exiting".into(),
            escape(&name_pid(stuck.process.name.as_deref(), stuck.process.pid)),
            format!("do_exit() has not ended; {} other threads", stuck.threads_left),
        ],
        target: Some(target_of(&stuck.process, None)),
    }
}

fn blocked_row(blocked: &BlockedTask) -> Row {
    let what = match (&blocked.waits_for, &blocked.task.wchan) {
        (Some(what), Some(wchan)) => format!("{what}, in {wchan}()"),
        (Some(what), None) => what.clone(),
        (None, Some(wchan)) => format!("?, in {wchan}()"),
        (None, None) => "?".into(),
    };
    Row {
        mark: Mark::Odd,
        cells: vec![
            format!(">{}", duration(blocked.blocked_at_least_ns)),
            escape(&blocked.task.doing),
            escape(&name_pid(
                blocked.task.name.as_deref().or(blocked.process.name.as_deref()),
                blocked.task.tid,
            )),
            escape(&what),
        ],
        target: Some(target_of(&blocked.process, None)),
    }
}
