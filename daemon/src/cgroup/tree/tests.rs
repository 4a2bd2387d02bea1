use std::fs;

use super::{
    walk::{MOST_BYTES, WALK_LIMIT},
    *,
};

#[test]
fn a_container_of_a_v1_controller_is_found_beside_the_unit_of_v2() {
    let id = "0123456789abcdef".repeat(4);
    let base = std::env::temp_dir().join(format!("taskscope-cgroups-v1-{}", std::process::id()));
    let container = base.join("pids/docker").join(&id);
    let unit = base.join("unified/system.slice/docker.service");
    fs::create_dir_all(&container).unwrap();
    fs::create_dir_all(&unit).unwrap();
    let mounts = format!(
        "cgroup {base}/pids cgroup rw,pids 0 0\ncgroup2 {base}/unified cgroup2 rw 0 0\n",
        base = base.display()
    );
    let mut cgroups = Cgroups::of(CgroupMounts::of(&mounts));
    let inode = |directory: &Path| fs::metadata(directory).unwrap().ino() & 0x7fff_ffff;
    // Inode numbers of another file system may be too large for a pair.
    if fs::metadata(&container).unwrap().ino() >> 31 == 0 && fs::metadata(&unit).unwrap().ino() >> 32 == 0 {
        let place = cgroups.place(CgroupPair::pack(inode(&unit), inode(&container)), 1).unwrap();
        assert_eq!(place.unit.as_deref(), Some("docker.service"));
        assert_eq!(place.container.as_ref().map(|it| it.id.as_str()), Some(id.as_str()));
        assert_eq!(place.path, "/system.slice/docker.service");
        assert_eq!(place.controller_path, Some(format!("/docker/{id}")));
        let place = cgroups.place(CgroupPair::pack(ROOT_ID, inode(&container)), 2).unwrap();
        assert_eq!(place.path, format!("/docker/{id}"), "the root of v2 says nothing");
    }
    fs::remove_dir_all(base).unwrap();
}

#[test]
fn a_cgroup_that_was_made_and_is_gone_has_a_name() {
    let mut cgroups = Cgroups::at(None);
    cgroups.learn(5, ROOT_ID, "system.slice");
    cgroups.learn(6, 5, "short.service");
    assert_eq!(cgroups.place(6, 1).unwrap().unit.as_deref(), Some("short.service"));
    cgroups.learn(9, 8, "below-an-unknown-one");
    assert!(cgroups.known(9).is_none());
    let controller = |id| CgroupPair::pack(0, id);
    cgroups.learn(controller(7), 0, "docker");
    cgroups.learn(controller(8), controller(7), "inner");
    assert_eq!(cgroups.place(controller(8), 1).unwrap().path, "/docker/inner");
}

#[test]
fn an_id_is_the_inode_number_of_a_directory() {
    let root = std::env::temp_dir().join(format!("taskscope-cgroup-{}", std::process::id()));
    fs::create_dir_all(root.join("system.slice/ssh.service")).unwrap();
    let id = fs::metadata(root.join("system.slice/ssh.service")).unwrap().ino();
    let mut cgroups = Cgroups::at(Some(root.clone()));
    assert_eq!(cgroups.place(id, 1).unwrap().unit.as_deref(), Some("ssh.service"));
    assert_eq!(cgroups.known(ROOT_ID).unwrap().path, "/");
    // Not found, and not searched for again at once.
    assert!(cgroups.place(u64::MAX, 2).is_none());
    assert!(cgroups.place(u64::MAX, WALK_EVERY_NS * 2).is_none());
    assert_eq!(cgroups.unresolved, 1);
    let later = WALK_EVERY_NS * 4;
    assert_eq!(cgroups.gone([id, ROOT_ID, u64::MAX].into_iter(), later), [u64::MAX]);
    fs::remove_dir_all(root.join("system.slice")).unwrap();
    assert_eq!(cgroups.gone([id].into_iter(), later), [0; 0], "not known without a walk");
    assert_eq!(cgroups.gone([id].into_iter(), later * 2), [id]);
    fs::remove_dir_all(&root).unwrap();
    assert!(cgroups.place(id, WALK_EVERY_NS * 99).is_some(), "remembered after its end");
}

/// The id of a directory.
fn id_of(directory: &Path) -> u64 {
    fs::metadata(directory).unwrap().ino()
}

#[test]
fn a_walk_is_bounded_and_the_next_one_goes_on_from_there() {
    let root = std::env::temp_dir().join(format!("taskscope-cgroups-many-{}", std::process::id()));
    for number in 0..WALK_LIMIT + 10 {
        fs::create_dir_all(root.join(format!("user.slice/{number}/below"))).unwrap();
    }
    let mut cgroups = Cgroups::at(Some(root.clone()));
    let all = 2 * (WALK_LIMIT + 10) + 2;
    let mut walks = 0;
    while !(cgroups.round.is_none() && walks > 0) {
        let before = cgroups.round.as_ref().map_or(0, |round| round.read);
        assert!(cgroups.place(u64::MAX, u64::MAX - 1000 + walks).is_none());
        let read = cgroups.round.as_ref().map_or(all, |round| round.read) - before;
        assert!(read <= WALK_LIMIT, "{read} directories in one walk");
        cgroups.next_walk_ns = 0;
        walks += 1;
    }
    assert_eq!(walks, 3);
    for number in [0, 7, WALK_LIMIT + 9] {
        let below = root.join(format!("user.slice/{number}/below"));
        assert_eq!(cgroups.known(id_of(&below)).unwrap().path, format!("/user.slice/{number}/below"));
    }
    // A cgroup that was never found may exist or not. A known cgroup that does not exist any more is gone.
    let removed = root.join("user.slice/7/below");
    let id = id_of(&removed);
    fs::remove_dir(&removed).unwrap();
    assert_eq!(cgroups.gone([id, u64::MAX].into_iter(), 1), [id]);
    fs::remove_dir_all(&root).unwrap();
}

#[test]
fn paths_are_kept_as_far_as_there_is_room() {
    let mut cgroups = Cgroups::at(Some(PathBuf::from("/nonexistent")));
    let path = "/".to_owned() + &"x".repeat(4095);
    for id in 2..100_000 {
        cgroups.remember(false, id, &path);
    }
    assert!(cgroups.bytes <= MOST_BYTES && cgroups.places.len() == MOST_BYTES / path.len());
    cgroups.walk();
    assert_eq!((cgroups.bytes, cgroups.places.len()), (0, 1), "the next round begins anew");
}

#[test]
fn without_a_hierarchy_no_place_is_known() {
    assert!(Cgroups::at(None).place(7, 1).is_none());
}
