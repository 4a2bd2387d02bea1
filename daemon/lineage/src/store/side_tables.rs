//! What few groups have, and what many have in common: kept beside them, so that a group stays small.

use crate::model::before_exec::BeforeExec;
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

/// A release that names no reaper is reported after an RCU grace period, which takes less than this unless the machine is overloaded.
const LATE_RELEASE_NS: u64 = 1_000_000_000;

impl Store {
    /// What a group has in common with others.
    pub(crate) fn profile(&self, group: Ix<Group>) -> &Profile {
        self.profile_of(&self.groups[group])
    }

    pub(crate) fn profile_of(&self, group: &Group) -> &Profile {
        self.profiles.get(group.profile)
    }

    /// The combination of facts that has this number.
    pub(crate) fn profile_at(&self, ix: ProfileIx) -> &Profile {
        self.profiles.get(ix)
    }

    /// Sets what a group has in common with others. A group that leaves a pid namespace is its init no longer.
    pub(crate) fn set_profile(&mut self, group: Ix<Group>, profile: &Profile) {
        let former = self.profile(group).namespace;
        if former != profile.namespace && self.namespaces.get(&former) == Some(&group) {
            self.namespaces.remove(&former);
        }
        self.profiles.change(&mut self.groups[group].profile, profile);
    }

    /// Id of a group's cgroup.
    pub(crate) fn cgroup_of(&self, group: &Group) -> Option<u64> {
        group.has(fact::CGROUP).then(|| self.profile_of(group).cgroup_id)
    }

    /// A group's id in its own pid namespace: its leader's tid there.
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

    /// What those tasks of a group used that are dead.
    pub(crate) fn group_usage(&self, group: Ix<Group>) -> Option<GroupUsage> {
        self.groups[group].usage.and_then(|usage| self.usages.usage(self.usages.slot(usage)))
    }

    /// Changes that, from nothing if there was none; answers to whom a group's figures were added.
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

    /// To whom a group's figures were added when it was gone.
    pub(crate) fn charged_to(&self, group: &Group) -> Option<ChargedTo> {
        group.usage.and_then(|usage| self.usages.slot(usage).charged_to())
    }

    /// Sets that.
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

    /// What a group used whose figures are kept elsewhere.
    pub(crate) fn usage_of(&self, packed: &PackedUsage) -> Option<GroupUsage> {
        self.usages.usage(packed)
    }

    /// Sets that.
    pub(crate) fn set_usage_of(&mut self, packed: &mut PackedUsage, usage: &GroupUsage) {
        self.usages.set_usage_of(packed, usage);
    }

    /// Nobody holds these any more.
    pub(crate) fn release_held(&mut self, profile: ProfileIx, usage: PackedUsage) {
        self.profiles.release(profile);
        self.usages.release(usage);
    }

    /// What the dead children of a group used.
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

    /// Keeps what a process did so far, right before an exec is applied to it.
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

    /// Counts a child that a parent took to what it did before its last exec, if that is older than the exec and the exec is younger
    /// than a release that names no reaper can be late.
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
