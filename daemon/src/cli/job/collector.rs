//! Collects the events of a job's processes, from before the command starts until the figures of all of them are complete.

use crate::job::{Fact, Members};

/// The facts of a job.
#[derive(Debug, Default)]
pub(super) struct Collector {
    /// Facts from before the command's pid was known.
    early: Vec<Fact>,
    members: Option<Members>,
    /// What the reader of the report should know.
    pub(super) notes: Vec<String>,
    /// The pipeline or the connection has ended before the command did.
    pub(super) has_ended: bool,
    /// The command has exited; the job waits for its last events.
    pub(super) is_settling: bool,
}

impl Collector {
    /// Says which process is the command. Its fork may have been seen already.
    pub(super) fn follow(&mut self, pid: u32) {
        let mut members = Members::new(std::process::id(), pid);
        for fact in self.early.drain(..) {
            members.take(fact);
        }
        self.members = Some(members);
    }

    /// Takes the next event, as a line of JSON.
    pub(super) fn take_line(&mut self, line: &[u8]) {
        match Fact::of_line(line) {
            Ok(Some(fact)) => self.take(fact),
            Ok(None) => {}
            // A line that this version cannot read may have been about the job.
            Err(error) => {
                log::debug!("{error}");
                self.take(Fact::lost("unreadable".into(), Some(1)));
            }
        }
    }

    pub(super) fn take(&mut self, fact: Fact) {
        match &mut self.members {
            Some(members) => members.take(fact),
            None => self.early.push(fact),
        }
    }

    pub(super) const fn members(&self) -> Option<&Members> {
        self.members.as_ref()
    }

    pub(super) const fn members_mut(&mut self) -> Option<&mut Members> {
        self.members.as_mut()
    }
}
