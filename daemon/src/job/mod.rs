//! PURE: what a command and all its descendants did, cost and left behind. No clock, no file, no process.
//!
//! - `members`: the processes of the job; `fact`: the events that they are found by; `past`: the same from the records of lives
//! - `path`: the chain of processes that decided how long it took; `steps`: what the time of each step was; `concurrency`: how many
//!   processes worked at once
//! - `report`: the report, which JSON and `--baseline` share; `build` makes it; `compare`: two of them; `cost`: sums of usage;
//!   `failures`, `zombies`, `leftovers`: what went wrong
//! - `show`: a report as text, Markdown and HTML

mod members;
mod path;
mod report;
mod show;

#[cfg(test)]
mod tests;

use self::{
    members::{fact, past},
    path::{concurrency, steps},
    report::{build, cost, failures, zombies},
    show::sections,
};

pub use self::{
    build::{Setting, report},
    cost::{Cost, Sum},
    fact::{ACTIONS, Fact, JobUsage, LineError, What, start_of},
    members::{Ended, MOST, Member, Members, Taken},
    past::{Identity, Living, NoProcess, Scope, Window, members_of_lives},
    path::{Edge, Piece, critical_path},
    report::{
        Leftover, PastReport, Report, Rusage, VERSION,
        compare::{Comparison, compare},
        leftovers::leftovers,
    },
    show::{html::html, markdown::markdown, text::text},
};
