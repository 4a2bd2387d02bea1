//! What goes in and what comes out: records, effects, lives.

pub(crate) mod action_kind;
pub(crate) mod debt;
pub mod effect;
pub(crate) mod event_context;
pub mod figures;
pub mod flags;
pub mod id;
pub(crate) mod kinds;
pub(crate) mod life;
pub(crate) mod path_name;
pub mod record;
pub(crate) mod relation;
pub(crate) mod stats;
pub mod status;
pub(crate) mod task;
pub(crate) mod usage;
