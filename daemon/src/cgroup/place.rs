//! Finds the systemd unit, the container with its runtime, and the pod in a cgroup's path.
//!
//! Each runtime names the cgroup of a container in its own way. The last component that matches wins, so that a container inside
//! a container is reported as the inner one:
//!
//! | runtime | systemd driver | cgroupfs driver |
//! |---|---|---|
//! | Docker | `docker-ID.scope` | `/docker/ID` |
//! | containerd (CRI) | `cri-containerd-ID.scope` | `/kubepods/.../podUID/ID` |
//! | CRI-O | `crio-ID.scope` | `/crio-ID` |
//! | Podman | `libpod-ID.scope` | `/libpod_parent/libpod-ID` |

/// The length of a container id: a SHA-256 in hex.
const ID_LEN: usize = 64;

/// Name prefixes of a container's cgroup, and the runtime that uses them.
const PREFIXES: &[(&str, &str)] = &[
    ("docker-", "docker"),
    ("cri-containerd-", "containerd"),
    ("nerdctl-", "containerd"),
    ("crio-", "cri-o"),
    ("libpod-", "podman"),
];

/// Suffixes of the units for which systemd makes cgroups. Slices hold units and are not units here.
const UNITS: &[&str] = &[".service", ".scope", ".socket", ".mount", ".swap"];

/// A container, as its cgroup's name shows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Container {
    /// Full id: 64 hex digits.
    pub id: String,
    /// `docker`, `containerd`, `cri-o`, `podman`; `unknown` if only the form of the name shows that it is a container.
    pub runtime: &'static str,
    /// Its name in its pod, where the kubelet's links say it.
    pub name: Option<String>,
}

/// The name of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Where a task runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// Path of the cgroup below the root of the v2 hierarchy, with a leading slash. For a task in the root of v2 and in a cgroup of
    /// the v1 controller: path below the root of that controller's hierarchy.
    pub path: String,
    /// Path of its cgroup below the root of the v1 controller in use; `None` if that is the root.
    pub controller_path: Option<String>,
    /// The innermost systemd unit.
    pub unit: Option<String>,
    /// The innermost container.
    pub container: Option<Container>,
    /// Uid of the Kubernetes pod.
    pub pod_uid: Option<String>,
    /// Its name, where the kubelet's directories say it.
    pub pod_name: Option<PodName>,
}

impl Place {
    /// Parses a path such as `/system.slice/ssh.service`.
    #[must_use]
    pub fn of(path: &str) -> Self {
        let mut place = Self { path: path.to_owned(), ..Self::default() };
        let mut parent = "";
        for name in path.split('/').filter(|name| !name.is_empty()) {
            if UNITS.iter().any(|suffix| name.ends_with(suffix)) {
                place.unit = Some(unescape(name));
            }
            if let Some(uid) = pod_uid(name) {
                place.pod_uid = Some(uid);
            }
            if let Some(container) = container(name, parent, place.pod_uid.is_some()) {
                place.container = Some(container);
            }
            parent = name;
        }
        place
    }

    /// Combines a place in the v2 hierarchy with one of a v1 controller: facts that the first lacks are taken from the second.
    #[must_use]
    pub fn joined(&self, of_controller: &Self) -> Self {
        let is_root = self.path == "/";
        let path = if is_root { &of_controller.path } else { &self.path };
        Self {
            path: path.clone(),
            controller_path: Some(of_controller.path.clone()),
            unit: self.unit.clone().or_else(|| of_controller.unit.clone()),
            container: self.container.clone().or_else(|| of_controller.container.clone()),
            pod_uid: self.pod_uid.clone().or_else(|| of_controller.pod_uid.clone()),
            pod_name: self.pod_name.clone().or_else(|| of_controller.pod_name.clone()),
        }
    }

    /// Returns the shortest name that an operator would use: the container's short id, else the unit, else the path.
    #[must_use]
    pub fn short(&self) -> &str {
        match (&self.container, &self.unit) {
            (Some(container), _) => container.short_id(),
            (None, Some(unit)) => unit,
            (None, None) => &self.path,
        }
    }
}

impl Container {
    /// Returns the first 12 digits of the id, as container tools print it.
    #[must_use]
    pub fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }
}

