//! Selects the events that a reader wants. Conditions of one kind are alternatives; conditions of different kinds must all hold.

use std::collections::HashSet;

use crate::{
    cgroup::Place,
    lineage::{
        ActionKind, Lineage,
        effect::{Action, Effect},
        id::{GroupKey, Tgid},
    },
};

/// What a reader wants; empty lists select everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventSelection {
    /// Names of actions.
    pub actions: Vec<String>,
    /// Thread groups.
    pub pids: Vec<u32>,
    /// A thread group with all its descendants.
    pub subtree: Option<u32>,
    /// Names of processes or threads, `*` and `?` as in a shell.
    pub comms: Vec<String>,
    /// Names of systemd units, `*` and `?` as in a shell.
    pub units: Vec<String>,
    /// Ids of containers, or prefixes of them.
    pub containers: Vec<String>,
    /// Whether only lives are wanted: one line per released process.
    pub lives: bool,
}

/// A selection of events, and what it takes to apply it to one event after the other.
#[derive(Debug)]
pub struct Filter {
    selection: EventSelection,
    /// A bit for each action that is wanted; 0 means all.
    actions: u32,
    members: Option<HashSet<GroupKey>>,
    /// Whether events were not passed to the filter: a fork may be among them.
    has_missed: bool,
}

/// An action that does not exist.
#[derive(Debug, thiserror::Error)]
#[error("{0}: no such action; there are: {list}", list = ActionKind::list())]
pub struct UnknownAction(String);

impl EventSelection {
    /// Creates a filter of this selection, for events from now on.
    pub fn filter(self, lineage: &Lineage) -> Result<Filter, UnknownAction> {
        let mut actions = 0;
        for name in &self.actions {
            let kind = ActionKind::from_name(name).ok_or_else(|| UnknownAction(name.clone()))?;
            actions |= kind.bit();
        }
        let members = self.subtree.map(|root| descendants(lineage, root));
        Ok(Filter { selection: self, actions, members, has_missed: false })
    }

    /// Returns whether the place of a task matters.
    #[must_use]
    pub const fn needs_place(&self) -> bool {
        !self.units.is_empty() || !self.containers.is_empty()
    }
}

/// Returns a thread group and its descendants.
#[must_use]
pub fn descendants(lineage: &Lineage, root: u32) -> HashSet<GroupKey> {
    let mut found = HashSet::new();
    let mut open: Vec<_> = lineage.group(Tgid(root)).into_iter().collect();
    while let Some(group) = open.pop() {
        if found.insert(group.key()) {
            open.extend(group.children());
        }
    }
    found
}

impl Filter {
    /// Returns whether every event is wanted.
    #[must_use]
    pub fn wants_all(&self) -> bool {
        self.selection == EventSelection::default()
    }

    /// Returns the root of the subtree that the filter follows.
    #[must_use]
    pub const fn subtree(&self) -> Option<u32> {
        self.selection.subtree
    }

    /// Adds members of the subtree, after events were not passed to the filter. From then on a child of a member is a member even
    /// if its fork was not seen.
    pub fn add_members(&mut self, more: HashSet<GroupKey>) {
        self.has_missed = true;
        if let Some(members) = &mut self.members {
            members.extend(more);
        }
    }

    /// Returns whether an event is wanted. Every event must be passed in, in order, because the filter follows the subtree by
    /// them.
    pub fn wants(&mut self, effect: &Effect, place: Option<&Place>) -> bool {
        let (selection, has_missed) = (&self.selection, self.has_missed);
        let is_member = self
            .members
            .as_mut()
            .is_none_or(|members| follow(members, selection.subtree, has_missed, effect));
        is_member
            && (!selection.lives || matches!(effect.action, Action::Released { life: Some(_), .. }))
            && (self.actions == 0 || self.actions & effect.action.kind().bit() != 0)
            && any(&selection.pids, |pid| *pid == effect.process.key.tgid.0)
            && any(&selection.comms, |glob| is_called(effect, glob))
            && any(&selection.units, |glob| {
                let unit = place.and_then(|place| place.unit.as_deref());
                unit.is_some_and(|unit| matches(glob.as_bytes(), unit.as_bytes()))
            })
            && any(&selection.containers, |id| {
                let container = place.and_then(|place| place.container.as_ref());
                container.is_some_and(|container| container.id.starts_with(id.as_str()))
            })
    }
}

fn any<T>(conditions: &[T], holds: impl FnMut(&T) -> bool) -> bool {
    conditions.is_empty() || conditions.iter().any(holds)
}

/// Descendants stay members after they are reparented.
fn follow(members: &mut HashSet<GroupKey>, root: Option<u32>, has_missed: bool, effect: &Effect) -> bool {
    let process = &effect.process;
    if (has_missed || matches!(effect.action, Action::Forked { .. }))
        && (root == Some(process.key.tgid.0)
            || process.parent.is_some_and(|parent| members.contains(&parent)))
    {
        members.insert(process.key);
    }
    let is_member = members.contains(&process.key);
    let is_last = effect.thread.key.tid == process.key.tgid.leader();
    if is_last && matches!(effect.action, Action::Released { .. }) {
        members.remove(&process.key);
    }
    is_member
}

fn is_called(effect: &Effect, glob: &str) -> bool {
    let names = [effect.thread.name, effect.process.name];
    names.iter().flatten().any(|name| matches(glob.as_bytes(), name.bytes()))
}

/// Returns whether a text matches a glob: `*` is any bytes, `?` is one byte.
///
/// This does not use a crate: a comm need not be UTF-8, which `wildmatch` requires, and `globset` compiles each glob to a regular
/// expression, which would add a regex engine.
#[must_use]
pub fn matches(glob: &[u8], text: &[u8]) -> bool {
    let (mut g, mut t) = (0, 0);
    // Where to continue if the text after the last `*` does not match.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match glob.get(g) {
            Some(b'*') => {
                retry = Some((g + 1, t));
                g += 1;
            }
            Some(&byte) if byte == b'?' || Some(&byte) == text.get(t) => {
                g += 1;
                t += 1;
            }
            _ => {
                let Some((after, from)) = retry else { return false };
                retry = Some((after, from + 1));
                (g, t) = (after, from + 1);
            }
        }
    }
    glob.get(g..).is_none_or(|rest| rest.iter().all(|&byte| byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_matches_as_in_a_shell() {
        for (glob, text, is_match) in [
            ("nginx", "nginx", true),
            ("nginx", "nginx2", false),
            ("ngin*", "nginx", true),
            ("*x", "nginx", true),
            ("n?i*x", "nginx", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("", "", true),
            ("*", "", true),
            ("?", "", false),
            ("a*", "b", false),
        ] {
            assert_eq!(matches(glob.as_bytes(), text.as_bytes()), is_match, "{glob} {text}");
        }
    }

    #[test]
    fn an_unknown_action_is_named_with_those_there_are() {
        let lineage = Lineage::new(crate::lineage::Config::default());
        let selection = EventSelection { actions: vec!["died".into()], ..EventSelection::default() };
        let error = selection.filter(&lineage).unwrap_err().to_string();
        assert!(error.starts_with("died: no such action; there are: forked, "), "{error}");
    }
}
