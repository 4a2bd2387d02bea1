//! What few groups have: kept beside them, so that a group stays small.

use crate::model::debt::Debt;
use crate::model::usage::{ChildrenUsage, Descent, GroupUsage};
use crate::store::Store;
use crate::store::slot::group::{Group, Rare};
use crate::store::slot::parent_account::Account;
use crate::store::tables::arena::Ix;

impl Store {
    pub(crate) fn rare(&mut self, group: Ix<Group>) -> &mut Rare {
        let rare = if let Some(rare) = self.groups[group].rare {
            rare
        } else {
            let rare = self.rares.insert(Rare::default());
            self.groups[group].rare = Some(rare);
            rare
        };
        &mut self.rares[rare]
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
        self.groups[group].rare.and_then(|rare| self.rares[rare].usage)
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
}
