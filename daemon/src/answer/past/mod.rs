//! Answers from the history.
//!
//! - `life`: the record of a life; `past_life`: the answer of `explain --at`
//! - `known`: from which time on an answer from the history is complete, and its gaps
//! - `difference`: what changed between two times; `time_arg`: a time as people write it

pub mod difference;
pub mod known;
pub mod life;
pub mod past_life;
pub mod time_arg;
