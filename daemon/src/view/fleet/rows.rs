//! The columns of hosts, their rows, and the orders of these.

use std::{cmp::Reverse, fmt::Write as _};

use super::host::HostState;
use crate::{
    answer::{
        fleet::{FullestLimit, HostStatus},
        text::escape,
    },
    verdict::duration,
    view::{
        Column, Mark, Row,
        pane::{number, text},
    },
};

/// The width of a terminal from which all columns of the table are shown.
const WIDE: u16 = 150;

/// The columns for which there is room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The most important ones.
    Narrow,
    /// All.
    Wide,
}

/// A row of a host.
pub type FleetRow = Row;

impl Layout {
    /// Returns the layout for a terminal of this width.
    #[must_use]
    pub const fn of(width: u16) -> Self {
        if width >= WIDE { Self::Wide } else { Self::Narrow }
    }

    /// Its columns.
    #[must_use]
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::Narrow => {
                const {
                    &[
                        text("HOST", 15, 12),
                        number("TASKS", 6),
                        number("ZOMB", 5),
                        number("OLDEST", 11),
                        number("DEBT", 11),
                        number("PIDS", 4),
                        number("/MIN", 5),
                        text("STATE, DEATHS", 0, 0),
                    ]
                }
            }
            Self::Wide => {
                const {
                    &[
                        text("HOST", 20, 8),
                        text("VERSION", 8, 0),
                        number("UP", 10),
                        number("TASKS", 7),
                        number("ZOMBIES", 7),
                        number("OLD", 5),
                        number("OLDEST", 11),
                        number("DEBT", 11),
                        number("PIDS", 4),
                        number("LOST", 5),
                        number("DRIFT", 5),
                        text("DEATHS IN 1 MIN", 26, 0),
                        text("STATE", 0, 0),
                    ]
                }
            }
        }
    }
}

/// What hosts are sorted by: a group, two numbers (the largest first), a name, and the place in the list.
type Key = (u8, Reverse<u64>, Reverse<u64>, String, u32);

/// Returns what a host is sorted by.
pub(super) fn key(host: &HostState, order: &str, row: u32) -> Key {
    let sample = host.sample();
    let zombies = sample.and_then(|sample| sample.zombies).unwrap_or_default();
    let status = sample.map(|sample| &sample.status);
    let old = status.map_or(0, |status| status.zombies_old);
    // Hosts without an answer come last in orders by a number.
    let by = |value: u64| (u8::from(sample.is_none()), Reverse(value), Reverse(0), String::new(), row);
    match order {
        "zombies" => by(zombies.overdue),
        "oldest" => by(zombies.oldest_ns),
        "debt" => by(zombies.reap_debt_ns.unwrap_or_default()),
        "deaths" => by(host.deaths().sum()),
        "pids" => by(sample.and_then(|it| it.fullest.as_ref()).map_or(0, FullestLimit::percent)),
        "tasks" => by(status.map_or(0, |status| status.tasks)),
        "lost, drift" => by(status.map_or(0, |status| status.records_lost.saturating_add(status.drifted))),
        "name" => (0, Reverse(0), Reverse(0), host.name.to_string(), row),
        _ => (host.rank(), Reverse(old), Reverse(0), String::new(), row),
    }
}

/// Returns the row of a host.
pub(super) fn row(host: &HostState, layout: Layout) -> FleetRow {
    let figures = Figures::of(host);
    let state = escape(&host.state());
    let cells = match layout {
        Layout::Narrow => {
            let is_well = host.sample().is_some() && matches!(host.mark(), Mark::None | Mark::Odd);
            let deaths = deaths(host);
            let last = if is_well && state == "ready" && !deaths.is_empty() { deaths } else { state };
            vec![
                escape(&host.name),
                figures.tasks,
                figures.zombies,
                figures.oldest,
                figures.debt,
                figures.pids,
                figures.deaths,
                last,
            ]
        }
        Layout::Wide => vec![
            escape(&host.name),
            figures.version,
            figures.up,
            figures.tasks,
            figures.zombies,
            figures.old,
            figures.oldest,
            figures.debt,
            figures.pids,
            figures.lost,
            figures.drift,
            deaths(host),
            state,
        ],
    };
    Row { mark: host.mark(), cells, target: None }
}

/// Texts of a row; `-` stands for an unknown value.
struct Figures {
    version: String,
    up: String,
    tasks: String,
    zombies: String,
    old: String,
    oldest: String,
    debt: String,
    pids: String,
    lost: String,
    drift: String,
    deaths: String,
}

impl Figures {
    fn of(host: &HostState) -> Self {
        let unknown = || "-".to_owned();
        let sample = host.sample();
        let status = sample.map(|sample| &sample.status);
        let zombies = sample.and_then(|sample| sample.zombies);
        let count = |of: fn(&HostStatus) -> u64| status.map_or_else(unknown, |status| of(status).to_string());
        let pids = sample.and_then(|it| it.fullest.as_ref());
        Self {
            version: status.map_or_else(unknown, |status| escape(&status.version)),
            up: status.map_or_else(unknown, |status| duration(status.uptime_ns)),
            tasks: count(|status| status.tasks),
            zombies: count(|status| status.zombies),
            old: count(|status| status.zombies_old),
            oldest: zombies.map_or_else(unknown, |zombies| match zombies.oldest_ns {
                0 => "0".into(),
                age => duration(age),
            }),
            debt: zombies.and_then(|zombies| zombies.reap_debt_ns).map_or_else(unknown, |debt| match debt {
                0 => "0".into(),
                debt => duration(debt),
            }),
            pids: pids.map_or_else(unknown, |limit| {
                if limit.full { "FULL".into() } else { format!("{}%", limit.percent()) }
            }),
            lost: count(|status| status.records_lost),
            drift: count(|status| status.drifted),
            deaths: sample.map_or_else(unknown, |_| {
                let sign = if host.deaths().has_more() { "+" } else { "" };
                format!("{}{sign}", host.deaths().sum())
            }),
        }
    }
}

/// Returns the causes of deaths with their numbers: `killed 3, oom 1`.
fn deaths(host: &HostState) -> String {
    let mut out = String::new();
    for (cause, count) in host.deaths().by_cause() {
        // Writing to a String does not fail.
        let _ = write!(out, "{}{} {count}", if out.is_empty() { "" } else { ", " }, escape(cause));
    }
    if host.deaths().has_more() {
        out.push_str(" and more");
    }
    out
}

/// Returns what is known of a host, as two lines.
pub(super) fn details(host: &HostState) -> [String; 2] {
    let first = format!("{}: {}", escape(&host.name), escape(&host.state()));
    let Some(sample) = host.sample() else {
        let what = if host.failure().is_some() { "its figures are not known" } else { "" };
        return [first, what.into()];
    };
    let status = &sample.status;
    let mut second = format!("taskscope {}, up {}", escape(&status.version), duration(status.uptime_ns));
    // Writing to a String does not fail.
    let _ = write!(second, "; lost {}, drift {}", status.records_lost, status.drifted);
    if let Some(limit) = &sample.fullest {
        let name = if limit.name.is_empty() { String::new() } else { format!(" {}", escape(&limit.name)) };
        let kind = escape(&limit.kind);
        let _ = write!(second, "; pids {} of {} ({kind}{name})", limit.used, limit.limit);
    }
    let deaths = deaths(host);
    if !deaths.is_empty() {
        let _ = write!(second, "; deaths in 1 min: {deaths}");
    }
    [first, second]
}
