//! The tables that the store is made of.

pub(crate) mod arena;
pub(crate) mod index;
pub(crate) mod paths;
pub(crate) mod profile;
