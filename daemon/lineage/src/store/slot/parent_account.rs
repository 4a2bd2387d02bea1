//! How a parent's counts of its children are stored.

use crate::model::debt::Debt;
use crate::model::usage::Descent;
use crate::store::tables::arena::Ix;

/// A parent's counts of its children, in one cache line. What its dead children used is in a side table, because few parents need
/// it.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
pub(crate) struct Account {
    pub(crate) debt: Debt,
    pub(crate) reaped: Option<Ix<Descent>>,
    pub(crate) autoreaped: Option<Ix<Descent>>,
}
