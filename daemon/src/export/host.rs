//! The host of events and lives: the object `host`.

use std::sync::{Arc, OnceLock};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::encode::{Object, key};
use crate::host::Identity;

/// The host on which a process ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    /// machine-id(5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The name of uname(2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The id of the boot: `/proc/sys/kernel/random/boot_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
}

/// A host that many lines share. Its JSON is written once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedHost(Arc<Encoded>);

#[derive(Debug, PartialEq, Eq)]
struct Encoded {
    host: Host,
    json: Vec<u8>,
}

impl SharedHost {
    /// Returns this host. The first call reads it, so it has to come before the sandbox is installed.
    #[must_use]
    pub fn this() -> Self {
        static THIS: OnceLock<SharedHost> = OnceLock::new();
        let read = || {
            let Identity { id, name, boot_id, .. } = Identity::read();
            Self::of(Host { id, name: Some(name).filter(|name| !name.is_empty()), boot_id })
        };
        THIS.get_or_init(read).clone()
    }

    /// Creates it from its parts.
    #[must_use]
    pub fn of(host: Host) -> Self {
        let mut json = Vec::new();
        let mut object = Object::open(&mut json);
        for (key, value) in
            [(key!("id"), &host.id), (key!("name"), &host.name), (key!("boot_id"), &host.boot_id)]
        {
            if let Some(value) = value {
                object.bytes(key, value.as_bytes());
            }
        }
        object.close();
        Self(Arc::new(Encoded { host, json }))
    }

    /// Returns its JSON.
    pub(super) fn json(&self) -> &[u8] {
        &self.0.json
    }
}

impl Serialize for SharedHost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.host.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SharedHost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Host::deserialize(deserializer).map(Self::of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_encoders_write_the_same() {
        let some = |text: &str| Some(text.to_owned());
        for host in [Host { id: some("0af3"), name: some("a\"b"), boot_id: some("1-2") }, Host::default()] {
            let shared = SharedHost::of(host.clone());
            assert_eq!(shared.json(), serde_json::to_string(&host).unwrap().as_bytes());
            let again: SharedHost = serde_json::from_slice(shared.json()).unwrap();
            assert_eq!(again, shared);
        }
        assert!(SharedHost::this().0.host.name.is_some());
    }
}
