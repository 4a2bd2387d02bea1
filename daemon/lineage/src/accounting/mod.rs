//! What tasks used.

pub(crate) mod account;
pub(crate) mod awaiting_last_switch;
pub(crate) mod ended_totals;
pub(crate) mod rollup;
