//! Selects a process on the command line: by pid, entity id, name, or systemd unit.

use std::{convert::Infallible, fmt::Write as _, path::Path, str::FromStr};

use crate::cli::{ask, exit::Exit};
use crate::{
    answer::{TaskSelector, text::escape, tree::Tree},
    cgroup::Place,
    procfs::Procfs,
};

/// The most candidates that are listed if a name is ambiguous.
const MOST: usize = 20;

/// The kernel cuts comms after this many bytes (`TASK_COMM_LEN` without the NUL).
const NAME_LEN: usize = 15;

/// A `PID` argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Selector {
    /// A pid, tid or entity id.
    Id(TaskSelector),
    /// Anything else: a process's name, or a unit's.
    Name(String),
}

impl FromStr for Selector {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Id))
    }
}

/// A process that a name can mean.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    pid: u32,
    parent: u32,
    name: String,
    unit: Option<String>,
    /// Whether it is a zombie.
    is_zombie: bool,
}

impl Selector {
    /// Finds the process, by the daemon on `socket` if one answers, otherwise by /proc. A name means the topmost process that has
    /// it, a unit the topmost process in it, if there is only one.
    pub(in crate::cli) fn resolve(&self, socket: Option<&Path>) -> Result<TaskSelector, Exit> {
        match self {
            Self::Id(selector) => Ok(selector.clone()),
            Self::Name(name) => {
                let tree = match socket {
                    Some(socket) => ask::get::<Tree>(socket, "/v1/tree?kernel=true")?,
                    None => None,
                };
                let all = tree.map_or_else(|| of_proc(&Procfs::default()), |tree| of_tree(&tree));
                choose(&all, name).map(TaskSelector::Pid).map_err(Exit::failed)
            }
        }
    }

    /// Finds the process in a tree, which is read only if a name has to be looked up.
    pub(in crate::cli) fn resolve_in(
        &self,
        tree: impl FnOnce() -> Result<Tree, Exit>,
    ) -> Result<TaskSelector, Exit> {
        match self {
            Self::Id(selector) => Ok(selector.clone()),
            Self::Name(name) => choose(&of_tree(&tree()?), name).map(TaskSelector::Pid).map_err(Exit::failed),
        }
    }

    /// Finds the pid of the process in a tree.
    pub(in crate::cli) fn pid_in(&self, tree: impl FnOnce() -> Result<Tree, Exit>) -> Result<u32, Exit> {
        pid_of(self.resolve_in(tree)?)
    }

    /// Returns whether a process has this name now, or a unit that has a living process; true for a pid.
    pub(in crate::cli) fn is_there(&self, socket: Option<&Path>) -> bool {
        let Self::Name(name) = self else { return true };
        let tree = socket.and_then(|socket| ask::get::<Tree>(socket, "/v1/tree?kernel=true").ok().flatten());
        let all = tree.map_or_else(|| of_proc(&Procfs::default()), |tree| of_tree(&tree));
        all.iter().any(|it| is_named(it, name) || (!it.is_zombie && is_in(it, name)))
    }

    /// Finds the process's pid.
    pub(in crate::cli) fn pid(&self, socket: Option<&Path>) -> Result<u32, Exit> {
        pid_of(self.resolve(socket)?)
    }
}

fn pid_of(selector: TaskSelector) -> Result<u32, Exit> {
    match selector {
        TaskSelector::Pid(0) => {
            log::error!("0 is the kernel's idle task, not a process");
            Err(Exit::Usage)
        }
        TaskSelector::Pid(pid) => Ok(pid),
        // BOOT-PID-START.
        TaskSelector::Entity(id) => id.split('-').nth(1).and_then(|pid| pid.parse().ok()).ok_or(Exit::Usage),
    }
}

fn is_named(it: &Candidate, name: &str) -> bool {
    it.name == name || (name.len() > NAME_LEN && Some(it.name.as_str()) == name.get(..NAME_LEN))
}

/// Whether it is in this unit, whose name may lack `.service`.
fn is_in(it: &Candidate, unit: &str) -> bool {
    let is_it = |own: &String| own == unit || own.strip_suffix(".service") == Some(unit);
    it.unit.as_ref().is_some_and(is_it)
}

/// Returns the topmost of the processes that have the name, or are in the unit: those that live, if any does.
fn topmost<'a>(all: &'a [Candidate], name: &str) -> Vec<&'a Candidate> {
    let mut found: Vec<&Candidate> = all.iter().filter(|it| is_named(it, name)).collect();
    if found.is_empty() {
        found = all.iter().filter(|it| is_in(it, name)).collect();
        if found.iter().any(|it| !it.is_zombie) {
            found.retain(|it| !it.is_zombie);
        }
    }
    let has = |pid: u32| found.iter().any(|it| it.pid == pid);
    found.iter().copied().filter(|it| !has(it.parent)).collect()
}

