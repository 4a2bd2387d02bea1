//! Reads, once after the first snapshot, the programs and arguments of processes that are older than taskscope, because no exec
//! record shows them.

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use super::{EventSink, Pipeline};
use crate::{
    lineage::{Arguments, id::GroupKey},
    procfs::Procfs,
};

/// Arguments that take longer to read stay unknown. They are in the memory of their process, which can be locked or on a file
/// system that does not answer.
const ARGUMENTS_WITHIN: Duration = Duration::from_secs(2);

/// The operation that warnings name.
const READING: &str = "reading the arguments of processes that are older than taskscope";

impl Pipeline {
    /// Reads the program of each process that only the snapshot showed. If the process still lives after all records up to the
    /// end of the reading are handled, it had its pid all the time. So the program that was read is its own, or an exec record
    /// has a newer one.
    pub(super) fn read_programs(&mut self, sink: &mut impl EventSink) {
        let unknown: Vec<GroupKey> = self.lineage.without_executable().collect();
        let read: Vec<(GroupKey, Vec<u8>)> =
            unknown.iter().filter_map(|&key| Some((key, self.procfs.executable(key.tgid)?))).collect();
        let arguments = if self.lineage.reports_arguments() {
            arguments_of(unknown, self.procfs.clone())
        } else {
            Vec::new()
        };
        self.catch_up(sink);
        for (key, path) in read {
            self.lineage.learn_executable(key, &path);
        }
        for (key, arguments) in arguments {
            self.lineage.learn_arguments(key, arguments);
        }
    }
}

/// Reads in a thread of its own, because a read may never return.
fn arguments_of(keys: Vec<GroupKey>, procfs: Procfs) -> Vec<(GroupKey, Arguments)> {
    let (sender, receiver) = mpsc::channel();
    let read = move || {
        for key in keys {
            if let Some(arguments) = procfs.arguments(key.tgid)
                && sender.send((key, arguments)).is_err()
            {
                return;
            }
        }
    };
    if let Err(error) = thread::Builder::new().name("arguments".into()).spawn(read) {
        log::warn!("{READING}: making a thread: {error}");
        return Vec::new();
    }
    let end = Instant::now() + ARGUMENTS_WITHIN;
    let mut found = Vec::new();
    loop {
        match receiver.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(one) => found.push(one),
            Err(mpsc::RecvTimeoutError::Disconnected) => return found,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                log::warn!(
                    "{READING}: a read took longer than {} s; some arguments are unknown",
                    ARGUMENTS_WITHIN.as_secs()
                );
                return found;
            }
        }
    }
}
