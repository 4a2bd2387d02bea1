//! Harness and oracles: taskscope against the running kernel.
//!
//! A [`scenario::Scenario`] runs real processes and reports what the kernel returned. An [`observer::Observer`] runs taskscope
//! and keeps its events. A [`matcher::Matcher`] describes an expected event. The [`normal`] form of a scenario's stream is the
//! same on every kernel and every rung.
#![expect(clippy::missing_panics_doc, reason = "a harness panics: that is how a test fails")]
#![expect(clippy::must_use_candidate, reason = "of most calls the assertion matters, not the value")]

pub mod browser;
pub mod cgroup;
pub mod event;
pub mod facts;
pub mod faults;
pub mod life;
pub mod matcher;
pub mod normal;
pub mod observer;
pub mod oracle;
pub mod programs;
pub mod replay;
pub mod scenario;
pub mod service;
pub mod setting;
pub mod skipped;
pub mod spawner;
pub mod stream;
pub mod tmux;
pub mod tree;
pub mod verdict;
pub mod verifier;
pub mod view;
