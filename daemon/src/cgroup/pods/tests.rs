use std::{fs, os::unix::fs::symlink};

use super::{super::Cgroups, *};
use crate::cgroup_mounts::CgroupMounts;

const SECOND_NS: u64 = 1_000_000_000;

/// A node with a cgroup hierarchy and the kubelet's directories, in a directory that is removed at the end.
struct Node(PathBuf);

impl Node {
    fn new(name: &str) -> Self {
        let base = std::env::temp_dir().join(format!("taskscope-pods-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&base);
        for directory in ["cgroup", "log/pods", "log/containers"] {
            fs::create_dir_all(base.join(directory)).unwrap();
        }
        Self(base)
    }

    fn cgroups(&self) -> Cgroups {
        let mounts = CgroupMounts { unified: Some(self.0.join("cgroup")), ..CgroupMounts::default() };
        Cgroups::of(mounts).with_pods_of(self.0.join("log"))
    }

    /// Makes a cgroup and returns its id.
    fn cgroup(&self, path: &str) -> u64 {
        use std::os::unix::fs::MetadataExt as _;
        let directory = self.0.join("cgroup").join(path);
        fs::create_dir_all(&directory).unwrap();
        fs::metadata(directory).unwrap().ino()
    }

    fn pod(&self, name: &str) {
        fs::create_dir_all(self.0.join("log/pods").join(name)).unwrap();
    }

    fn container(&self, name: &str) {
        symlink("/nonexistent/0.log", self.0.join("log/containers").join(name)).unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn uid(number: usize) -> String {
    format!("11111111-2222-3333-4444-{number:012}")
}

fn id(number: usize) -> String {
    format!("{number:064x}")
}

fn names(place: &Place) -> (Option<(&str, &str)>, Option<&str>) {
    let pod = place.pod_name.as_ref().map(|pod| (pod.namespace.as_str(), pod.name.as_str()));
    (pod, place.container.as_ref().and_then(|container| container.name.as_deref()))
}

#[test]
fn a_pod_and_its_containers_have_names_as_soon_as_the_kubelet_gives_them() {
    let node = Node::new("life");
    let mut cgroups = node.cgroups();
    node.pod(&format!("shop_web-7d4b9-x2x_{}", uid(1)));
    let slice = format!("kubepods/burstable/pod{}", uid(1));
    let (sandbox, main) =
        (node.cgroup(&format!("{slice}/{}", id(1))), node.cgroup(&format!("{slice}/{}", id(2))));
    let pod = Some(("shop", "web-7d4b9-x2x"));
    assert_eq!(names(cgroups.place(main, SECOND_NS).unwrap()), (pod, None));
    // The link comes once the container has started; the directories are not read at every event.
    node.container(&format!("web-7d4b9-x2x_shop_nginx-{}.log", id(2)));
    assert_eq!(names(cgroups.place(main, 2 * SECOND_NS).unwrap()), (pod, None));
    assert_eq!(names(cgroups.place(main, 4 * SECOND_NS).unwrap()), (pod, Some("nginx")));
    assert_eq!(
        names(cgroups.place(sandbox, 4 * SECOND_NS).unwrap()),
        (pod, None),
        "a sandbox has no container's name"
    );
    assert_eq!((cgroups.lacks_pods(), cgroups.named_pods()), (None, Some(1)));
    // A pod that is gone keeps its names as long as its cgroup is known.
    fs::remove_dir_all(node.0.join("log/pods")).unwrap();
    fs::create_dir_all(node.0.join("log/pods")).unwrap();
    node.cgroup(&format!("kubepods/pod{}/{}", uid(2), id(3)));
    for second in 5..200 {
        cgroups.place(u64::MAX, second * SECOND_NS);
    }
    assert_eq!(names(cgroups.place(main, 300 * SECOND_NS).unwrap()), (pod, Some("nginx")));
    assert_eq!(cgroups.named_pods(), Some(0));
}

#[test]
fn a_cgroup_that_only_a_record_names_gets_its_pod() {
    let node = Node::new("learned");
    let mut cgroups = node.cgroups();
    node.pod(&format!("kube-system_etcd-a_{}", "0123456789abcdef".repeat(2)));
    cgroups.learn(5, 1, "kubepods");
    cgroups.learn(6, 5, &format!("pod{}", "0123456789abcdef".repeat(2)));
    assert_eq!(
        names(cgroups.place(6, SECOND_NS).unwrap()).0,
        Some(("kube-system", "etcd-a")),
        "a static pod"
    );
}

#[test]
fn only_names_that_kubernetes_gives_are_taken() {
    let directory = |name: &str| pod(name, true);
    assert!(directory(&format!("a_b.c-d_{}", uid(1))).is_some());
    assert!(pod(&format!("a_b_{}", uid(1)), false).is_none(), "a file or a link");
    let long = "x".repeat(64);
    for name in ["", "_", "__", "a_b", "a_b_c", "a_b_../../../../etc/passwd-0000000000000000"] {
        assert!(directory(name).is_none(), "{name}");
    }
    for (namespace, name) in [
        ("A", "b"),
        ("a", "B"),
        ("a", "b\n"),
        ("a", "\u{202e}b"),
        ("", "b"),
        ("a", ""),
        (&long, "b"),
        ("a", "b_c"),
        ("a/..", "b"),
    ] {
        assert!(directory(&format!("{namespace}_{name}_{}", uid(1))).is_none(), "{namespace} {name}");
    }
    let link = |name: &str| container(name, false).map(|(_, name)| name);
    assert_eq!(link(&format!("p_n_my-app-{}.log", id(7))).as_deref(), Some("my-app"));
    for name in [
        format!("p_n_app-{}", id(7)),
        format!("p_n_{}.log", id(7)),
        format!("p_n_-{}.log", id(7)),
        format!("p_n_app-{}.log", &id(7)[1..]),
        format!("p_n_a\u{1b}[m-{}.log", id(7)),
        format!("p_n_x_app-{}.log", id(7)),
    ] {
        assert_eq!(link(&name), None, "{name}");
    }
}

#[test]
fn links_out_of_the_tree_are_not_followed() {
    let node = Node::new("links");
    let elsewhere = node.0.join("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    symlink(&elsewhere, node.0.join("log/pods").join(format!("shop_web_{}", uid(1)))).unwrap();
    symlink("/", node.0.join("log/containers").join("root")).unwrap();
    let mut cgroups = node.cgroups();
    let cgroup = node.cgroup(&format!("kubepods/pod{}/{}", uid(1), id(1)));
    assert_eq!(names(cgroups.place(cgroup, SECOND_NS).unwrap()), (None, None));
    assert_eq!(cgroups.lacks_pods(), None);
}

#[test]
fn ten_thousand_pods_have_their_names_and_more_are_bounded() {
    let node = Node::new("many");
    for number in 0..10_000 {
        node.pod(&format!("shop_web-{number}_{}", uid(number)));
    }
    let mut cgroups = node.cgroups();
    let last = node.cgroup(&format!("kubepods/pod{}/{}", uid(9_999), id(1)));
    assert_eq!(names(cgroups.place(last, SECOND_NS).unwrap()).0, Some(("shop", "web-9999")));
    assert_eq!(cgroups.named_pods(), Some(10_000));
}

#[test]
fn unreadable_directories_are_reported_only_if_there_are_pods() {
    let node = Node::new("absent");
    fs::remove_dir_all(node.0.join("log")).unwrap();
    let mut cgroups = node.cgroups();
    let service = node.cgroup("system.slice/ssh.service");
    assert!(cgroups.place(service, SECOND_NS).is_some());
    assert_eq!((cgroups.lacks_pods(), cgroups.named_pods()), (None, None));
    let pod = node.cgroup(&format!("kubepods/pod{}/{}", uid(1), id(1)));
    assert_eq!(names(cgroups.place(pod, 2 * SECOND_NS).unwrap()), (None, None));
    let lacks = cgroups.lacks_pods().unwrap();
    assert!(lacks.contains("log/pods: ") && lacks.ends_with("docs/fleet.md)"), "{lacks}");
}

#[test]
fn readings_become_rare_and_a_new_pod_makes_them_frequent_again() {
    let mut pods = Pods::at(PathBuf::from("/nonexistent"));
    let place = |number| Place::of(&format!("/kubepods/pod{}/{}", uid(number), id(number)));
    assert!(!pods.is_due(0));
    pods.named(place(1));
    let mut readings = Vec::new();
    for second in 0..600 {
        if second == 300 {
            pods.named(place(2));
        }
        if pods.is_due(second * SECOND_NS) {
            pods.read(second * SECOND_NS);
            readings.push(second);
        }
    }
    assert_eq!(readings, [0, 2, 7, 37, 300, 302, 307, 337]);
}
