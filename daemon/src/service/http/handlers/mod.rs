//! Handlers of requests, one file for each subject.
//!
//! - `tasks`: /v1/tree, /v1/tasks, /v1/zombies, /v1/blocked, /v1/limits, /v1/explain
//! - `deaths`, `lives`, `stops`, `scopes`: what has ended
//! - `leaks`: leaks other than zombies
//! - `events`, `stream`: the stream of events
//! - `past`: what reads the history
//! - `answers`, `health`: the daemon itself
//! - `extract`, `json`: parameters of requests and bodies of answers

pub(super) mod answers;
pub(super) mod deaths;
pub(super) mod events;
mod extract;
pub(super) mod health;
mod json;
pub(super) mod leaks;
pub(super) mod lives;
mod past;
pub(super) mod scopes;
pub(super) mod stops;
mod stream;
pub(super) mod tasks;
