//! The tree equals /proc: pids, parents, states and thread lists, compared when nothing changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use anyhow::Context as _;
use serde_json::Value;

/// One thread group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its parent; 0 for the groups that the kernel itself made.
    pub parent: i64,
    /// Whether it is a zombie, a dead leader or alive.
    pub state: State,
    /// Its tids.
    pub threads: BTreeSet<i64>,
}

/// The states of a group that /proc and taskscope both distinguish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The leader is alive.
    Alive,
    /// The whole group is dead and was not waited for.
    Zombie,
    /// The leader is dead and other threads live.
    DeadLeader,
}

/// Every thread group by pid.
pub type Tree = BTreeMap<i64, Group>;

/// Reads a tree from a mounted /proc.
pub fn from_proc(root: &Path) -> anyhow::Result<Tree> {
    let mut tree = Tree::new();
    for entry in fs::read_dir(root).with_context(|| format!("reading {}", root.display()))? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        match group(root, pid) {
            Ok(group) => drop(tree.insert(pid, group)),
            // The group was released between the two reads.
            Err(error) if gone(&error) => {}
            Err(error) => return Err(error).with_context(|| format!("reading process {pid}")),
        }
    }
    Ok(tree)
}

fn gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

fn group(root: &Path, pid: i64) -> io::Result<Group> {
    let directory = root.join(pid.to_string());
    let stat = fs::read(directory.join("stat"))?;
    let text = String::from_utf8_lossy(&stat);
    // The name can contain any byte, so the last parenthesis ends it.
    let mut words = text.rsplit_once(')').map(|(_, rest)| rest.split_whitespace()).into_iter().flatten();
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, format!("{pid}/stat: `{text}`"));
    let state = words.next().ok_or_else(malformed)?;
    let parent = words.next().and_then(|word| word.parse().ok()).ok_or_else(malformed)?;
    let threads: BTreeSet<i64> = fs::read_dir(directory.join("task"))?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    let state = match state {
        "Z" if threads.len() > 1 => State::DeadLeader,
        "Z" => State::Zombie,
        _ => State::Alive,
    };
    Ok(Group { parent, state, threads })
}

/// Parses a tree that taskscope printed: a list of groups, each with `process.pid`, `process.parent_pid`, `state` and `threads`
/// (objects with `id`).
pub fn from_json(json: &Value) -> anyhow::Result<Tree> {
    let list = json.as_array().context("the tree is no list")?;
    list.iter()
        .map(|entry| {
            let pid = entry["process"]["pid"].as_i64().context("a group without `process.pid`")?;
            let threads = entry["threads"].as_array().with_context(|| format!("{pid}: no `threads`"))?;
            let group = Group {
                parent: entry["process"]["parent_pid"].as_i64().unwrap_or(0),
                state: match entry["state"].as_str() {
                    Some("zombie") => State::Zombie,
                    Some("dead_leader") => State::DeadLeader,
                    Some(_) => State::Alive,
                    None => anyhow::bail!("{pid}: no `state`"),
                },
                threads: threads.iter().filter_map(|thread| thread["id"].as_i64()).collect(),
            };
            Ok((pid, group))
        })
        .collect()
}

/// Returns every difference as a line of text.
#[must_use]
pub fn differences(proc: &Tree, ours: &Tree) -> Vec<String> {
    let pids: BTreeSet<&i64> = proc.keys().chain(ours.keys()).collect();
    pids.into_iter()
        .filter_map(|pid| match (proc.get(pid), ours.get(pid)) {
            (Some(theirs), Some(ours)) if theirs == ours => None,
            (Some(theirs), Some(ours)) => Some(format!("{pid}: /proc has {theirs:?}, taskscope {ours:?}")),
            (Some(theirs), None) => Some(format!("{pid}: only in /proc: {theirs:?}")),
            (None, Some(ours)) => Some(format!("{pid}: only in taskscope: {ours:?}")),
            (None, None) => None,
        })
        .collect()
}

