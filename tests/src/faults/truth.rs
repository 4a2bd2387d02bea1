//! Compares the daemon's tree with /proc once nothing changes any more.

use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::Daemon;
use crate::tree::{self, Group, State, Tree};

/// How long the tree may take to become equal to /proc, after losses of any size.
const DEADLINE: Duration = Duration::from_secs(60);

/// Parses the tree of `/v1/tree?threads=true`.
fn reported(answer: &Value) -> Result<Tree, String> {
    let processes = answer["processes"].as_array().ok_or_else(|| format!("no tree: {answer}"))?;
    processes
        .iter()
        .map(|process| {
            let pid = process["pid"].as_i64().ok_or_else(|| format!("no pid: {process}"))?;
            let tasks = process["tasks"].as_array().into_iter().flatten();
            let mut threads: BTreeSet<i64> = tasks.filter_map(|task| task["tid"].as_i64()).collect();
            threads.insert(pid);
            let state = match process["state"].as_str() {
                Some("zombie") => State::Zombie,
                Some("dead_leader") => State::DeadLeader,
                _ => State::Alive,
            };
            let parent = process["parent_pid"].as_i64().unwrap_or(0);
            Ok((pid, Group { parent, state, threads }))
        })
        .collect()
}

/// Compares until there is no difference.
fn until_equal(mut differences: impl FnMut() -> Result<Vec<String>, String>) -> Result<(), String> {
    let end = Instant::now() + DEADLINE;
    loop {
        let differences = differences()?;
        if differences.is_empty() {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(format!("the tree differs from /proc:\n{}", differences.join("\n")));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn proc() -> Result<Tree, String> {
    tree::from_proc(Path::new("/proc")).map_err(|error| format!("{error:#}"))
}

/// Waits until the stopped processes below each root equal those of /proc.
pub fn becomes_proc(daemon: &Daemon, roots: &[i64]) -> Result<(), String> {
    until_equal(|| {
        let (ours, proc) = (reported(&daemon.json("/v1/tree?threads=true")?)?, proc()?);
        let mut all = Vec::new();
        for &root in roots {
            if !proc.contains_key(&root) {
                return Err(format!("{root} is not in /proc: the scenario ended by itself"));
            }
            all.extend(tree::differences(&tree::below(&proc, root), &tree::below(&ours, root)));
        }
        Ok(all)
    })
}

/// Checks that the daemon reports exactly the zombies of /proc.
pub fn has_the_zombies_of_proc(daemon: &Daemon) -> Result<(), String> {
    let zombies = |tree: Tree| -> BTreeSet<i64> {
        tree.into_iter().filter(|(_, group)| group.state == State::Zombie).map(|(pid, _)| pid).collect()
    };
    until_equal(|| {
        let (ours, proc) = (zombies(reported(&daemon.json("/v1/tree")?)?), zombies(proc()?));
        let line = |what: &str, pid: &i64| format!("{pid} is a zombie in {what} only");
        let phantoms = ours.difference(&proc).map(|pid| line("the daemon's tree", pid));
        Ok(phantoms.chain(proc.difference(&ours).map(|pid| line("/proc", pid))).collect())
    })
}
