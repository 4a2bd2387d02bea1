//! PURE: what a live view shows. Answers of the API and events go in; rows and marks come out.
//!
//! It uses no terminal, no clock and no I/O: all times come from the answers. `taskscope top` draws the rows.

mod budget;
mod event;
pub mod fleet;
mod input;
mod pane;
mod past;
pub mod picture;
mod rows;
mod tree;

pub use self::{
    budget::{Budget, BudgetLine},
    event::Event,
    input::{Health, Input, TreeAnswer, TreeNode},
    pane::{Column, Mark, Pane, Row, Target},
    past::{Past, PastAnswer},
};

use std::collections::VecDeque;

use self::{pane::PaneState, rows::Rows, tree::TreeRows};
use crate::{
    answer::{blocked::BlockedTasks, death::Death, zombies::Zombies},
    export::Zone,
};

/// The most deaths that are kept; the same number of reparentings, and of events.
const KEPT: usize = 1000;

/// The state of a live view.
pub struct View {
    zone: Zone,
    unicode: bool,
    health: Option<Health>,
    disconnected: Option<String>,
    budget: Budget,
    zombies: Option<Zombies>,
    blocked: Option<BlockedTasks>,
    /// The newest comes first, here and in the next two fields.
    deaths: VecDeque<Death>,
    reparented: VecDeque<Event>,
    events: VecDeque<Event>,
    /// Events that came while the view was paused.
    held: VecDeque<Event>,
    tree: TreeRows,
    /// The past time that is shown in place of the present.
    past: Option<Box<Past>>,
    filter: String,
    paused: bool,
    focus: Pane,
    panes: [PaneState; Pane::ALL.len()],
}

impl View {
    /// Returns an empty view. Times are shown in `zone`; branches are drawn in Unicode or in ASCII.
    #[must_use]
    pub fn new(zone: Zone, unicode: bool) -> Self {
        Self {
            zone,
            unicode,
            health: None,
            disconnected: None,
            budget: Budget::default(),
            zombies: None,
            blocked: None,
            deaths: VecDeque::new(),
            reparented: VecDeque::new(),
            events: VecDeque::new(),
            held: VecDeque::new(),
            tree: TreeRows::default(),
            past: None,
            filter: String::new(),
            paused: false,
            focus: Pane::ZombieParents,
            panes: Default::default(),
        }
    }

    /// Takes an answer or events. While the view is paused answers are dropped, because the next ones replace them, and events wait.
    pub fn apply(&mut self, input: Input) {
        match input {
            Input::Disconnected(why) => self.disconnected = Some(why),
            Input::Connected => self.disconnected = None,
            Input::Events(events) if self.paused => {
                self.held.extend(events);
                let surplus = self.held.len().saturating_sub(KEPT);
                self.held.drain(..surplus);
            }
            Input::Events(events) => self.add_events(events),
            _ if self.paused => {}
            Input::Health(health) => self.health = Some(health),
            Input::Limits(limits) => self.budget.add(limits),
            Input::Zombies(zombies) => {
                self.zombies = Some(zombies);
                self.rebuild(Pane::ZombieParents);
                self.rebuild(Pane::Blocked);
            }
            Input::Blocked(blocked) => {
                self.blocked = Some(blocked);
                self.rebuild(Pane::Blocked);
            }
            Input::Deaths(deaths) => {
                let newest = self.deaths.front().map_or(0, |death| death.boottime_ns);
                // The answer has the last first.
                for death in deaths.deaths.into_iter().rev().filter(|death| death.boottime_ns > newest) {
                    self.deaths.push_front(death);
                }
                self.deaths.truncate(KEPT);
                self.rebuild(Pane::Deaths);
            }
            Input::Tree(answer) => {
                self.tree.replace(answer);
                self.rebuild(Pane::Tree);
            }
        }
    }