/// systemd puts `_` before names that the kernel would interpret, such as `_cgroup.service`.
fn unescape(name: &str) -> String {
    name.strip_prefix('_').unwrap_or(name).to_owned()
}

fn container(name: &str, parent: &str, in_pod: bool) -> Option<Container> {
    let stem = name.strip_suffix(".scope").unwrap_or(name);
    for (prefix, runtime) in PREFIXES {
        if let Some(id) = stem.strip_prefix(prefix).filter(|id| is_id(id)) {
            return Some(Container { id: id.to_owned(), runtime, name: None });
        }
    }
    if !is_id(stem) {
        return None;
    }
    let runtime = match parent {
        "docker" => "docker",
        "libpod_parent" => "podman",
        _ if in_pod => "containerd",
        _ => "unknown",
    };
    Some(Container { id: stem.to_owned(), runtime, name: None })
}

fn is_id(text: &str) -> bool {
    text.len() == ID_LEN && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `pod4eb0...` with the cgroupfs driver, `kubepods-burstable-pod4eb0_....slice` with systemd's, where dashes are underscores.
fn pod_uid(name: &str) -> Option<String> {
    let stem = name.strip_suffix(".slice").unwrap_or(name);
    let rest =
        if stem.starts_with("kubepods") { stem.rsplit_once("-pod")?.1 } else { stem.strip_prefix("pod")? };
    let uid = rest.replace('_', "-");
    let is_uid = uid.len() >= 32 && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    is_uid.then_some(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn found(path: &str) -> (Option<String>, Option<(&'static str, bool)>, Option<String>) {
        let place = Place::of(&path.replace("ID", ID));
        (place.unit, place.container.map(|container| (container.runtime, container.id == ID)), place.pod_uid)
    }

    #[test]
    fn a_service_is_its_unit() {
        assert_eq!(found("/system.slice/ssh.service"), (Some("ssh.service".into()), None, None));
        assert_eq!(
            found("/system.slice/system-getty.slice/getty@tty1.service").0.unwrap(),
            "getty@tty1.service"
        );
        assert_eq!(found("/system.slice").0, None);
    }

    #[test]
    fn the_innermost_unit_counts() {
        let path = "/user.slice/user-1000.slice/user@1000.service/app.slice/foot.service";
        assert_eq!(found(path).0.unwrap(), "foot.service");
    }

    #[test]
    fn every_runtime_is_known_under_both_drivers() {
        for (path, runtime) in [
            ("/system.slice/docker-ID.scope", "docker"),
            ("/docker/ID", "docker"),
            ("/docker/ID/init.scope", "docker"),
            (
                "/kubepods.slice/kubepods-pod11111111_2222_3333_4444_555555555555.slice/cri-containerd-ID.scope",
                "containerd",
            ),
            ("/kubepods/besteffort/pod11111111-2222-3333-4444-555555555555/ID", "containerd"),
            ("/kubepods.slice/kubepods-burstable.slice/crio-ID.scope", "cri-o"),
            ("/machine.slice/libpod-ID.scope/container", "podman"),
            ("/libpod_parent/libpod-ID", "podman"),
            ("/some/where/ID", "unknown"),
        ] {
            assert_eq!(found(path).1, Some((runtime, true)), "{path}");
        }
    }

    #[test]
    fn a_pods_uid_is_the_same_under_both_drivers() {
        let uid = Some("11111111-2222-3333-4444-555555555555".to_owned());
        assert_eq!(
            found("/kubepods.slice/kubepods-burstable-pod11111111_2222_3333_4444_555555555555.slice").2,
            uid
        );
        assert_eq!(found("/kubepods/besteffort/pod11111111-2222-3333-4444-555555555555/ID").2, uid);
        assert_eq!(found("/podman/x").2, None);
    }

    #[test]
    fn a_name_that_only_looks_like_a_containers_is_not_one() {
        for path in
            ["/system.slice/docker.service", "/docker/short", "/user.slice/libpod-conmon-ID.scope", "/", ""]
        {
            assert_eq!(found(path).1, None, "{path}");
        }
    }

    #[test]
    fn the_short_name_is_what_an_operator_knows() {
        assert_eq!(Place::of(&format!("/docker/{ID}")).short(), "0123456789ab");
        assert_eq!(Place::of("/system.slice/ssh.service").short(), "ssh.service");
        assert_eq!(Place::of("/mine").short(), "/mine");
    }
}
