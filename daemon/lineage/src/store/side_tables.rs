//! Facts that few groups have or that many groups share, stored outside of the group, so that a group stays small.

use crate::model::before_exec::BeforeExec;
use crate::model::cgroup_counts::CgroupCounts;
use crate::model::debt::Debt;
use crate::model::id::Ktime;
use crate::model::usage::{ChildrenUsage, Descent, GroupUsage};
use crate::store::Store;
use crate::store::slot::charged_to::ChargedTo;
use crate::store::slot::group::{Group, fact};
use crate::store::slot::packed_usage::PackedUsage;
use crate::store::slot::parent_account::Account;
use crate::store::slot::task::known;
use crate::store::tables::arena::Ix;
use crate::store::tables::profile::{Profile, ProfileIx};

/// A release that names no reaper is reported after an RCU grace period, which takes less than this unless the machine is
/// overloaded.
const LATE_RELEASE_NS: u64 = 1_000_000_000;

impl Store {
    /// Returns the facts that a group shares with others.
    pub(crate) fn profile(&self, group: Ix<Group>) -> &Profile {
        self.profile_of(&self.groups[group])
    }

    pub(crate) fn profile_of(&self, group: &Group) -> &Profile {
        self.profiles.get(group.profile)
    }

    /// Returns the shared facts with this number.
    pub(crate) fn profile_at(&self, ix: ProfileIx) -> &Profile {
        self.profiles.get(ix)
    }

    /// Sets the facts that a group shares with others. A group that leaves a pid namespace stops being its init.
    pub(crate) fn set_profile(&mut self, group: Ix<Group>, profile: &Profile) {
        let former = self.profile(group).namespace;
        if former != profile.namespace && self.namespaces.get(&former) == Some(&group) {
            self.namespaces.remove(&former);
        }
        let members = &mut self.groups[group];
        let before = members.profile;
        self.profiles.change(&mut members.profile, profile);
        let after = members.profile;
        if before != after {
            let counts = self.cgroup_counts_of(&self.groups[group]);
            self.profiles.counts_mut(before).subtract(&counts);
            self.profiles.counts_mut(after).add(&counts);
        }
    }

    /// Returns what a group adds to the counts of its cgroup.
    pub(in crate::store) fn cgroup_counts_of(&self, group: &Group) -> CgroupCounts {
        let threads = self.threads_of(group).live;
        CgroupCounts {
            processes: u32::from(threads > 0),
            threads,
            zombies: u32::from(group.is_owed_a_wait()),
        }
    }

    /// Returns the counts to which a group adds its tasks.
    #[inline]
    pub(in crate::store) fn cgroup_counts(&mut self, group: Ix<Group>) -> &mut CgroupCounts {
        self.profiles.counts_mut(self.groups[group].profile)
    }

    /// Returns the id of a group's cgroup.
    pub(crate) fn cgroup_of(&self, group: &Group) -> Option<u64> {
        group.has(fact::CGROUP).then(|| self.profile_of(group).cgroup_id)
    }

    /// Returns a group's id in its own pid namespace: its leader's tid there.
    pub(crate) fn vtgid(&self, group: &Group) -> Option<u32> {
        let leader = &self.tasks[group.leader?];
        leader.knows(known::VTID).then_some(leader.vtid)
    }

    pub(crate) fn new_debt(&mut self, group: Ix<Group>) -> Ix<Account> {
        let debt = self.debts.insert(Account::default());
        self.groups[group].debt = Some(debt);
        debt
    }

    pub(crate) fn debt(&mut self, group: Ix<Group>) -> &mut Debt {
        let debt = self.debt_ix(group);
        &mut self.debts[debt].debt
    }

    pub(crate) fn debt_ix(&mut self, group: Ix<Group>) -> Ix<Account> {
        match self.groups[group].debt {
            Some(debt) => debt,
            None => self.new_debt(group),
        }
    }

    /// Returns what the dead tasks of a group used.
    pub(crate) fn group_usage(&self, group: Ix<Group>) -> Option<GroupUsage> {
        self.groups[group].usage.and_then(|usage| self.usages.usage(self.usages.slot(usage)))
    }

