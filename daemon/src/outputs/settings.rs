//! Settings of outputs: `[[output]]` of the configuration.

use std::path::PathBuf;

use axum::http::{HeaderName, HeaderValue};

use super::url::{Url, header};
use crate::{
    export::EventSelection,
    lineage::{ActionKind, WantedActions, WantedDeaths},
    size,
};

/// Where journald takes messages.
pub const DEFAULT_JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

/// The types of outputs.
pub const TARGETS: [&str; 3] = ["journald", "otlp", "alertmanager"];

/// Events in memory, by default and at most.
const QUEUE: usize = 4096;
const QUEUE_MOST: usize = 1 << 20;

/// Bytes of the spill file, by default and at least.
const SPILL_SIZE: u64 = 64 << 20;
const SPILL_LEAST: u64 = 64 << 10;

/// The most outputs: each takes memory.
pub const MOST_OUTPUTS: usize = 32;

/// An output as the configuration has it; `None` is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a key of the file: docs/outputs.md describes them")]
pub struct OutputDraft {
    pub target: Option<String>,
    pub name: Option<String>,
    pub url: Option<String>,
    pub headers: Option<Vec<String>>,
    pub socket: Option<String>,
    pub actions: Option<Vec<String>>,
    pub deaths: Option<String>,
    pub pids: Option<Vec<u32>>,
    pub subtree: Option<u32>,
    pub comms: Option<Vec<String>>,
    pub units: Option<Vec<String>>,
    pub containers: Option<Vec<String>>,
    pub queue: Option<usize>,
    pub spill: Option<String>,
    pub spill_size: Option<String>,
}

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

/// What an output sends to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetSettings {
    /// The journal.
    Journald {
        /// journald's socket.
        socket: PathBuf,
    },
    /// An OpenTelemetry collector, by OTLP/HTTP.
    Otlp {
        /// Where it listens.
        url: Url,
        /// More headers of each request.
        headers: Vec<(HeaderName, HeaderValue)>,
    },
    /// An Alertmanager, by its API v2.
    Alertmanager {
        /// Where it listens.
        url: Url,
        /// More headers of each request.
        headers: Vec<(HeaderName, HeaderValue)>,
    },
}

/// An error in a setting: the key, and what is wrong.
pub type SettingError = (&'static str, String);

impl TargetSettings {
    /// Returns `type` of the configuration.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Journald { .. } => "journald",
            Self::Otlp { .. } => "otlp",
            Self::Alertmanager { .. } => "alertmanager",
        }
    }

    /// Returns the address of a server.
    #[must_use]
    pub const fn url(&self) -> Option<&Url> {
        match self {
            Self::Journald { .. } => None,
            Self::Otlp { url, .. } | Self::Alertmanager { url, .. } => Some(url),
        }
    }

    /// Returns the headers that the configuration adds.
    #[must_use]
    pub const fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        match self {
            Self::Journald { .. } => &[],
            Self::Otlp { headers, .. } | Self::Alertmanager { headers, .. } => headers.as_slice(),
        }
    }
}

/// The actions that an output of a type sends if the configuration names none.
fn default_actions(target: &TargetSettings) -> &'static [ActionKind] {
    match target {
        TargetSettings::Journald { .. } => &[ActionKind::ZombieFlagged, ActionKind::GroupExited],
        TargetSettings::Otlp { .. } => &[
            ActionKind::BlockedFlagged,
            ActionKind::BlockedCleared,
            ActionKind::LeakFlagged,
            ActionKind::LeakCleared,
            ActionKind::ExitStuck,
            ActionKind::GroupExited,
            ActionKind::ZombieFlagged,
        ],
        TargetSettings::Alertmanager { .. } => &[
            ActionKind::BlockedFlagged,
            ActionKind::BlockedCleared,
            ActionKind::LeakFlagged,
            ActionKind::LeakCleared,
            ActionKind::ExitStuck,
            ActionKind::ZombieFlagged,
            ActionKind::Reaped,
        ],
    }
}

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
            actions: default_actions(&target).iter().map(|kind| kind.name().to_owned()).collect(),
            ..EventSelection::default()
        },
        target,
        deaths: WantedDeaths::Foreign,
        queue: QUEUE,
        spill: None,
        spill_size: SPILL_SIZE,
    }
}

