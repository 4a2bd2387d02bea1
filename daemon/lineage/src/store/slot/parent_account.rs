//! A parent's account as it is stored.

use crate::model::debt::Debt;
use crate::model::usage::Descent;
use crate::store::tables::arena::Ix;

/// A parent's account, with what its dead children used in a side table: few parents have any, and fewer of both sorts.
/// One cache line each.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
pub(crate) struct Account {
    pub(crate) debt: Debt,
    pub(crate) reaped: Option<Ix<Descent>>,
    pub(crate) autoreaped: Option<Ix<Descent>>,
}