    /// Changes the usage of a group's dead tasks, which begins at zero. Returns to which process that usage was added.
    pub(crate) fn update_group_usage(
        &mut self,
        group: Ix<Group>,
        update: impl FnOnce(&mut GroupUsage, Option<ChargedTo>),
    ) -> Option<ChargedTo> {
        let slot = self.usage_slot(group);
        let packed = self.usages.slot(slot);
        let charged_to = packed.charged_to();
        let mut usage = self.usages.usage(packed).unwrap_or_default();
        update(&mut usage, charged_to);
        self.usages.set_usage(slot, &usage);
        charged_to
    }

    /// Returns to which process a group's usage was added when it was released.
    pub(crate) fn charged_to(&self, group: &Group) -> Option<ChargedTo> {
        group.usage.and_then(|usage| self.usages.slot(usage).charged_to())
    }

    /// Sets to which process a group's usage was added.
    pub(crate) fn set_charged_to(&mut self, group: Ix<Group>, charged_to: Option<ChargedTo>) {
        let usage = self.usage_slot(group);
        self.usages.slot_mut(usage).set_charged_to(charged_to);
    }

    fn usage_slot(&mut self, group: Ix<Group>) -> Ix<PackedUsage> {
        match self.groups[group].usage {
            Some(usage) => usage,
            None => *self.groups[group].usage.insert(self.usages.insert()),
        }
    }

    /// Returns the usage in a slot.
    pub(crate) fn usage_of(&self, packed: &PackedUsage) -> Option<GroupUsage> {
        self.usages.usage(packed)
    }

    /// Sets the usage in a slot.
    pub(crate) fn set_usage_of(&mut self, packed: &mut PackedUsage, usage: &GroupUsage) {
        self.usages.set_usage_of(packed, usage);
    }

    /// Releases a profile and usage that an ended process held.
    pub(crate) fn release_held(&mut self, profile: ProfileIx, usage: PackedUsage) {
        self.profiles.release(profile);
        self.usages.release(usage);
    }

    /// Returns what the dead children of a group used.
    pub(crate) fn children_usage(&self, group: Ix<Group>) -> Option<ChildrenUsage> {
        let account = &self.debts[self.groups[group].debt?];
        account.reaped.or(account.autoreaped)?;
        let sum = |ix: Option<Ix<Descent>>| ix.map_or_else(Descent::default, |ix| self.sums[ix]);
        Some(ChildrenUsage { reaped: sum(account.reaped), autoreaped: sum(account.autoreaped) })
    }

    /// Adds to what the dead children of a group used.
    pub(crate) fn add_to_parent(&mut self, parent: Ix<Group>, is_reaped: bool, sum: &Descent) {
        let debt = self.debt_ix(parent);
        let account = &mut self.debts[debt];
        let slot = if is_reaped { &mut account.reaped } else { &mut account.autoreaped };
        match *slot {
            Some(total) => self.sums[total].add(sum),
            None => *slot = Some(self.sums.insert(*sum)),
        }
    }

    /// Stores what a process did so far, just before an exec is applied.
    pub(crate) fn keep_before_exec(&mut self, group: Ix<Group>) {
        let members = &self.groups[group];
        let Some(account) = members.debt else { return };
        let debt = self.debts[account].debt;
        let since = if members.execs > 0 { Some(members.exec_at) } else { members.key().start };
        let before = BeforeExec {
            executable: members.executable.clone(),
            since,
            forked: debt.forked,
            reaped: debt.reaped,
        };
        self.rare(group).before_exec = Some(Box::new(before));
    }

    /// Counts a reaped child among those that the parent reaped before its last exec, if the child is older than the exec. A
    /// release that names no reaper is reported late, so this applies only within [`LATE_RELEASE_NS`] after the exec.
    pub(crate) fn note_taken_before_exec(&mut self, parent: Ix<Group>, child: Option<Ktime>, at: Ktime) {
        let members = &self.groups[parent];
        let exec_at = members.exec_at;
        let is_older = members.execs > 0 && child.is_some_and(|start| start < exec_at);
        let had_children = self.rare_of(members).is_some_and(|rare| rare.before_exec.is_some());
        if is_older
            && had_children
            && at.since(exec_at) < LATE_RELEASE_NS
            && let Some(before) = &mut self.rare(parent).before_exec
        {
            before.reaped += 1;
        }
    }
}
