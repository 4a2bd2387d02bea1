//! What goes into the view: answers of the API, events, and whether a daemon is there.

use serde::Deserialize;

use super::Event;
use crate::answer::{blocked::BlockedTasks, death::Deaths, limits::Limits, tree::Tree, zombies::Zombies};

/// Something new.
#[derive(Debug)]
pub enum Input {
    /// How the daemon does.
    Health(Health),
    /// `/v1/limits`.
    Limits(Limits),
    /// `/v1/zombies`.
    Zombies(Zombies),
    /// `/v1/blocked`.
    Blocked(BlockedTasks),
    /// `/v1/deaths`; those that are known already may be left out.
    Deaths(Deaths),
    /// `/v1/tree` with `usage`.
    Tree(TreeAnswer),
    /// Events, the oldest first.
    Events(Vec<Event>),
    /// No daemon answers any more, and why.
    Disconnected(String),
    /// One answers again.
    Connected,
}

/// How far what is shown can be trusted, and sums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Who observes: `taskscope 0.1.0, pid 7`.
    pub observer: String,
    /// For how long it has.
    pub uptime_ns: u64,
    /// Tasks there are.
    pub tasks: u64,
    /// Processes there are.
    pub processes: u64,
    /// Zombies among them.
    pub zombies: u64,
    /// Zombies that nothing has shown since records were lost, and that are in no other figure.
    pub zombies_unconfirmed: u64,
    /// Records that were lost.
    pub lost: u64,
    /// Differences from the kernel that a known loss explains.
    pub repaired: u64,
    /// Differences that nothing explains.
    pub drift: u64,
    /// Age of the last canary whose whole life came through.
    pub canary_age_ns: Option<u64>,
    /// Why it is not ready, if it is not.
    pub not_ready: Option<String>,
    /// What is to be said though it is.
    pub ready_but: Option<String>,
    /// What this kernel does not give.
    pub degraded: Vec<String>,
}

/// The answer to `/v1/tree`, without what the view does not show.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct TreeAnswer {
    /// When it was made, on `CLOCK_BOOTTIME`.
    pub boottime_ns: u64,
    /// Each with its children behind it.
    pub processes: Vec<TreeNode>,
}

/// A process of [`TreeAnswer`].
#[derive(Clone, Debug, Default, Deserialize)]
pub struct TreeNode {
    /// Steps below the root.
    pub depth: u32,
    /// Its pid.
    pub pid: u32,
    /// Its identity.
    #[serde(default)]
    pub entity_id: Option<String>,
    /// Its comm.
    #[serde(default)]
    pub name: Option<String>,
    /// As in [`crate::answer::tree::Node`].
    pub state: String,
    /// Its tasks.
    #[serde(default)]
    pub threads: u32,
    /// CPU time of it and of all below it, those that ended among them.
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
