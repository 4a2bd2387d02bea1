//! Nothing is lost without a report, losses are repaired, and under no fault does taskscope report wrong facts or leave anything
//! behind.

#[path = "../common/mod.rs"]
mod common;
mod help;
mod hidden;
mod losses;
mod machine;
mod readers;
#[cfg(target_arch = "x86_64")]
mod sabotage;
#[cfg(target_arch = "x86_64")]
mod sandbox;
mod starts;
mod surroundings;
mod uncertain;
#[path = "../common/wall_clock.rs"]
mod wall_clock;
mod watch;
