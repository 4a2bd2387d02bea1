//! Inputs of the view: answers of the API, events, and whether a daemon answers.

use serde::Deserialize;

use super::Event;
use crate::answer::{blocked::BlockedTasks, death::Deaths, limits::Limits, tree::Tree, zombies::Zombies};

/// An input of the view.
#[derive(Debug)]
pub enum Input {
    /// The daemon's health.
    Health(Health),
    /// `/v1/limits`.
    Limits(Limits),
    /// `/v1/zombies`.
    Zombies(Zombies),
    /// `/v1/blocked`.
    Blocked(BlockedTasks),
    /// `/v1/deaths`; deaths that the view has already may be left out.
    Deaths(Deaths),
    /// `/v1/tree` with `usage`.
    Tree(TreeAnswer),
    /// Events, the oldest first.
    Events(Vec<Event>),
    /// The daemon has stopped answering; the reason.
    Disconnected(String),
    /// A daemon answers again.
    Connected,
}

/// The daemon's health, and totals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The observer: `taskscope 0.1.0, pid 7`.
    pub observer: String,
    /// How long it has observed, ns.
    pub uptime_ns: u64,
    /// The number of tasks.
    pub tasks: u64,
    /// The number of processes.
    pub processes: u64,
    /// The number of zombies.
    pub zombies: u64,
    /// The number of unconfirmed zombies, which are in no other figure.
    pub zombies_unconfirmed: u64,
    /// Records that were lost.
    pub lost: u64,
    /// Differences from the kernel that a known loss explains.
    pub repaired: u64,
    /// Differences that nothing explains.
    pub drift: u64,
    /// Age of the last canary whose records all arrived, ns.
    pub canary_age_ns: Option<u64>,
    /// Why it is not ready, if it is not.
    pub not_ready: Option<String>,
    /// A warning although it is ready.
    pub ready_but: Option<String>,
    /// What this kernel does not support.
    pub degraded: Vec<String>,
}

/// The answer to `/v1/tree`, reduced to what the view shows.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct TreeAnswer {
    /// When it was computed, on `CLOCK_BOOTTIME`.
    pub boottime_ns: u64,
    /// The processes in depth-first order.
    pub processes: Vec<TreeNode>,
}

/// A process of [`TreeAnswer`].
#[derive(Clone, Debug, Default, Deserialize)]
pub struct TreeNode {
    /// The depth below the root.
    pub depth: u32,
    /// Its pid.
    pub pid: u32,
    /// Its identity.
    #[serde(default)]
    pub entity_id: Option<String>,
    /// Its comm.
    #[serde(default)]
    pub name: Option<String>,
    /// Its state, as in [`crate::answer::tree::Node`].
    pub state: String,
    /// Its tasks.
    #[serde(default)]
    pub threads: u32,
    /// CPU time of it and its descendants, ended ones included, ns.
    #[serde(default)]
    pub subtree_exec_runtime_ns: Option<u64>,
}

impl From<Tree> for TreeAnswer {
    fn from(tree: Tree) -> Self {
        let node = |node: crate::answer::tree::Node| TreeNode {
            depth: node.depth,
            pid: node.pid,
            entity_id: node.entity_id,
            name: node.name,
            state: node.state,
            threads: node.threads,
            subtree_exec_runtime_ns: node.spent.map(|spent| spent.subtree_exec_runtime_ns),
        };
        Self { boottime_ns: tree.made.boottime_ns, processes: tree.processes.into_iter().map(node).collect() }
    }
}
