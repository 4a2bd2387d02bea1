//! What `taskscope fleet top` shows: a row for each host. Samples of hosts go in; rows and marks come out.
//!
//! - `host`: the last sample of a host, and what is wrong with it
//! - `deaths`: the ends of the last minute, by cause
//! - `rows`: the columns, the rows and their orders

mod deaths;
mod host;
mod rows;

use std::sync::Arc;

use self::host::HostState;
pub use self::rows::{FleetRow, Layout};
use crate::answer::fleet::{HostSample, NoAnswer};

/// The orders in which hosts can be sorted; the first is the default.
const ORDERS: [&str; 9] =
    ["attention", "zombies", "oldest", "debt", "deaths", "pids", "tasks", "lost, drift", "name"];

/// What a host answered, or why it did not.
#[derive(Debug)]
pub struct FleetInput {
    /// The number of the host in the list.
    pub index: usize,
    /// Its answer.
    pub answer: Result<HostSample, NoAnswer>,
}

/// How many hosts there are in which state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetCounts {
    /// Hosts that were asked at least once.
    pub asked: usize,
    /// Hosts that answered the last question.
    pub answered: usize,
    /// Hosts that answered that their daemon is not ready.
    pub not_ready: usize,
    /// Why hosts did not answer, and how many, the most frequent first.
    pub errors: Vec<(&'static str, usize)>,
    /// Zombies that a parent should have reaped by now.
    pub zombies: u64,
    /// Hosts that have such zombies.
    pub with_zombies: usize,
    /// Ends of the last minute by cause, the most frequent first.
    pub deaths: Vec<(String, u64)>,
}

/// The state of the view.
pub struct FleetView {
    hosts: Vec<HostState>,
    order: usize,
    filter: String,
    paused: bool,
    /// Hosts that match the filter, in order.
    rows: Vec<u32>,
    /// The chosen row, by position and by host. If it is the first row, it is chosen by position alone, so that the first row stays
    /// chosen when another host needs more attention.
    at: usize,
    chosen: Option<u32>,
    /// Whether the rows must be sorted again.
    is_stale: bool,
}

impl FleetView {
    /// Returns a view of hosts with these names, none of which has answered.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = Arc<str>>) -> Self {
        let hosts = names.into_iter().map(HostState::new).collect();
        Self {
            hosts,
            order: 0,
            filter: String::new(),
            paused: false,
            rows: Vec::new(),
            at: 0,
            chosen: None,
            is_stale: true,
        }
    }

    /// Takes an answer. While the view is paused, answers are dropped.
    pub fn apply(&mut self, input: FleetInput) {
        let Some(host) = self.hosts.get_mut(input.index) else { return };
        if self.paused {
            // The next answer has later deaths only.
            host.take_deaths(input.answer);
            return;
        }
        host.take(input.answer);
        self.is_stale = true;
    }

    /// Filters and sorts the rows if something has changed; call it before each frame. The chosen host stays chosen.
    pub fn refresh(&mut self) {
        if !std::mem::take(&mut self.is_stale) {
            return;
        }
        let filter = self.filter.to_lowercase();
        let count = u32::try_from(self.hosts.len()).unwrap_or(u32::MAX);
        let is_wanted = |&row: &u32| self.host(row).is_some_and(|host| host.contains(&filter));
        let mut rows: Vec<u32> = (0..count).filter(is_wanted).collect();
        let order = self.order();
        rows.sort_by_cached_key(|&row| self.host(row).map(|host| rows::key(host, order, row)));
        let at = self.chosen.and_then(|chosen| rows.iter().position(|&row| row == chosen));
        self.at = match (self.chosen, at) {
            (None, _) => 0,
            (Some(_), Some(at)) => at,
            (Some(_), None) => self.at.min(rows.len().saturating_sub(1)),
        };
        self.rows = rows;
    }

    fn host(&self, row: u32) -> Option<&HostState> {
        self.hosts.get(row as usize)
    }

    /// How many hosts are in the list.
    #[must_use]
    pub const fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// How many rows match the filter.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no row matches the filter.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the number of the chosen row.
    #[must_use]
    pub fn selected(&self) -> usize {
        self.at.min(self.rows.len().saturating_sub(1))
    }

    /// Returns the chosen host, as its number in the list.
    #[must_use]
    pub fn chosen(&self) -> Option<usize> {
        self.rows.get(self.selected()).map(|&row| row as usize)
    }

    /// Returns the name of a host.
    #[must_use]
    pub fn name(&self, index: usize) -> Option<&str> {
        self.hosts.get(index).map(|host| &*host.name)
    }

    /// Moves the selection.
    pub fn move_by(&mut self, rows: isize) {
        self.select(self.selected().saturating_add_signed(rows).min(self.rows.len().saturating_sub(1)));
    }

    /// Chooses a row, if there are that many.
    pub fn select(&mut self, at: usize) {
        if at < self.rows.len() {
            self.at = at;
            self.chosen = if at == 0 { None } else { self.rows.get(at).copied() };
        }
    }

    /// Returns the order of the rows.
    #[must_use]
    pub fn order(&self) -> &'static str {
        ORDERS.get(self.order).copied().unwrap_or_default()
    }

    /// Sorts by the next order.
    pub fn next_order(&mut self) {
        self.order = (self.order + 1) % ORDERS.len();
        self.is_stale = true;
    }

    /// Returns the text that rows must contain.
    #[must_use]
    pub fn filter(&self) -> &str {
        &self.filter
    }

    /// Shows only hosts whose name, state, version or causes of deaths contain this text, ignoring case.
    pub fn set_filter(&mut self, filter: String) {
        self.filter = filter;
        self.is_stale = true;
    }

    /// Whether answers are dropped.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.paused
    }

    /// Pauses or resumes the view.
    pub const fn toggle_pause(&mut self) {
        self.paused = !self.paused;
    }

    /// Returns a row.
    #[must_use]
    pub fn row(&self, at: usize, layout: Layout) -> Option<FleetRow> {
        self.rows.get(at).and_then(|&row| self.host(row)).map(|host| rows::row(host, layout))
    }

    /// Returns what is known of the chosen host, as two lines.
    #[must_use]
    pub fn details(&self) -> Option<[String; 2]> {
        self.chosen().and_then(|index| self.hosts.get(index)).map(rows::details)
    }

    /// Counts the hosts by their state.
    #[must_use]
    pub fn counts(&self) -> FleetCounts {
        let mut counts = FleetCounts::default();
        let mut deaths: Vec<(String, u64)> = Vec::new();
        for host in &self.hosts {
            host.count(&mut counts);
            for (cause, number) in host.deaths().by_cause() {
                match deaths.iter_mut().find(|(other, _)| other == cause) {
                    Some((_, sum)) => *sum += number,
                    None => deaths.push((cause.to_owned(), number)),
                }
            }
        }
        deaths.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
        counts.errors.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
        counts.deaths = deaths;
        counts
    }
}

#[cfg(test)]
mod tests;
