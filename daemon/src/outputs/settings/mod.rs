//! Settings of outputs: `[[output]]` of the configuration.
//!
//! - `draft`: the keys as the file has them; adds the defaults and checks them
//! - `target`: what an output sends to; `server`: how a server is reached

mod draft;
mod server;
mod target;

use std::path::PathBuf;

use crate::{
    export::EventSelection,
    lineage::{ActionKind, WantedActions, WantedDeaths},
    outputs::target::check_files,
};

pub use self::{
    draft::OutputDraft,
    target::{OtlpProtocol, ServerSettings, TargetSettings, TlsFiles},
};

/// Where journald takes messages.
pub const DEFAULT_JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

/// The types of outputs.
pub const TARGETS: [&str; 5] = ["journald", "otlp", "alertmanager", "http", "nats"];

/// Events in memory, by default and at most.
const QUEUE: usize = 4096;
const QUEUE_MOST: usize = 1 << 20;

/// Bytes of the spill file, by default and at least.
const SPILL_SIZE: u64 = 64 << 20;
const SPILL_LEAST: u64 = 64 << 10;

/// The most outputs: each takes memory.
pub const MOST_OUTPUTS: usize = 32;

/// An output.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in `OutputDraft`")]
pub struct OutputSettings {
    pub name: String,
    pub target: TargetSettings,
    pub selection: EventSelection,
    pub deaths: WantedDeaths,
    pub queue: usize,
    pub spill: Option<PathBuf>,
    pub spill_size: u64,
}

/// An error in a setting: the key, and what is wrong.
pub type SettingError = (&'static str, String);

/// Kinds of rare events: if an output wants only these, the lineage builds no other effects.
const FEW: [ActionKind; 13] = [
    ActionKind::CloneFailed,
    ActionKind::Reparented,
    ActionKind::BlockedFlagged,
    ActionKind::BlockedCleared,
    ActionKind::LeakFlagged,
    ActionKind::LeakCleared,
    ActionKind::ExitStuck,
    ActionKind::LeaderDied,
    ActionKind::GroupExited,
    ActionKind::ZombieFlagged,
    ActionKind::Reaped,
    ActionKind::ScopeBegan,
    ActionKind::ScopeEnded,
];

/// Returns whether all effects must be built for these actions.
pub(super) fn needs_all(wanted: WantedActions) -> bool {
    wanted.kinds & !FEW.into_iter().fold(0, |kinds, kind| kinds | kind.bit()) != 0
}

/// The output that exists by default where journald runs.
#[must_use]
pub fn journal() -> OutputSettings {
    let target = TargetSettings::Journald { socket: DEFAULT_JOURNAL_SOCKET.into() };
    OutputSettings {
        name: "journald".into(),
        selection: EventSelection {
            actions: target.default_actions().iter().map(|kind| kind.name().to_owned()).collect(),
            ..EventSelection::default()
        },
        target,
        deaths: WantedDeaths::Foreign,
        queue: QUEUE,
        spill: None,
        spill_size: SPILL_SIZE,
    }
}

impl OutputSettings {
    /// Reads the files with certificates and keys, to find errors in them at the start.
    pub fn check_files(&self) -> Result<(), SettingError> {
        check_files(&self.target)
    }

    /// The actions whose effects this output needs. `zombie_ns` is the age at which a zombie is flagged.
    pub(super) fn wanted(&self, zombie_ns: u64) -> WantedActions {
        let named = self.selection.actions.iter().filter_map(|name| ActionKind::from_name(name));
        let kinds = named.fold(0, |kinds, kind| kinds | kind.bit());
        // A subtree is followed by all events.
        let needs_all = kinds == 0 || self.selection.subtree.is_some();
        // An alert needs only the reaping of flagged zombies; a configuration with `reaped` wants all.
        let is_alert = matches!(self.target, TargetSettings::Alertmanager { .. });
        WantedActions {
            kinds: if needs_all { u32::MAX } else { kinds },
            deaths: self.deaths,
            zombie_ns: if is_alert { zombie_ns } else { 0 },
        }
    }
}
