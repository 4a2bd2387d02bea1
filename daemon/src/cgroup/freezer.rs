//! Finds the frozen cgroup that holds a process, in the v1 freezer controller or in the v2 hierarchy.
//!
//! A frozen process cannot reap, and looks as if it slept (v2, in `do_freezer_trap()`) or were in state D (v1, in
//! `__refrigerator()`). Freezing a cgroup freezes all cgroups below it, so the search goes upwards to the cgroup whose own
//! setting is frozen.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::Place;
use crate::{
    cgroup_mounts::{Version, with_controller},
    host,
    verdict::facts::Frozen,
};

/// The v1 controller that can freeze.
const CONTROLLER: &str = "freezer";

/// The most bytes that are read of a cgroup's file: these files hold a word or a few lines.
const FILE_MAX: usize = 4096;

/// Returns the frozen cgroup that holds a process, given the text of its /proc/PID/cgroup; `None` if there is none, or if it
/// cannot be read.
#[must_use]
pub fn frozen(cgroups: &[u8]) -> Option<Frozen> {
    let mounts = host::text("/proc/self/mounts").ok()?;
    let text = std::str::from_utf8(cgroups).ok()?;
    with_controller(&mounts, CONTROLLER).find_map(|(version, root)| match version {
        Version::V1 => frozen_v1(root, path_in(text, |controller| controller == CONTROLLER)?),
        Version::V2 => frozen_v2(root, path_in(text, str::is_empty)?),
    })
}

/// Returns a process's path in one hierarchy. A line is `ID:CONTROLLERS:PATH`, without controllers for v2.
pub(super) fn path_in(text: &str, is_it: impl Fn(&str) -> bool) -> Option<&str> {
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let found = controllers.split(',').any(&is_it);
        found.then_some(path)
    })
}

/// Returns the cgroup and those above it, below the root, the innermost first.
pub(super) fn upwards(path: &str) -> impl Iterator<Item = &str> {
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    let ends: Vec<usize> = ends.filter(|&end| end > 0).collect();
    ends.into_iter().rev().filter_map(move |end| path.get(..end))
}

fn frozen_v1(root: &Path, path: &str) -> Option<Frozen> {
    let state = word(root, path, "freezer.state")?;
    let is_settled = match state.as_str() {
        "FROZEN" => true,
        "FREEZING" => false,
        _ => return None,
    };
    let is_on = |at: &&str| word(root, at, "freezer.self_freezing").is_some_and(|on| on == "1");
    let at = upwards(path).find(is_on)?;
    Some(by(root, at, is_settled, false))
}

fn frozen_v2(root: &Path, path: &str) -> Option<Frozen> {
    let is_on = |at: &&str| word(root, at, "cgroup.freeze").is_some_and(|on| on == "1");
    let at = upwards(path).find(is_on)?;
    let events = word(root, path, "cgroup.events").unwrap_or_default();
    Some(by(root, at, events.lines().any(|line| line == "frozen 1"), true))
}

fn by(root: &Path, path: &str, is_settled: bool, is_v2: bool) -> Frozen {
    let place = Place::of(path);
    let directory = directory(root, path);
    let directly = if is_v2 {
        format!("echo 0 > {}/cgroup.freeze", directory.display())
    } else {
        format!("echo THAWED > {}/freezer.state", directory.display())
    };
    let thaw = match (&place.container, &place.unit) {
        (Some(container), _) => match container.runtime {
            "docker" => format!("docker unpause {} (or {directly})", container.short_id()),
            "podman" => format!("podman unpause {} (or {directly})", container.short_id()),
            "containerd" => {
                format!("nerdctl unpause {0} or ctr task resume {0} (or {directly})", container.short_id())
            }
            _ => directly,
        },
        (None, Some(unit)) if is_v2 => format!("systemctl thaw {unit} (or {directly})"),
        _ => directly,
    };
    Frozen { cgroup: directory.display().to_string(), is_settled, is_killable: is_v2, thaw }
}

pub(super) fn directory(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// Returns the content of a cgroup's file, without the newline at its end.
pub(super) fn word(root: &Path, path: &str, file: &str) -> Option<String> {
    let text = read(&directory(root, path).join(file)).ok()?;
    Some(String::from_utf8(text).ok()?.trim_end().to_owned())
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    host::read_up_to(path, FILE_MAX)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const MOUNTS: &str = "cgroup /sys/fs/cgroup/freezer cgroup rw,freezer 0 0\n\
        cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nsdelegate 0 0\ncgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0\n";

    fn root(name: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("taskscope-freezer-{}-{name}", std::process::id()));
        fs::create_dir_all(root.join("docker/a.service/inner")).unwrap();
        root
    }

    #[test]
    fn the_hierarchies_that_freeze_are_found_on_a_hybrid_host() {
        let v1 = (Version::V1, Path::new("/sys/fs/cgroup/freezer"));
        let found: Vec<_> = with_controller(MOUNTS, CONTROLLER).collect();
        assert_eq!(found, [v1, (Version::V2, Path::new("/sys/fs/cgroup/unified"))]);
        assert_eq!(with_controller("garbage\n\n", CONTROLLER).count(), 0);
    }

    #[test]
    fn a_path_is_that_of_its_hierarchy() {
        let text = "12:freezer:/a:b\n3:cpu,cpuacct:/c\n0::/d\n";
        assert_eq!(path_in(text, |name| name == "freezer"), Some("/a:b"));
        assert_eq!(path_in(text, str::is_empty), Some("/d"));
        assert_eq!(path_in("", str::is_empty), None);
    }

    #[test]
    fn cgroups_are_walked_from_the_inside() {
        assert_eq!(upwards("/a/b").collect::<Vec<_>>(), ["/a/b", "/a"]);
        assert_eq!(upwards("/").collect::<Vec<_>>(), ["/"]);
        assert_eq!(upwards("").count(), 0);
    }

    #[test]
    fn the_cgroup_whose_own_setting_is_frozen_is_named() {
        let root = root("v2");
        for (path, on) in [("docker", "0\n"), ("docker/a.service", "1\n"), ("docker/a.service/inner", "0\n")]
        {
            fs::write(root.join(path).join("cgroup.freeze"), on).unwrap();
        }
        fs::write(root.join("docker/a.service/inner/cgroup.events"), "populated 1\nfrozen 1\n").unwrap();
        let found = frozen_v2(&root, "/docker/a.service/inner").unwrap();
        assert!(
            found.is_settled && found.is_killable && found.cgroup.ends_with("/docker/a.service"),
            "{found:?}"
        );
        assert!(found.thaw.starts_with("systemctl thaw a.service"), "{found:?}");
        assert_eq!(frozen_v2(&root, "/docker"), None);
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn the_v1_freezer_says_which_cgroup_is_on() {
        let root = root("v1");
        for (path, state, on) in [("docker", "FREEZING", "1"), ("docker/a.service", "FREEZING", "0")] {
            fs::write(root.join(path).join("freezer.state"), state).unwrap();
            fs::write(root.join(path).join("freezer.self_freezing"), on).unwrap();
        }
        let found = frozen_v1(&root, "/docker/a.service").unwrap();
        assert!(!found.is_settled && !found.is_killable && found.cgroup.ends_with("/docker"), "{found:?}");
        assert!(found.thaw.starts_with("echo THAWED > "), "{found:?}");
        fs::write(root.join("docker/a.service/freezer.state"), "THAWED").unwrap();
        assert_eq!(frozen_v1(&root, "/docker/a.service"), None);
        fs::remove_dir_all(root).unwrap();
    }
}
