//! Checks the invariants of the store, which hold after every record, also after wrong ones.

use crate::model::cgroup_counts::CgroupCounts;
use crate::model::task::TaskState;
use crate::store::Store;
use crate::store::slot::extra_ix::ExtraPlace;
use crate::store::slot::group::{Group, fact};
use crate::store::slot::task::{Queue, Task};
use crate::store::tables::arena::Ix;

impl Store {
    /// Checks every link and count against each other; the error names the first that is wrong. Slow: for tests, and after a panic
    /// in a query.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut indexed = 0;
        let mut groups = 0;
        let mut beside = Beside::default();
        for head in self.index.iter() {
            let mut next = Some(head);
            while let Some(ix) = next {
                indexed += 1;
                self.check_task(ix, ix == head)?;
                if let Some(group) = self.tasks[ix].group
                    && self.groups[group].leader == Some(ix)
                {
                    groups += 1;
                    self.check_group(group, ix)?;
                    beside.add(self, &self.groups[group]);
                }
                next = self.tasks[ix].same_tid;
            }
        }
        same("tasks in the index", indexed, self.tasks.len())?;
        let mut state_counts = crate::StateCounts::default();
        for head in self.index.iter() {
            let mut next = Some(head).filter(|&ix| self.tasks[ix].key.tid.0 != 0);
            while let Some(ix) = next {
                state_counts.add(self.tasks[ix].state);
                next = self.tasks[ix].same_tid;
            }
        }
        if state_counts != self.state_counts {
            return Err(format!("state_counts: kept {:?}, counted {state_counts:?}", self.state_counts));
        }
        let is_dead_leader = |&ix: &Ix<Task>| {
            let group = self.tasks[ix].group.map(|group| &self.groups[group]);
            group.is_some_and(|group| group.leader == Some(ix) && group.has(fact::DEAD_LEADER))
        };
        let dead_leaders = self.index.iter().filter(is_dead_leader).count();
        same("dead leaders", self.dead_leaders, dead_leaders)?;
        same("groups by their leaders", groups, self.groups.len())?;
        beside.check(self)?;
        for (&inode, &group) in &self.namespaces {
            if self.groups[group].leader.is_none() || self.profile(group).namespace != inode {
                return Err(format!(
                    "pid namespace {inode}: its init {} is not in it",
                    self.groups[group].tgid
                ));
            }
        }
        self.check_queues()
    }

    fn check_task(&self, ix: Ix<Task>, newest: bool) -> Result<(), String> {
        let task = &self.tasks[ix];
        let name = format!("task {} {:?}", task.key.tid, task.state);
        if !newest && task.state != TaskState::Released {
            return Err(format!("{name}: alive, and another has its tid"));
        }
        let wanted = match task.state {
            TaskState::Released => Queue::Tombstone,
            TaskState::Dead => Queue::Dead,
            _ => task.queue,
        };
        if task.queue != wanted {
            return Err(format!("{name}: in queue {:?}", task.queue));
        }
        match (task.state, task.queue) {
            (TaskState::Implied | TaskState::Running, Queue::None)
            | (TaskState::Exiting, Queue::None | Queue::Exiting | Queue::Stuck)
            | (
                TaskState::Zombie,
                Queue::None | Queue::Candidate | Queue::Zombie | Queue::Flagged | Queue::Unconfirmed,
            )
            | (TaskState::Dead | TaskState::Released, _) => {}
            (_, queue) => return Err(format!("{name}: in queue {queue:?}")),
        }
        if task.state == TaskState::Released {
            let linked = task.group.is_some() || task.thread_prev.is_some() || task.first_child.is_some();
            return if linked { Err(format!("{name}: still linked")) } else { Ok(()) };
        }
        let Some(group) = task.group else { return Err(format!("{name}: without a group")) };
        if !self.members(group).any(|member| member == ix) {
            return Err(format!("{name}: not among its group's threads"));
        }
        for child in self.children_of(ix) {
            if self.groups[child].parent != Some(ix) {
                return Err(format!("{name}: child {} has another parent", self.groups[child].tgid));
            }
        }
        Ok(())
    }

    fn check_group(&self, ix: Ix<Group>, leader: Ix<Task>) -> Result<(), String> {
        let group = &self.groups[ix];
        let name = format!("group {}", group.tgid);
        same(&format!("{name}: leader's tid"), self.tasks[leader].key.tid.0 as usize, group.tgid as usize)?;
        let states: Vec<_> = self.members(ix).map(|task| self.tasks[task].state).collect();
        let present = states.iter().filter(|&&state| state < TaskState::Dead).count();
        let live = states.iter().filter(|&&state| state < TaskState::Zombie).count();
        same(&format!("{name}: present"), self.present(group) as usize, present)?;
        same(&format!("{name}: live"), self.live(group) as usize, live)?;
        if self.can_pack_extra(ix) {
            return Err(format!("{name}: its Extra would fit into a SmallExtra"));
        }
        let queue = self.tasks[leader].queue;
        let is_queued = matches!(queue, Queue::Zombie | Queue::Flagged | Queue::Unconfirmed);
        if group.has(fact::UNCONFIRMED) != (queue == Queue::Unconfirmed) {
            return Err(format!("{name}: the unconfirmed mark does not fit the queue {queue:?}"));
        }
        if group.has(fact::ZOMBIE) != is_queued {
            return Err(format!("{name}: the zombie mark does not fit the queue {queue:?}"));
        }
        if let Some(parent) = group.parent {
            if !self.children_of(parent).any(|child| child == ix) {
                return Err(format!("{name}: not among its parent's children"));
            }
            let Some(parents) = self.tasks[parent].group else {
                return Err(format!("{name}: child of a released task"));
            };
            let parents = &self.groups[parents];
            if parents.key() != group.parent_key().unwrap_or(group.key()) {
                return Err(format!("{name}: linked to a parent other than {:?}", group.parent_key()));
            }
            if parents.has(fact::START) && (parents.start, parents.tgid) >= (group.start, group.tgid) {
                return Err(format!("{name}: older than its parent {}", parents.tgid));
            }
        }
        let zombies = self
            .members(ix)
            .flat_map(|thread| self.children_of(thread))
            .filter(|&child| self.groups[child].is_owed_a_wait())
            .count();
        let owed = group.debt.map_or(0, |debt| self.debts[debt].debt.zombies as usize);
        same(&format!("{name}: zombies owed"), owed, zombies)
    }

    fn check_queues(&self) -> Result<(), String> {
        for queue in [
            Queue::Exiting,
            Queue::Stuck,
            Queue::Candidate,
            Queue::Zombie,
            Queue::Flagged,
            Queue::Unconfirmed,
            Queue::Dead,
            Queue::Tombstone,
        ] {
            let ends = self.queues.ends(queue);
            let mut count = 0;
            let mut last = None;
            let mut next = ends.first;
            while let Some(ix) = next {
                let task = &self.tasks[ix];
                if task.queue != queue || task.queue_prev != last {
                    return Err(format!("queue {queue:?}: task {} is out of line", task.key.tid));
                }
                count += 1;
                last = next;
                next = task.queue_next;
            }
            if ends.last != last {
                return Err(format!("queue {queue:?}: its end is not the last"));
            }
            same(&format!("queue {queue:?}"), ends.len, count)?;
        }
        Ok(())
    }
}

