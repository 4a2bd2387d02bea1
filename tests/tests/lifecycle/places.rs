//! Places of tasks: cgroups made by the test, named as systemd and container runtimes name theirs.

#[path = "../common/mod.rs"]
mod common;

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use common::scenario;
use serde_json::Value;
use taskscope_tests::{cgroup::Cgroup, service::Service, setting, wait};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Returns the command of a short scenario that begins in a cgroup.
fn run_in(cgroup: &Cgroup) -> Command {
    let mut command = Command::new(setting::scenario(env!("CARGO_BIN_EXE_scenario")));
    command.args(["burst", "1"]).stdout(Stdio::null());
    cgroup.begin(&mut command);
    command
}

#[test]
fn events_have_unit_container_and_pod_and_can_be_filtered_by_them() {
    let slice = format!("taskscope{}.slice", std::process::id());
    let unit = format!("demo{}.service", std::process::id());
    let container = format!("docker-{ID}.scope");
    let pod = "pod11111111-2222-3333-4444-555555555555";
    let Some(cgroup) = Cgroup::make(&[&slice, &unit, pod, &container]) else { return };
    let service = Service::start(&[]);
    let by_container = service.events("?container=0123456789ab&action=group_exited&limit=1", "");
    let by_unit = service.events("?unit=docker-*&action=execed&limit=1", "");
    let other = service.events("?unit=nothing*&since=1h&limit=1", "");
    let status = run_in(&cgroup).status().unwrap_or_else(|error| panic!("the scenario: {error}"));
    assert!(status.success(), "{status}");
    for mut lines in [by_container, by_unit] {
        let event = lines.next_json();
        assert_eq!(event["container"]["id"], ID, "{event}");
        assert_eq!(event["container"]["runtime"], "docker", "{event}");
        assert_eq!(event["pod"]["uid"], "11111111-2222-3333-4444-555555555555", "{event}");
        assert_eq!(event["cgroup"]["unit"], container.as_str(), "{event}");
        let path = format!("/{slice}/{unit}/{pod}/{container}");
        assert_eq!(event["cgroup"]["path"], path.as_str(), "{event}");
    }
    drop(other);
    service.stop_clean();
}

/// Entries in the directories where the kubelet makes some; they are removed at the end, with directories that were not there.
struct Kubelet(Vec<PathBuf>);

impl Kubelet {
    fn new() -> Self {
        Self(Vec::new())
    }

    #[track_caller]
    fn directory(&mut self, path: &Path) {
        let missing: Vec<_> =
            path.ancestors().take_while(|path| !path.exists()).map(Path::to_owned).collect();
        fs::create_dir_all(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.0.extend(missing.into_iter().rev());
    }

    #[track_caller]
    fn link(&mut self, path: &Path) {
        let made: io::Result<()> = symlink("/nonexistent/0.log", path);
        made.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.0.push(path.to_owned());
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            let _ = if path.is_symlink() { fs::remove_file(path) } else { fs::remove_dir(path) };
        }
    }
}

#[test]
fn pods_and_containers_have_the_names_that_the_kubelet_gives_them() {
    let number = std::process::id();
    let (uid, id) = (format!("22222222-3333-4444-5555-{number:012}"), format!("{number:064x}"));
    let pod = format!("pod{uid}");
    let Some(cgroup) = Cgroup::make(&[&format!("kubepods{number}"), &pod, &id]) else { return };
    let mut kubelet = Kubelet::new();
    kubelet.directory(&Path::new("/var/log/pods").join(format!("shop_web-{number}_{uid}")));
    kubelet.directory(Path::new("/var/log/containers"));
    // Names that are none of Kubernetes.
    kubelet.directory(&Path::new("/var/log/pods").join(format!("Shop_web_{uid}")));
    kubelet.link(&Path::new("/var/log/containers").join(format!("web-{number}_shop_nginx-{id}.log")));
    let service = Service::start(&[]);
    let query = format!("?container={id}&action=group_exited&limit=1");
    let (mut native, mut ecs) =
        (service.events(&query, ""), service.events(&format!("{query}&schema=ecs"), ""));
    let status = run_in(&cgroup).status().unwrap_or_else(|error| panic!("the scenario: {error}"));
    assert!(status.success(), "{status}");
    let event = native.next_json();
    let name = format!("web-{number}");
    assert_eq!(event["pod"], serde_json::json!({"uid": uid, "namespace": "shop", "name": name}), "{event}");
    assert_eq!(event["container"]["name"], "nginx", "{event}");
    let event = ecs.next_json();
    assert_eq!(event["orchestrator"]["resource"]["name"], name.as_str(), "{event}");
    assert_eq!(event["orchestrator"]["namespace"], "shop", "{event}");
    let mut zombie = scenario("zombie", &[]);
    zombie.pause("zombie");
    cgroup.take(zombie.facts().role("scenario").pid);
    let labels = format!("k8s_container=\"nginx\",k8s_namespace=\"shop\",k8s_pod=\"{name}\"");
    service.until("a parent's names", |now| {
        now.keys().any(|key| key.starts_with("taskscope_parent_zombies{") && key.contains(&labels))
    });
    let status = service.json("/v1/status");
    assert!(!status["degraded"].to_string().contains("names of pods"), "{status:#}");
    zombie.go();
    zombie.finish();
    service.stop_clean();
}

