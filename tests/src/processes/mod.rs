//! Processes and cgroups that tests start and control.

pub mod browser;
pub mod cgroup;
pub mod directory;
pub mod history;
pub mod hosts;
pub mod job;
pub mod observer;
pub mod programs;
pub mod remedy;
pub mod scenario;
pub mod service;
pub mod spawner;
pub mod terminal_page;
pub mod tmux;
pub mod top;