/// Returns the tree from one pid on, itself included.
#[must_use]
pub fn below(tree: &Tree, root: i64) -> Tree {
    let mut kept: BTreeSet<i64> = BTreeSet::from([root]);
    // Pids wrap, so a parent can come after its child: repeat until nothing is added.
    loop {
        let before = kept.len();
        kept.extend(
            tree.iter()
                .filter(|(_, group)| kept.contains(&group.parent))
                .map(|(pid, _)| *pid)
                .collect::<Vec<_>>(),
        );
        if kept.len() == before {
            break;
        }
    }
    tree.iter().filter(|(pid, _)| kept.contains(pid)).map(|(pid, group)| (*pid, group.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct FakeProc(std::path::PathBuf);

    impl FakeProc {
        fn new(name: &str) -> Self {
            let root = std::env::temp_dir().join(format!("taskscope-proc-{name}-{}", std::process::id()));
            fs::create_dir_all(&root).unwrap();
            Self(root)
        }

        fn add(&self, pid: i64, stat: &str, tids: &[i64]) {
            let directory = self.0.join(pid.to_string());
            for tid in tids {
                fs::create_dir_all(directory.join("task").join(tid.to_string())).unwrap();
            }
            fs::write(directory.join("stat"), stat).unwrap();
        }
    }

    impl Drop for FakeProc {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn fake(name: &str) -> FakeProc {
        let proc = FakeProc::new(name);
        proc.add(1, "1 (init) S 0 1 1", &[1]);
        proc.add(20, "20 (a) R 1 (b) S 1 1 1", &[20, 21]);
        proc.add(22, "22 (dead) Z 20 1 1", &[22]);
        proc.add(30, "30 (leader) Z 1 1 1", &[30, 31]);
        fs::create_dir(proc.0.join("self")).unwrap();
        proc
    }

    #[test]
    fn a_dead_leader_is_not_a_zombie() {
        let proc = fake("states");
        let tree = from_proc(&proc.0).unwrap();
        let states: Vec<_> = tree.iter().map(|(pid, group)| (*pid, group.parent, group.state)).collect();
        let expected = [
            (1, 0, State::Alive),
            (20, 1, State::Alive),
            (22, 20, State::Zombie),
            (30, 1, State::DeadLeader),
        ];
        assert_eq!(states, expected);
    }

    #[test]
    fn every_kind_of_difference_is_named() {
        let proc = fake("differences");
        let theirs = from_proc(&proc.0).unwrap();
        assert_eq!(differences(&theirs, &theirs), Vec::<String>::new());
        let mut ours = theirs.clone();
        ours.remove(&22);
        ours.insert(99, theirs[&1].clone());
        ours.get_mut(&20).unwrap().threads.remove(&21);
        let lines = differences(&theirs, &ours);
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].starts_with("20: /proc has"), "{lines:?}");
        assert!(lines[1].starts_with("22: only in /proc"), "{lines:?}");
        assert!(lines[2].starts_with("99: only in taskscope"), "{lines:?}");
    }

    #[test]
    fn a_subtree_contains_children_of_children() {
        let proc = fake("below");
        let tree = from_proc(&proc.0).unwrap();
        assert_eq!(below(&tree, 20).keys().copied().collect::<Vec<_>>(), [20, 22]);
    }

    #[test]
    fn a_printed_tree_is_read() {
        let json = serde_json::json!([
            {"process": {"pid": 20, "parent_pid": 1}, "state": "running", "threads": [{"id": 20}, {"id": 21}]},
            {"process": {"pid": 22, "parent_pid": 20}, "state": "zombie", "threads": [{"id": 22}]},
        ]);
        let proc = fake("printed");
        let theirs = below(&from_proc(&proc.0).unwrap(), 20);
        assert_eq!(differences(&theirs, &from_json(&json).unwrap()), Vec::<String>::new());
    }
}