/// Counts of the side-table slots that groups refer to.
#[derive(Default)]
struct Beside {
    extras: usize,
    small_extras: usize,
    rares: usize,
    pending_reparents: usize,
    usages: usize,
    debts: usize,
    sums: usize,
    /// Counts by the number of the profile.
    cgroup_counts: Vec<CgroupCounts>,
}

impl Beside {
    fn add(&mut self, store: &Store, group: &Group) {
        if let ExtraPlace::Small(_) = group.extra.get() {
            self.small_extras += 1;
        } else if let Some(extra) = store.extra_of(group) {
            self.extras += 1;
            self.rares += usize::from(extra.rare.is_some());
            self.pending_reparents += usize::from(extra.pending.is_some());
        }
        let profile = group.profile.number();
        if self.cgroup_counts.len() <= profile {
            self.cgroup_counts.resize(profile + 1, CgroupCounts::default());
        }
        // The idle task is not counted.
        if group.tgid != 0
            && let Some(counts) = self.cgroup_counts.get_mut(profile)
        {
            counts.add(&store.cgroup_counts_of(group));
        }
        self.usages += usize::from(group.usage.is_some());
        if let Some(debt) = group.debt {
            let account = &store.debts[debt];
            self.debts += 1;
            self.sums += [account.reaped, account.autoreaped].into_iter().flatten().count();
        }
    }

    /// A slot that no group refers to would never be freed.
    fn check(&self, store: &Store) -> Result<(), String> {
        same("extras of groups", store.extras.len(), self.extras)?;
        same("small extras of groups", store.small_extras.len(), self.small_extras)?;
        same("rare facts of groups", store.rares.len(), self.rares)?;
        same("pending reparents of groups", store.pending_reparents.len(), self.pending_reparents)?;
        same("usages of groups", store.usages.len(), self.usages)?;
        same("accounts of parents", store.debts.len(), self.debts)?;
        same("sums of parents", store.sums.len(), self.sums)?;
        for (number, kept) in store.profiles.all_counts().enumerate() {
            let counted = self.cgroup_counts.get(number).copied().unwrap_or_default();
            if *kept != counted {
                return Err(format!("tasks with profile {number}: kept {kept:?}, counted {counted:?}"));
            }
        }
        Ok(())
    }
}

fn same(what: &str, kept: usize, counted: usize) -> Result<(), String> {
    if kept == counted { Ok(()) } else { Err(format!("{what}: kept {kept}, counted {counted}")) }
}
