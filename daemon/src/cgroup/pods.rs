//! The names of pods and containers of Kubernetes, from the names of the kubelet's directories and links. taskscope opens no file
//! in these directories and follows no link, because the files contain what the containers print.
//!
//! - `/var/log/pods/NAMESPACE_POD_UID`: the kubelet makes this directory before it starts a pod's containers
//! - `/var/log/containers/POD_NAMESPACE_CONTAINER-ID.log`: a link that it makes once it has started a container
//!
//! They are read only while a cgroup of a pod has no name, a few times, with pauses that get longer.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Place, place::PodName};
use crate::host;

/// Where the kubelet has them.
pub(super) const LOGS: &str = "/var/log";

/// The directories below it.
pub(super) const DIRECTORIES: [&str; 2] = ["pods", "containers"];

/// The most names that are read from each: 0.05 s on the thread of the caller. A node has 110 pods by default.
const MOST: usize = 32_768;

/// Pauses between the readings that follow a new cgroup, ns. After the last pause the directories are read once more and then not
/// again, because the cgroup of a pod's sandbox never gets a container's name.
const PAUSES_NS: [u64; 3] = [2_000_000_000, 5_000_000_000, 30_000_000_000];

/// The longest names: a label and a subdomain of DNS (RFC 1123).
const LABEL_MAX: usize = 63;
const SUBDOMAIN_MAX: usize = 253;

/// What the kubelet's directories name.
#[derive(Debug, Default)]
pub(super) struct Pods {
    /// `/var/log`; `None` if names are not wanted.
    root: Option<PathBuf>,
    /// Names of pods.
    by_uid: HashMap<String, PodName>,
    /// Names of containers.
    by_id: HashMap<String, String>,
    /// Readings since the last cgroup without a name was added; `None` if there is none.
    readings: Option<usize>,
    /// When they were read last.
    last_ns: Option<u64>,
    /// Whether a cgroup of a pod was seen.
    is_node: bool,
    error: Option<String>,
}

impl Pods {
    /// Creates it for the names below this directory.
    pub(super) fn at(root: PathBuf) -> Self {
        Self { root: Some(root), ..Self::default() }
    }

    pub(super) fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// Returns a place with its names, as far as they are known. Notes that names are missing.
    pub(super) fn named(&mut self, mut place: Place) -> Place {
        if place.pod_uid.is_none() || self.root.is_none() {
            return place;
        }
        self.is_node = true;
        self.name(&mut place);
        if lacks_names(&place) {
            self.readings = Some(0);
        }
        place
    }

    /// Whether names are missing and may be there now.
    pub(super) fn is_due(&self, now_ns: u64) -> bool {
        let Some(count) = self.readings else { return false };
        // Many cgroups can begin at once, so there is a pause before the first reading for a new cgroup too.
        let pause_ns = PAUSES_NS.get(count.saturating_sub(1));
        pause_ns.is_some_and(|pause| self.last_ns.is_none_or(|last| now_ns >= last.saturating_add(*pause)))
    }

    /// Reads the directories.
    pub(super) fn read(&mut self, now_ns: u64) {
        let (Some(root), Some(count)) = (&self.root, self.readings) else { return };
        self.last_ns = Some(now_ns);
        self.readings = Some(count + 1);
        let [pods, containers] = DIRECTORIES.map(|name| root.join(name));
        let mut error = None;
        match names(&pods, pod) {
            Ok(found) => self.by_uid = found,
            Err(why) => error = Some(format!("{}: {why}", pods.display())),
        }
        match names(&containers, container) {
            Ok(found) => self.by_id = found,
            Err(why) => {
                error.get_or_insert_with(|| format!("{}: {why}", containers.display()));
            }
        }
        self.error = error;
    }

    /// Returns the place with the names that it lacks; `None` if there are no new ones.
    pub(super) fn renamed(&self, place: &Arc<Place>) -> Option<Arc<Place>> {
        if place.pod_uid.is_none() || !lacks_names(place) {
            return None;
        }
        let mut again = (**place).clone();
        self.name(&mut again);
        (again != **place).then(|| Arc::new(again))
    }

    fn name(&self, place: &mut Place) {
        if place.pod_name.is_none() {
            place.pod_name = place.pod_uid.as_ref().and_then(|uid| self.by_uid.get(uid)).cloned();
        }
        if let Some(container) = &mut place.container
            && container.name.is_none()
        {
            container.name = self.by_id.get(&container.id).cloned();
        }
    }

    /// Returns why pods of this host have no names; `None` if they have, and without pods.
    pub(super) fn lacks(&self) -> Option<String> {
        let error = self.error.as_ref().filter(|_| self.is_node)?;
        Some(format!("{error}; pods and containers have ids and no names (docs/fleet.md)"))
    }

    /// The number of pods with a name, if pods were seen.
    pub(super) fn count(&self) -> Option<usize> {
        self.is_node.then_some(self.by_uid.len())
    }
}

fn lacks_names(place: &Place) -> bool {
    place.pod_name.is_none() || place.container.as_ref().is_some_and(|container| container.name.is_none())
}

/// Returns what the names in a directory say; those of another form are left out.
fn names<T>(
    directory: &Path,
    parse: impl Fn(&str, bool) -> Option<(String, T)>,
) -> io::Result<HashMap<String, T>> {
    let mut found = HashMap::new();
    for entry in host::list(directory)?.take(MOST) {
        let entry = entry?;
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let name = entry.file_name();
        found.extend(name.to_str().and_then(|name| parse(name, is_directory)));
    }
    Ok(found)
}

/// Parses `NAMESPACE_POD_UID`. Names of Kubernetes have no underscore.
fn pod(name: &str, is_directory: bool) -> Option<(String, PodName)> {
    let mut parts = name.split('_').filter(|_| is_directory);
    let (namespace, name, uid) = (parts.next()?, parts.next()?, parts.next()?);
    let is_uid = uid.len() >= 32 && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let is_whole = parts.next().is_none() && is_uid;
    let is_name = is_name(namespace, LABEL_MAX) && is_name(name, SUBDOMAIN_MAX);
    (is_whole && is_name)
        .then(|| (uid.to_owned(), PodName { namespace: namespace.to_owned(), name: name.to_owned() }))
}

/// Parses `POD_NAMESPACE_CONTAINER-ID.log`.
fn container(name: &str, _is_directory: bool) -> Option<(String, String)> {
    let (rest, id) = name.strip_suffix(".log")?.rsplit_once('-')?;
    let mut parts = rest.split('_');
    let (pod, namespace, container) = (parts.next()?, parts.next()?, parts.next()?);
    let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_name =
        is_name(pod, SUBDOMAIN_MAX) && is_name(namespace, LABEL_MAX) && is_name(container, LABEL_MAX);
    (parts.next().is_none() && is_id && is_name).then(|| (id.to_owned(), container.to_owned()))
}

/// Whether a text can be a name in Kubernetes: lower-case letters, digits, `-` and `.`.
fn is_name(text: &str, most: usize) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    !text.is_empty() && text.len() <= most && text.bytes().all(is_part)
}

#[cfg(test)]
mod tests;
