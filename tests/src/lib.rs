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
mod real_servers;
pub mod setting;
pub mod wait;

pub use events::{event, life, matcher, normal, replay, stream, view};
pub use oracles::{delivery, facts, oracle, proc, schema, skipped, tree, verdict, verifier};
pub use processes::{
    browser, cgroup, directory, history, hosts, job, observer, programs, remedy, scenario, service, spawner,
    terminal_page, tmux, top,
};
pub use real_servers::{certificates, nats, network, nginx, servers};
