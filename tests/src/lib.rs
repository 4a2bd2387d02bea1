//! Harness and oracles: taskscope against the running kernel.
//!
//! A [`scenario::Scenario`] runs real processes and reports what the kernel returned. An [`observer::Observer`] runs taskscope
//! and keeps its events. A [`matcher::Matcher`] describes an expected event. The [`normal`] form of a scenario's stream is the
//! same on every kernel and every rung.
#![expect(clippy::missing_panics_doc, reason = "a harness panics: that is how a test fails")]
#![expect(clippy::must_use_candidate, reason = "of most calls the assertion matters, not the value")]

pub mod client;
mod events;
pub mod faults;
mod oracles;
mod processes;
pub mod setting;
pub mod wait;

pub use events::{event, life, matcher, normal, replay, stream, view};
pub use oracles::{delivery, facts, oracle, proc, schema, skipped, tree, verdict, verifier};
pub use processes::{
    browser, certificates, cgroup, directory, history, hosts, job, nats, network, nginx, observer, programs,
    remedy, scenario, servers, service, spawner, terminal_page, tmux, top,
};
