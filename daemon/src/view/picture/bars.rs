//! Lives as bars of a timeline, from the answers to `/v1/tree` and `/v1/lives`.

use std::collections::HashMap;

use crate::answer::{life::LifeRecord, process::ProcessRef, time_arg::wall_ns, tree::Tree};

/// The most lives of a picture; the last ones are kept.
pub(super) const MOST: usize = 20_000;

/// A life. Times are ns of `CLOCK_BOOTTIME`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bar {
    pub(super) pid: u32,
    pub(super) name: String,
    pub(super) start: u64,
    /// When its last task died; `None` while it lives.
    pub(super) exit: Option<u64>,
    /// When it was released; `None` for zombies and the living.
    pub(super) release: Option<u64>,
    /// Its last exec.
    pub(super) exec: Option<u64>,
    /// The most threads besides the leader that lived at once.
    pub(super) threads: u32,
    /// Its first parent.
    pub(super) parent: Option<usize>,
    /// The parent that it was reparented to (`None` if that is not shown), and when.
    pub(super) new_parent: Option<(Option<usize>, u64)>,
    /// Whether a signal ended it; the sender, and when it was sent.
    pub(super) is_killed: bool,
    pub(super) sender: Option<(usize, u64)>,
}

impl Bar {
    /// Returns when the bar ends.
    pub(super) fn until(&self) -> u64 {
        self.release.unwrap_or(u64::MAX)
    }
}

/// Lives between two times.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    pub(super) bars: Vec<Bar>,
    /// The beginning of the time shown, ns of `CLOCK_BOOTTIME`. `until` is its end: the time of the answers.
    pub(super) from: u64,
    pub(super) until: u64,
    /// The wall-clock time of `CLOCK_BOOTTIME` 0, ns since the epoch.
    pub(super) wall_ns: i128,
    /// Ended lives that are left out, because there are too many.
    pub left_out: usize,
}

/// The start of a process from its entity id.
fn start_of(entity_id: &str) -> u64 {
    entity_id.rsplit_once('-').and_then(|(_, start)| start.parse().ok()).unwrap_or(0)
}

impl Timeline {
    /// Returns the living processes of `tree`, and `lives` (the oldest first) that ended within `span` ns before it.
    #[must_use]
    pub fn of(tree: &Tree, mut lives: Vec<LifeRecord>, span: u64) -> Self {
        let until = tree.made.boottime_ns;
        let from = until.saturating_sub(span);
        lives.retain(|life| life.boottime_ns >= from);
        let left_out = lives.len().saturating_sub(MOST);
        lives.drain(..left_out);
        let wall = wall_ns(&tree.made.timestamp).unwrap_or_default() - i128::from(until);
        let mut timeline = Self { from, until, wall_ns: wall, left_out, bars: Vec::new() };
        let mut ids: HashMap<&str, usize> = HashMap::new();
        for life in &lives {
            let Some(id) = life.process.entity_id.as_deref() else { continue };
            ids.insert(id, timeline.bars.len());
            timeline.bars.push(ended(life, id));
        }
        for node in &tree.processes {
            let Some(id) = node.entity_id.as_deref() else { continue };
            if ids.contains_key(id) {
                continue;
            }
            ids.insert(id, timeline.bars.len());
            let exit = node
                .zombie
                .as_ref()
                .filter(|_| node.state == "zombie")
                .map(|zombie| zombie.zombie_at_least_ns);
            timeline.bars.push(Bar {
                pid: node.pid,
                name: node.name.clone().unwrap_or_else(|| "?".into()),
                start: start_of(id),
                exit: exit.map(|age| until.saturating_sub(age)),
                threads: node.threads.saturating_sub(1),
                ..Bar::default()
            });
        }
        timeline.link_lives(&lives, &ids);
        timeline.link_nodes(tree, &ids);
        timeline
    }

    /// Sets the references of ended lives.
    fn link_lives(&mut self, lives: &[LifeRecord], ids: &HashMap<&str, usize>) {
        let find = |id: Option<&str>| ids.get(id?).copied();
        let of = |process: &ProcessRef| find(process.entity_id.as_deref());
        for life in lives {
            let last = find(life.process.parent_entity_id.as_deref());
            let first = life.first_parent.as_ref().map_or(last, of);
            let signal = life.death.signal.as_ref();
            let sender =
                signal.and_then(|signal| of(signal.sender.process.as_ref()?).zip(Some(signal.boottime_ns)));
            let Some(bar) = find(life.process.entity_id.as_deref()).and_then(|at| self.bars.get_mut(at))
            else {
                continue;
            };
            bar.parent = first;
            bar.new_parent = life.reparented_boottime_ns.map(|time| (last, time));
            bar.sender = sender;
        }
    }

    /// Sets the parents of the living. When an orphan was reparented is known from the end of its first parent.
    fn link_nodes(&mut self, tree: &Tree, ids: &HashMap<&str, usize>) {
        let mut above: Vec<Option<usize>> = Vec::new();
        for node in &tree.processes {
            above.truncate(node.depth as usize);
            let at = node.entity_id.as_deref().and_then(|id| ids.get(id).copied());
            let parent = above.last().copied().flatten();
            above.push(at);
            let first =
                node.orphan_of.as_ref().and_then(|first| ids.get(first.entity_id.as_deref()?).copied());
            let ended = first.and_then(|first| self.bars.get(first)?.exit);
            let Some(bar) = at.and_then(|at| self.bars.get_mut(at)).filter(|bar| bar.release.is_none())
            else {
                continue;
            };
            bar.parent = first.or(parent);
            bar.new_parent = ended.map(|time| (parent, time));
        }
    }

    /// Keeps only a process and its descendants; returns false if it is not there.
    pub fn keep_subtree(&mut self, pid: u32) -> bool {
        // The last process with this pid, if there were several.
        let Some(root) = (0..self.bars.len())
            .filter(|&at| self.bars.get(at).is_some_and(|bar| bar.pid == pid))
            .max_by_key(|&at| self.bars.get(at).map(|bar| bar.start))
        else {
            return false;
        };
        let is_inside = |at: usize| {
            let ancestors = std::iter::successors(Some(at), |&at| self.bars.get(at)?.parent);
            ancestors.take(self.bars.len()).any(|at| at == root)
        };
        let kept: Vec<bool> = (0..self.bars.len()).map(is_inside).collect();
        let mut count = 0;
        let moved: Vec<Option<usize>> = kept
            .iter()
            .map(|&kept| {
                count += usize::from(kept);
                kept.then(|| count - 1)
            })
            .collect();
        let to = |at: usize| moved.get(at).copied().flatten();
        let mut kept = kept.iter();
        self.bars.retain(|_| kept.next().copied().unwrap_or(false));
        for bar in &mut self.bars {
            bar.parent = bar.parent.and_then(to);
            bar.new_parent = bar.new_parent.map(|(at, time)| (at.and_then(to), time));
            bar.sender = bar.sender.and_then(|(at, time)| to(at).zip(Some(time)));
        }
        true
    }
}

fn ended(life: &LifeRecord, id: &str) -> Bar {
    Bar {
        pid: life.process.pid,
        name: life.process.name.clone().unwrap_or_else(|| "?".into()),
        start: life.start_boottime_ns.unwrap_or_else(|| start_of(id)),
        exit: Some(life.dead_ns()),
        release: Some(life.boottime_ns),
        exec: life.exec_boottime_ns,
        threads: life.threads_peak,
        is_killed: life.process.exit.as_ref().is_some_and(|exit| exit.signal.is_some()),
        ..Bar::default()
    }
}