/// Asks the daemon about a process until the answer meets a condition, and returns that answer.
#[track_caller]
fn until(service: &Service, pid: i64, come: impl Fn(&Value) -> bool) -> Value {
    wait::until_answer(|| service.json(&format!("/v1/explain/{pid}")), come)
}

#[test]
fn a_process_that_is_moved_after_its_exec_is_in_its_new_unit_at_once() {
    let unit = format!("moved{}.service", std::process::id());
    let Some(cgroup) = Cgroup::make(&[&format!("moved{}.slice", std::process::id()), &unit]) else { return };
    // Audits are off, so that only the record of the move can report it.
    let service = Service::start(&["--audit-every", "0s"]);
    let mut scenario = scenario("never-waits", &[]);
    scenario.pause("owed");
    let parent = scenario.facts().role("parent").pid;
    let before = service.json(&format!("/v1/explain/{parent}"));
    assert_ne!(before["cgroup"]["unit"], unit.as_str(), "{before:#}");
    cgroup.take(parent);
    let moved = until(&service, parent, |it| it["cgroup"]["unit"] == unit.as_str());
    let path = cgroup.path().parent().and_then(|slice| slice.file_name()).map(|name| name.to_string_lossy());
    assert_eq!(moved["cgroup"]["path"], format!("/{}/{unit}", path.unwrap_or_default()), "{moved:#}");
    let status = service.json("/v1/status");
    assert!(status["hooks"]["cgroup_attach_task"].is_string(), "{status:#}");
    let mut ended = service.events(&format!("?pid={parent}&action=group_exited&limit=1"), "");
    scenario.go();
    let event = ended.next_json();
    assert_eq!(event["cgroup"]["unit"], unit.as_str(), "{event}");
    scenario.finish();
    service.stop_clean();
}

#[test]
fn a_container_of_a_v1_controller_is_known_by_its_path_there() {
    let id = format!("{:064x}", std::process::id());
    let Some(cgroup) = Cgroup::v1("pids", &["docker", &id]) else { return };
    let service = Service::start(&["--audit-every", "0s"]);
    let mut by_container =
        service.events(&format!("?container={}&action=group_exited&limit=1", &id[..12]), "");
    let mut moved = scenario("never-waits", &[]);
    moved.pause("owed");
    let parent = moved.facts().role("parent").pid;
    cgroup.take(parent);
    let of_container = |it: &Value| it["container"]["id"] == id.as_str();
    let explained = until(&service, parent, of_container);
    assert_eq!(explained["container"]["runtime"], "docker", "{explained:#}");
    assert_eq!(explained["cgroup"]["controller_path"], format!("/docker/{id}"), "{explained:#}");
    let zombies = service.json("/v1/zombies");
    let parents = zombies["parents"].as_array().into_iter().flatten();
    let owing = parents.into_iter().find(|it| it["process"]["pid"] == parent);
    assert!(owing.is_some_and(of_container), "{zombies:#}");
    // The cgroup of a process that begins there is known from the fork, also to a command without a daemon.
    let mut command = Command::new(setting::scenario(env!("CARGO_BIN_EXE_scenario")));
    command.args(["burst", "1"]).stdout(Stdio::null());
    cgroup.begin(&mut command);
    let status = command.status().unwrap_or_else(|error| panic!("the scenario: {error}"));
    assert!(status.success(), "{status}");
    let event = by_container.next_json();
    assert_eq!(event["container"]["id"], id.as_str(), "{event}");
    let alone = Command::new(setting::taskscope())
        .args(["explain", "--alone", "--format", "json", &parent.to_string()])
        .output()
        .unwrap_or_else(|error| panic!("explain: {error}"));
    let alone: Value = serde_json::from_slice(&alone.stdout).unwrap_or_default();
    assert_eq!(alone["container"]["id"], id.as_str(), "{alone:#}");
    moved.go();
    moved.finish();
    service.stop_clean();
}
