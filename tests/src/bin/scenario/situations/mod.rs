//! Situations that a verdict explains: zombies, sleeps, stops and full limits.

pub(crate) mod blameless;
pub(crate) mod bomb;
pub(crate) mod held;
pub(crate) mod hogs;
pub(crate) mod leaks;
pub(crate) mod limits;
pub(crate) mod parents;
pub(crate) mod ptrace;
pub(crate) mod strangers;
pub(crate) mod terminal;
pub(crate) mod verdicts;
pub(crate) mod zombies;
