//! PURE: what a command and all its descendants did, cost and left behind. No clock, no file, no process.
//!
//! - `fact`: the events that are the input of a report; `members`: the processes of the job, from these facts
//! - `path`: the chain of processes that decided how long it took; `steps`: what the time of each step was
//! - `concurrency`: how many processes worked at once
//! - `failures`, `zombies`, `leftovers`: what went wrong
//! - `build`: makes the `report`, which JSON and `--baseline` share; `compare`: two of them
//! - `sections`: what `text`, `markdown` and `html` have in common

mod build;
mod compare;
mod concurrency;
mod cost;
mod fact;
mod failures;
mod html;
mod leftovers;
mod markdown;
mod members;
mod path;
mod report;
mod sections;
mod steps;
mod text;
mod zombies;

#[cfg(test)]
mod schedules;
#[cfg(test)]
mod tests;

pub use self::{
    build::{Setting, report},
    compare::{Comparison, compare},
    cost::{Cost, Sum},
    fact::{ACTIONS, Fact, LineError, Usage, What},
    html::html,
    leftovers::leftovers,
    markdown::markdown,
    members::{Ended, Member, Members, Taken},
    path::{Edge, Piece, critical_path},
    report::{Leftover, Report, Rusage, VERSION},
    text::text,
};
