//! Reads the cgroup hierarchies, in bounded steps.

use std::{collections::HashMap, fs, io, os::unix::fs::DirEntryExt as _, path::Path, sync::Arc};

use super::{Cgroups, Place, REMEMBERED, ROOT_ID, is_gone};
use crate::{
    failpoint::{self, Point},
    fd::spare,
};

/// The most directories that one round through the hierarchies reads. On a host with more cgroups, the cgroups of some tasks stay
/// unknown.
const ROUND_LIMIT: usize = 65_536;

/// The most directories that one walk reads: 0.1 to 0.2 s on the thread of the caller. The next walk continues from there. A user
/// to whom a cgroup is delegated can create any number of cgroups below it.
pub(super) const WALK_LIMIT: usize = 4096;

/// The most bytes of paths that are kept, and the most bytes of paths that wait to be read. A path can have 4 KiB.
pub(super) const MOST_BYTES: usize = 16 << 20;

/// A way through the hierarchies, from their roots to the last directory.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Directories that are still to be read.
    open: Vec<Directory>,
    /// Bytes of their paths.
    bytes: usize,
    pub(super) read: usize,
    /// Whether something could not be read, or was left out.
    has_gaps: bool,
}

#[derive(Debug)]
struct Directory {
    /// Whether the directory is in the hierarchy of the v1 controller.
    is_of_controller: bool,
    /// Its path in the hierarchy; empty for the root.
    path: String,
}

impl Round {
    fn push(&mut self, directory: Directory) {
        if self.bytes + directory.path.len() > MOST_BYTES {
            self.has_gaps = true;
            return;
        }
        self.bytes += directory.path.len();
        self.open.push(directory);
    }

    fn pop(&mut self) -> Option<Directory> {
        let next = self.open.pop()?;
        self.bytes = self.bytes.saturating_sub(next.path.len());
        Some(next)
    }
}

impl Cgroups {
    /// Reads the hierarchies, as far as one walk goes. Cgroups that are gone are kept while there is room. Returns whether it has read
    /// all of them.
    pub(super) fn walk(&mut self) -> bool {
        let begins = self.round.is_none();
        let mut round = self.round.take().unwrap_or_else(|| self.begin());
        for _ in 0..WALK_LIMIT {
            let Some(directory) = round.pop() else { return begins && !round.has_gaps };
            round.read += 1;
            if round.read > ROUND_LIMIT {
                self.unlisted(&format!("more than {ROUND_LIMIT} directories"));
                return false;
            }
            self.read(&directory, &mut round);
        }
        self.round = Some(round);
        false
    }

    /// A round from the roots.
    fn begin(&mut self) -> Round {
        let is_full = |places: &HashMap<_, _>| places.len() > REMEMBERED;
        if is_full(&self.places) || is_full(&self.of_controller) || self.bytes > MOST_BYTES / 2 {
            self.places.clear();
            self.of_controller.clear();
            self.bytes = 0;
        }
        let mut round = Round::default();
        let (unified, controller) = (self.root().is_some(), self.mounts.controller_root().is_some());
        if unified {
            round.push(Directory { is_of_controller: false, path: String::new() });
        }
        if controller {
            round.push(Directory { is_of_controller: true, path: String::new() });
            self.of_controller.entry(ROOT_ID).or_insert_with(|| Arc::new(Place::of("/")));
        }
        // A task is in the root of the v2 hierarchy even if that hierarchy is not mounted.
        if unified || controller {
            self.places.entry(ROOT_ID).or_insert_with(|| Arc::new(Place::of("/")));
        }
        round.has_gaps = !unified && !controller;
        round
    }

    /// Reads one directory.
    fn read(&mut self, of: &Directory, round: &mut Round) {
        let root = if of.is_of_controller { self.mounts.controller_root() } else { self.root() };
        let Some(root) = root else { return };
        let directory = root.join(of.path.trim_start_matches('/'));
        let entries = match list(&directory) {
            Ok(entries) => entries,
            // A cgroup that disappeared in the meantime is skipped.
            Err(error) if is_gone(&error) => return,
            Err(error) => {
                if !std::mem::replace(&mut round.has_gaps, true) {
                    self.unreadable(&directory, &error);
                }
                return;
            }
        };
        for entry in entries {
            let Ok(entry) = entry else {
                round.has_gaps = true;
                return;
            };
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let path = format!("{}/{}", of.path, entry.file_name().to_string_lossy());
            self.remember(of.is_of_controller, entry.ino(), &path);
            round.push(Directory { is_of_controller: of.is_of_controller, path });
        }
    }

    /// Keeps a cgroup's place. Ids are not reused while the host runs, so what is known stays true.
    pub(super) fn remember(&mut self, is_of_controller: bool, id: u64, path: &str) {
        let places = if is_of_controller { &mut self.of_controller } else { &mut self.places };
        if places.contains_key(&id) {
            return;
        }
        if self.bytes + path.len() > MOST_BYTES {
            self.unlisted("paths of more than 16 MiB");
            return;
        }
        self.bytes += path.len();
        places.insert(id, Arc::new(self.pods.named(Place::of(path))));
    }

    /// Logs once that there are more cgroups than are kept.
    fn unlisted(&mut self, what: &str) {
        if !std::mem::replace(&mut self.reported_limit, true) {
            log::warn!("cgroups: {what}; units and containers of some tasks are not known");
        }
    }

    /// Logs this once, until a walk reaches its end again.
    fn unreadable(&mut self, directory: &Path, error: &io::Error) {
        if !std::mem::replace(&mut self.reported_unreadable, true) {
            log::warn!(
                "listing {}: {error}; cgroups below it have no names until that works",
                directory.display()
            );
        }
    }
}

fn list(directory: &Path) -> io::Result<fs::ReadDir> {
    failpoint::check(Point::CgroupList)?;
    spare::retry(|| fs::read_dir(directory))
}