impl OutputDraft {
    /// Adds the defaults and checks the settings.
    pub fn settle(self) -> Result<OutputSettings, SettingError> {
        let target = self.target()?;
        let has_own_actions = self.actions.is_some();
        let actions = self
            .actions
            .unwrap_or_else(|| default_actions(&target).iter().map(|kind| kind.name().to_owned()).collect());
        if let Some(name) = actions.iter().find(|name| ActionKind::from_name(name).is_none()) {
            return Err(("actions", format!("{name}: no such action; there are: {}", ActionKind::list())));
        }
        let deaths = match self.deaths.as_deref() {
            Some("foreign") => WantedDeaths::Foreign,
            Some("signals") => WantedDeaths::Signals,
            Some("all") => WantedDeaths::All,
            Some(other) => {
                return Err(("deaths", format!("`{other}` is not one of foreign, signals, all")));
            }
            None if matches!(target, TargetSettings::Journald { .. }) && !has_own_actions => {
                WantedDeaths::Foreign
            }
            None => WantedDeaths::All,
        };
        let queue = self.queue.unwrap_or(QUEUE);
        if !(1..=QUEUE_MOST).contains(&queue) {
            return Err(("queue", format!("{queue} is not between 1 and {QUEUE_MOST}")));
        }
        let spill = self.spill.filter(|path| !path.is_empty()).map(PathBuf::from);
        if spill.as_ref().is_some_and(|path| !path.is_absolute()) {
            return Err(("spill", "it is not an absolute path such as /var/lib/taskscope/otlp.spill".into()));
        }
        let spill_size = match self.spill_size.as_deref() {
            None => SPILL_SIZE,
            Some(text) => size::parse(text).map_err(|what| ("spill_size", what))?,
        };
        if spill_size < SPILL_LEAST {
            return Err(("spill_size", format!("{spill_size} is less than {}", size::text(SPILL_LEAST))));
        }
        let name = self.name.unwrap_or_else(|| target.name().to_owned());
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(is_plain) {
            return Err(("name", format!("`{name}` is not 1 to 64 letters, digits, `.`, `_` or `-`")));
        }
        let selection = EventSelection {
            actions,
            pids: self.pids.unwrap_or_default(),
            subtree: self.subtree,
            comms: self.comms.unwrap_or_default(),
            units: self.units.unwrap_or_default(),
            containers: self.containers.unwrap_or_default(),
            lives: false,
        };
        Ok(OutputSettings { name, target, selection, deaths, queue, spill, spill_size })
    }

    fn target(&self) -> Result<TargetSettings, SettingError> {
        let only = |key, types| (key, format!("is for an output of type {types}"));
        let url = |port, path| {
            let text =
                self.url.as_deref().ok_or(("url", "is missing: where the server listens".to_owned()))?;
            Url::parse(text, port, path).map_err(|what| ("url", what))
        };
        let headers = || {
            let texts = self.headers.iter().flatten();
            texts.map(|text| header(text)).collect::<Result<Vec<_>, _>>().map_err(|what| ("headers", what))
        };
        let kind = self.target.as_deref();
        if kind != Some("journald") && self.socket.is_some() {
            return Err(only("socket", "journald"));
        }
        match kind {
            Some("journald") => {
                if self.url.is_some() || self.headers.is_some() {
                    return Err(only(
                        if self.url.is_some() { "url" } else { "headers" },
                        "otlp or alertmanager",
                    ));
                }
                let socket = self.socket.as_deref().unwrap_or(DEFAULT_JOURNAL_SOCKET);
                if !socket.starts_with('/') {
                    return Err(("socket", format!("`{socket}` is not an absolute path")));
                }
                Ok(TargetSettings::Journald { socket: socket.into() })
            }
            Some("otlp") => Ok(TargetSettings::Otlp { url: url(4318, "/v1/logs")?, headers: headers()? }),
            Some("alertmanager") => {
                Ok(TargetSettings::Alertmanager { url: url(9093, "/api/v2/alerts")?, headers: headers()? })
            }
            Some(other) => Err(("type", format!("`{other}` is not one of {}", TARGETS.join(", ")))),
            None => Err(("type", format!("is missing: one of {}", TARGETS.join(", ")))),
        }
    }
}

impl OutputSettings {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(target: &str) -> OutputDraft {
        let url = (target != "journald").then(|| "http://127.0.0.1".to_owned());
        OutputDraft { target: Some(target.into()), url, ..OutputDraft::default() }
    }

    #[test]
    fn the_default_of_journald_is_what_an_operator_must_see() {
        assert_eq!(draft("journald").settle().unwrap(), journal());
        assert!(!needs_all(journal().wanted(7)));
        let otlp = draft("otlp").settle().unwrap();
        assert_eq!((otlp.deaths, needs_all(otlp.wanted(7))), (WantedDeaths::All, false));
        let all = OutputDraft { actions: Some(vec![]), ..draft("otlp") }.settle().unwrap();
        assert!(needs_all(all.wanted(7)));
        let tree = OutputDraft { subtree: Some(1), ..draft("otlp") }.settle().unwrap();
        assert!(needs_all(tree.wanted(7)));
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_key() {
        let some = |text: &str| Some(text.to_owned());
        for (draft, key) in [
            (OutputDraft::default(), "type"),
            (draft("kafka"), "type"),
            (OutputDraft { url: None, ..draft("otlp") }, "url"),
            (OutputDraft { url: some("http://h"), ..draft("journald") }, "url"),
            (OutputDraft { socket: some("/x"), ..draft("otlp") }, "socket"),
            (OutputDraft { socket: some("x"), ..draft("journald") }, "socket"),
            (OutputDraft { headers: Some(vec!["x".into()]), ..draft("otlp") }, "headers"),
            (OutputDraft { actions: Some(vec!["died".into()]), ..draft("otlp") }, "actions"),
            (OutputDraft { deaths: some("some"), ..draft("otlp") }, "deaths"),
            (OutputDraft { queue: Some(0), ..draft("otlp") }, "queue"),
            (OutputDraft { spill: some("x"), ..draft("otlp") }, "spill"),
            (OutputDraft { spill_size: some("1K"), ..draft("otlp") }, "spill_size"),
            (OutputDraft { name: some("a b"), ..draft("otlp") }, "name"),
        ] {
            assert_eq!(draft.settle().unwrap_err().0, key);
        }
    }
}
