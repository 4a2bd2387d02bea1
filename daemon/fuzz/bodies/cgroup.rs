//! Bytes as the path of a cgroup: any user to whom a cgroup is delegated can choose names of directories below it.

use taskscope::cgroup::Place;

/// One input.
pub(crate) fn run(bytes: &[u8]) {
    let path = String::from_utf8_lossy(bytes);
    let place = Place::of(&path);
    assert_eq!(place.path, path);
    if let Some(unit) = &place.unit {
        assert!(path.contains(unit.as_str()) && !unit.contains('/'));
    }
    if let Some(container) = &place.container {
        assert!(path.contains(&container.id) && container.short_id().len() == 12);
    }
    assert!(place.short().len() <= path.len());
}
