//! What the kernel and scenarios report, to compare with.

pub mod delivery;
pub mod facts;
pub mod oracle;
pub mod proc;
pub mod schema;
pub mod skipped;
pub mod tree;
pub mod verdict;
pub mod verifier;
