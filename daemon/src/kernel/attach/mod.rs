//! What is loaded and attached: the object, offsets of members, hooks, links, privileges.

pub mod btf;
pub mod fields;
pub mod hooks;
pub mod ladder;
pub mod links;
pub mod object;
pub mod privilege;
pub mod program_stats;
pub mod survey;
