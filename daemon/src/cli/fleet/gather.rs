//! Asks many daemons at once, a bounded number at a time, and merges what they answer.

use std::{collections::VecDeque, sync::Arc};

use tokio::task::JoinSet;

use super::{
    access::Access,
    client::{self, Failure},
    hosts::Host,
    remote,
};
use crate::{
    answer::fleet::{ErrorKind, Fleet, HostError, Merge},
    cli::exit::Exit,
    event_loop,
};

/// The most bytes of one host's answer. The longest answers of real hosts have some hundred KiB.
pub(super) const ANSWER_MAX: usize = 8 << 20;

/// What a host answered, and its place in the list.
type Outcome<T> = (usize, Result<T, Failure>);

/// Asks all hosts for `path`, `parallel` at a time.
pub(super) fn all<T: Merge>(
    hosts: &[Host],
    access: &Access,
    parallel: usize,
    path: &str,
    most: usize,
    mut answer: T,
) -> Result<Fleet<T>, Exit> {
    let runtime = event_loop::start().map_err(Exit::failed)?;
    let path: Arc<str> = path.into();
    // A task that panics has no outcome; the hook has logged the panic.
    let panicked = || Failure::new(ErrorKind::Local, "a bug of taskscope: its answer caused a panic");
    let mut failures: Vec<Option<Failure>> = hosts.iter().map(|_| Some(panicked())).collect();
    runtime.block_on(async {
        let mut waiting: VecDeque<(usize, Host)> = hosts.iter().cloned().enumerate().collect();
        let mut asked: JoinSet<Outcome<T::Answer>> = JoinSet::new();
        loop {
            while asked.len() < parallel.max(1) {
                let Some((index, host)) = waiting.pop_front() else { break };
                let (access, path) = (access.clone(), path.clone());
                asked.spawn(async move { (index, one(&access, &host, &path, most).await) });
            }
            let Some(done) = asked.join_next().await else { break };
            let Ok((index, outcome)) = done else { continue };
            let (Some(host), Some(failure)) = (hosts.get(index), failures.get_mut(index)) else { continue };
            let merged = outcome.and_then(|it| {
                answer.add(&host.name, it).map_err(|error| Failure::new(ErrorKind::Nonsense, error))
            });
            *failure = merged.err();
        }
    });
    let errors: Vec<HostError> = hosts
        .iter()
        .zip(failures)
        .filter_map(|(host, failure)| {
            failure.map(|Failure { kind, message, .. }| HostError { host: host.name.clone(), kind, message })
        })
        .collect();
    answer.finish();
    let hosts_answered = (hosts.len() - errors.len()) as u64;
    Ok(Fleet { hosts_asked: hosts.len() as u64, hosts_answered, answer, errors })
}

async fn one<T: serde::de::DeserializeOwned>(
    access: &Access,
    host: &Host,
    path: &str,
    most: usize,
) -> Result<T, Failure> {
    remote::parsed(&client::get(access, host, path, most).await?)
}