/// Returns the process that a name selects.
fn choose(all: &[Candidate], name: &str) -> Result<u32, String> {
    match topmost(all, name).as_slice() {
        [] => Err(format!(
            "`{}` is not a pid or entity id, and no process or systemd unit has this name now; select an ended process by its pid",
            escape(name)
        )),
        [only] => Ok(only.pid),
        several => {
            let mut text = format!("`{}` is ambiguous; say which pid:", escape(name));
            for it in several.iter().take(MOST) {
                let unit = it.unit.as_deref().map_or_else(String::new, |unit| format!("  {}", escape(unit)));
                let _ = write!(text, "\n  {:>7}  {}{unit}", it.pid, escape(&it.name));
            }
            if several.len() > MOST {
                let _ = write!(text, "\n  and {} more", several.len() - MOST);
            }
            Err(text)
        }
    }
}

/// Lists the processes of a tree. A process without a place has its parent's.
fn of_tree(tree: &Tree) -> Vec<Candidate> {
    let mut units: Vec<Option<String>> = Vec::new();
    let of_node = |node: &crate::answer::tree::Node| {
        let depth = node.depth as usize;
        units.truncate(depth);
        let unit = match &node.place {
            Some(place) => place.cgroup.unit.clone(),
            None => units.last().cloned().flatten(),
        };
        units.resize(depth, None);
        units.push(unit.clone());
        let parent = node.parent_pid.unwrap_or(0);
        let name = node.name.clone().unwrap_or_default();
        // A dead process was reaped: only the record of its release is missing.
        let is_zombie = node.state == "zombie";
        (node.state != "dead").then_some(Candidate { pid: node.pid, parent, name, unit, is_zombie })
    };
    tree.processes.iter().filter_map(of_node).collect()
}

fn of_proc(procfs: &Procfs) -> Vec<Candidate> {
    let mut groups = procfs.groups().unwrap_or_default();
    groups.sort_unstable();
    let of_group = |tgid| {
        let stat = procfs.stat(tgid).ok().flatten()?;
        let unit = procfs.cgroup(tgid).and_then(|path| Place::of(&path).unit);
        let name = String::from_utf8_lossy(&stat.comm).into_owned();
        let is_zombie = stat.state == b'Z' && stat.num_threads <= 1;
        Some(Candidate { pid: tgid.0, parent: stat.ppid, name, unit, is_zombie })
    };
    groups.into_iter().filter_map(of_group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(pid: u32, parent: u32, name: &str, unit: &str) -> Candidate {
        let unit = (!unit.is_empty()).then(|| unit.to_owned());
        Candidate { pid, parent, name: name.into(), unit, is_zombie: false }
    }

    fn host() -> Vec<Candidate> {
        vec![
            candidate(1, 0, "init", ""),
            candidate(10, 1, "nginx", "nginx.service"),
            candidate(11, 10, "nginx", "nginx.service"),
            candidate(12, 10, "nginx", "nginx.service"),
            candidate(20, 1, "sh", "cron.service"),
            candidate(21, 1, "sh", "session-1.scope"),
            candidate(30, 1, "a-rather-long-n", ""),
        ]
    }

    #[test]
    fn numbers_and_entity_ids_are_no_names() {
        assert_eq!("4711".parse(), Ok(Selector::Id(TaskSelector::Pid(4711))));
        assert_eq!("0bad-7-9".parse(), Ok(Selector::Id(TaskSelector::Entity("0bad-7-9".into()))));
        assert_eq!("nginx".parse(), Ok(Selector::Name("nginx".into())));
    }

    #[test]
    fn the_topmost_process_of_a_name_or_unit_is_meant() {
        for name in ["nginx", "nginx.service"] {
            assert_eq!(choose(&host(), name), Ok(10), "{name}");
        }
        assert_eq!(choose(&host(), "cron"), Ok(20), "a unit without its suffix");
        assert_eq!(choose(&host(), "a-rather-long-name"), Ok(30), "the kernel cuts names");
    }

    #[test]
    fn a_unit_whose_last_processes_have_just_ended_is_not_ambiguous() {
        let mut all = host();
        all.extend(
            [40, 41].map(|pid| Candidate { is_zombie: true, ..candidate(pid, 1, "w", "cron.service") }),
        );
        assert_eq!(choose(&all, "cron.service"), Ok(20), "zombies do not hide what lives");
        let zombies = all.split_off(all.len() - 2);
        assert!(choose(&zombies, "w").unwrap_err().contains("ambiguous"), "a name means zombies too");
        assert!(zombies.iter().all(|it| is_in(it, "cron")));
    }

    #[test]
    fn an_ambiguous_name_lists_its_candidates() {
        let error = choose(&host(), "sh").unwrap_err();
        assert!(
            error.contains("20  sh  cron.service") && error.contains("21  sh  session-1.scope"),
            "{error}"
        );
        let hostile = choose(&host(), "x\x1b[2J").unwrap_err();
        assert!(!hostile.contains('\x1b') && hostile.contains("no process"), "{hostile}");
    }
}
