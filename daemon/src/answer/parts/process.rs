//! Processes in answers: by name, and as OpenTelemetry's conventions describe them. Names of fields are those of docs/events.md.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    export::Stamp,
    lineage::{Life, flags::signal_name, id::GroupKey, record::Comm, status::WaitStatus},
    verdict::facts::Named,
};

/// Returns bytes as text, and in hexadecimal too if they are not UTF-8.
pub(in crate::answer) fn text(bytes: &[u8]) -> (String, Option<String>) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return (text.to_owned(), None);
    }
    let mut hex = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(hex, "{byte:02x}");
    }
    (String::from_utf8_lossy(bytes).into_owned(), Some(hex))
}

/// Does the same for a name that may be unknown.
pub(in crate::answer) fn names(name: Option<&[u8]>) -> (Option<String>, Option<String>) {
    name.map(text).map_or((None, None), |(name, bytes)| (Some(name), bytes))
}

/// A process by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProcessRef {
    /// Its pid.
    pub pid: u32,
    /// Its identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity_id: Option<String>,
    /// Its comm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The exact bytes, in hexadecimal, if they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_bytes: Option<String>,
}

impl ProcessRef {
    pub(in crate::answer) fn of(named: &Named, stamp: &Stamp) -> Self {
        Self::new(named.key, named.name.as_deref(), stamp)
    }

    pub(in crate::answer) fn by(key: GroupKey, name: Option<Comm>, stamp: &Stamp) -> Self {
        Self::new(key, name.as_ref().map(Comm::bytes), stamp)
    }

    fn new(key: GroupKey, name: Option<&[u8]>, stamp: &Stamp) -> Self {
        let (name, name_bytes) = names(name);
        Self { pid: key.tgid.0, entity_id: stamp.entity_id(key), name, name_bytes }
    }
}

impl std::fmt::Display for ProcessRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} (pid {})", self.pid),
            None => write!(f, "pid {}", self.pid),
        }
    }
}

/// A number in an object of its own: `user.id`, `executable.path`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// Uid.
    pub id: u32,
}

/// A program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Executable {
    /// Its path.
    pub path: String,
    /// The exact bytes, in hexadecimal, if they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
    /// Whether the file has no directory entry any more, or never had one (memfd): the path ends in ` (deleted)`, as in
    /// /proc/PID/exe.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// Whether the path was longer than an exec record can hold: it begins with `.../`, and only its end is known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

impl Executable {
    /// Creates it from the link /proc/PID/exe.
    pub(in crate::answer) fn of_proc(link: &[u8]) -> Self {
        let (path, path_bytes) = text(link);
        Self {
            path,
            path_bytes,
            deleted: link.ends_with(b" (deleted)"),
            truncated: link.starts_with(b".../"),
        }
    }
}

/// The wait(2) status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exit {
    /// The raw status.
    pub status: i32,
    /// Exit code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// Signal that killed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal_name: Option<String>,
    /// Whether it dumped core.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub core_dumped: bool,
}

impl Exit {
    /// Creates it from a status.
    pub(in crate::answer) fn of(status: WaitStatus) -> Self {
        Self {
            status: status.0,
            code: status.code(),
            signal: status.signal(),
            signal_name: status.signal().and_then(signal_name).map(Into::into),
            core_dumped: status.core_dumped(),
        }
    }
}

/// The thread group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Process {
    /// Its pid.
    pub pid: u32,
    /// Its pid in its own pid namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpid: Option<u32>,
    /// Its identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity_id: Option<String>,
    /// Its parent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_pid: Option<u32>,
    /// The parent's identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_entity_id: Option<String>,
    /// Its comm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The exact bytes, in hexadecimal, if they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_bytes: Option<String>,
    /// Its program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executable: Option<Executable>,
    /// Effective user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// Real user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub real_user: Option<User>,
    /// The wait(2) status, once it cannot change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
}

impl Process {
    /// Returns the process by name.
    #[must_use]
    pub fn to_ref(&self) -> ProcessRef {
        ProcessRef {
            pid: self.pid,
            entity_id: self.entity_id.clone(),
            name: self.name.clone(),
            name_bytes: self.name_bytes.clone(),
        }
    }

    /// Creates it from a life.
    #[must_use]
    pub fn of(life: &Life, stamp: &Stamp) -> Self {
        let (name, name_bytes) = names(life.name.as_ref().map(Comm::bytes));
        Self {
            pid: life.key.tgid.0,
            vpid: life.namespace.and_then(|namespace| namespace.vtgid),
            entity_id: stamp.entity_id(life.key),
            parent_pid: life.parent.map(|parent| parent.tgid.0),
            parent_entity_id: life.parent.and_then(|parent| stamp.entity_id(parent)),
            name,
            name_bytes,
            executable: life.executable.as_ref().map(|path| Executable::of_proc(path.bytes())),
            user: life.credentials.map(|(_, effective)| User { id: effective }),
            real_user: life.credentials.map(|(real, _)| User { id: real }),
            exit: life.status.map(Exit::of),
        }
    }
}