    fn add_events(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            if event.is_reparenting() {
                self.reparented.push_front(event.clone());
            }
            self.events.push_front(event);
        }
        self.reparented.truncate(KEPT);
        self.events.truncate(KEPT);
        self.rebuild(Pane::Reparented);
        self.rebuild(Pane::Events);
    }

    /// Returns the daemon's health as of its last answer.
    #[must_use]
    pub const fn health(&self) -> Option<&Health> {
        self.health.as_ref()
    }

    /// Returns by how much the tree is older than the list of zombies, ns: on a host with many tasks, the daemon computes it less often.
    #[must_use]
    pub fn tree_lag_ns(&self) -> u64 {
        let newest = self.zombies.as_ref().map_or(0, |zombies| zombies.made.boottime_ns);
        if self.past.is_some() { 0 } else { self.tree.lag_ns(newest) }
    }

    /// Returns why no daemon answers, if none does; everything shown is older then.
    #[must_use]
    pub fn disconnected(&self) -> Option<&str> {
        self.disconnected.as_deref()
    }

    /// The limits on pids, the fullest first.
    #[must_use]
    pub const fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Returns the text that rows must contain.
    #[must_use]
    pub fn filter(&self) -> &str {
        &self.filter
    }

    /// Shows only rows that contain this text, ignoring case.
    pub fn set_filter(&mut self, filter: String) {
        self.filter = filter;
        self.rebuild_all();
    }

    /// Whether answers are dropped and events wait.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.paused
    }

    /// Pauses or resumes the view. Events that arrived during the pause are added.
    pub fn toggle_pause(&mut self) {
        self.paused = !self.paused;
        if !self.paused {
            let held = std::mem::take(&mut self.held);
            self.add_events(held);
        }
    }

    /// Shows a past time until [`Self::leave_past`]; answers and events of the present still apply, and are not shown.
    pub fn show_past(&mut self, answer: PastAnswer) {
        self.past = Some(Box::new(Past::new(answer)));
        self.rebuild_all();
    }

    /// Shows the present again.
    pub fn leave_past(&mut self) {
        if self.past.take().is_some() {
            self.rebuild_all();
        }
    }

    /// Returns the zone in which times are shown.
    #[must_use]
    pub const fn zone(&self) -> Zone {
        self.zone
    }

    /// Returns the past time that is shown, if one is.
    #[must_use]
    pub fn past(&self) -> Option<&Past> {
        self.past.as_deref()
    }

    /// Returns the processes that are shown.
    fn tree(&self) -> &TreeRows {
        self.past.as_ref().map_or(&self.tree, |past| &past.tree)
    }

    const fn tree_mut(&mut self) -> &mut TreeRows {
        match &mut self.past {
            Some(past) => &mut past.tree,
            None => &mut self.tree,
        }
    }

    fn has_zombies(&self, pid: u32) -> bool {
        match (&self.past, &self.zombies) {
            (Some(past), _) => past.parents.iter().any(|parent| parent.pid == pid),
            (None, zombies) => {
                zombies.as_ref().is_some_and(|it| it.parents.iter().any(|it| it.process.pid == pid))
            }
        }
    }

    /// The pane that keys act on.
    #[must_use]
    pub const fn focus(&self) -> Pane {
        self.focus
    }

    /// Sets the focus.
    pub const fn set_focus(&mut self, pane: Pane) {
        self.focus = pane;
    }

    /// How many rows a pane has.
    #[must_use]
    pub fn len(&self, pane: Pane) -> usize {
        self.state(pane).rows.len()
    }

    /// Which row of a pane is chosen, if it has any.
    #[must_use]
    pub fn selected(&self, pane: Pane) -> Option<usize> {
        let state = self.state(pane);
        (!state.rows.is_empty()).then(|| state.at.min(state.rows.len() - 1))
    }

    /// Moves the selection in the focused pane. In a pane with the newest row first, a selected first row stays the first row.
    pub fn move_by(&mut self, rows: isize) {
        let Some(at) = self.selected(self.focus) else { return };
        let most = self.len(self.focus) - 1;
        self.select(self.focus, at.saturating_add_signed(rows).min(most));
    }

    /// Selects a row of a pane, if it has that many.
    pub fn select_row(&mut self, pane: Pane, at: usize) {
        if at < self.len(pane) {
            self.select(pane, at);
        }
    }

    fn select(&mut self, pane: Pane, at: usize) {
        let id = self.state(pane).rows.get(at).map(|&row| self.rows(pane).id(row));
        let state = self.state_mut(pane);
        state.at = at;
        state.id = if at == 0 { None } else { id };
    }

    /// Returns the order of a pane.
    #[must_use]
    pub fn order(&self, pane: Pane) -> &'static str {
        pane.orders().get(self.state(pane).order).copied().unwrap_or_default()
    }

    /// Sorts the pane that has the focus by the next of its orders.
    pub fn next_order(&mut self) {
        let count = self.focus.orders().len();
        let state = self.state_mut(self.focus);
        state.order = (state.order + 1) % count.max(1);
        self.rebuild(self.focus);
    }

    /// Folds or unfolds the children of the selected row of the tree, or the processes of a grouped row.
    pub fn toggle_fold(&mut self) {
        if self.focus == Pane::Tree
            && let Some(&row) = self.selected(Pane::Tree).and_then(|at| self.state(Pane::Tree).rows.get(at))
        {
            self.tree_mut().toggle(row);
            self.rebuild(Pane::Tree);
        }
    }

    /// Shows each process on its own row, or equal processes as one row.
    pub fn toggle_groups(&mut self) {
        let tree = self.tree_mut();
        tree.groups = !tree.groups;
        self.rebuild(Pane::Tree);
    }

    /// The process that the chosen row is about.
    #[must_use]
    pub fn target(&self) -> Option<Target> {
        self.selected(self.focus).and_then(|at| self.row(self.focus, at)).and_then(|row| row.target)
    }

    /// Selects the parent of the selected process in the tree; returns false if the tree does not have it.
    pub fn jump_to_parent(&mut self) -> bool {
        let parent =
            self.target().and_then(|target| target.parent.or_else(|| self.tree().parent(target.pid)));
        parent.is_some_and(|pid| self.jump_in_tree(pid))
    }

    fn jump_in_tree(&mut self, pid: u32) -> bool {
        self.filter.clear();
        if !self.tree_mut().reveal(pid) {
            return false;
        }
        self.rebuild_all();
        let rows = &self.state(Pane::Tree).rows;
        let Some(at) = rows.iter().position(|&row| self.tree().shows(row, pid)) else { return false };
        self.select(Pane::Tree, at);
        self.focus = Pane::Tree;
        true
    }

    /// Selects, in the tree, the parent that has not reaped the selected zombie; for a row of such a parent, the parent itself.
    /// Returns false if there is none.
    pub fn jump_to_responsible(&mut self) -> bool {
        let Some(target) = self.target() else { return false };
        if self.focus == Pane::ZombieParents {
            return self.jump_in_tree(target.pid);
        }
        let parent = target.parent.or_else(|| self.tree().parent(target.pid));
        let candidates = [Some(target.pid), parent].into_iter().flatten();
        let Some(pid) = candidates.into_iter().find(|&pid| self.has_zombies(pid)) else { return false };
        self.set_filter(String::new());
        let rows = &self.state(Pane::ZombieParents).rows;
        let at = rows.iter().position(|&row| self.rows(Pane::ZombieParents).id(row) == u64::from(pid));
        self.select(Pane::ZombieParents, at.unwrap_or(0));
        self.focus = Pane::ZombieParents;
        true
    }

    /// Returns a row.
    #[must_use]
    pub fn row(&self, pane: Pane, at: usize) -> Option<Row> {
        let &row = self.state(pane).rows.get(at)?;
        self.rows(pane).row(row)
    }

    const fn rows(&self, pane: Pane) -> Rows<'_> {
        Rows { view: self, pane }
    }

    #[expect(clippy::indexing_slicing, reason = "there is one for each pane")]
    const fn state(&self, pane: Pane) -> &PaneState {
        &self.panes[pane as usize]
    }

    #[expect(clippy::indexing_slicing, reason = "there is one for each pane")]
    const fn state_mut(&mut self, pane: Pane) -> &mut PaneState {
        &mut self.panes[pane as usize]
    }

    fn rebuild_all(&mut self) {
        for pane in Pane::ALL {
            self.rebuild(pane);
        }
    }

    /// Filters and sorts the rows again; the selected row stays selected.
    fn rebuild(&mut self, pane: Pane) {
        let order = self.state(pane).order;
        let rows = match pane {
            Pane::Tree => {
                let Self { past, tree, filter, .. } = self;
                past.as_mut().map_or(tree, |past| &mut past.tree).lines(order, filter)
            }
            _ => self.rows(pane).sorted(order, &self.filter),
        };
        let id = self.state(pane).id;
        let at = id.and_then(|id| rows.iter().position(|&row| self.rows(pane).id(row) == id));
        let state = self.state_mut(pane);
        state.at = match (id, at) {
            (None, _) => 0,
            (_, Some(at)) => at,
            (Some(_), None) => state.at.min(rows.len().saturating_sub(1)),
        };
        state.rows = rows;
    }
}

#[cfg(test)]
mod tests;
