//! Tests with real containers: one whose entry point does not reap, and our own image with the settings of the Kubernetes
//! manifest.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::daemon::{self, get_local, metrics, status};
use crate::run::{Run, until};
use crate::systemctl::sh;

/// The scenario program, installed beside this one.
const SCENARIO: &str = "/opt/scenario";
/// Root of a container that has the scenarios and nothing else.
pub(crate) const LEAKY: &str = "/opt/leaky";
const IMAGE: &str = "/opt/taskscope-oci.tar";
const MANIFEST: &str = include_str!("../../../../packaging/kubernetes/daemonset.yaml");

/// Lines of the manifest with the options of podman that mean the same. A line that the manifest no longer has fails the test.
const SAME: [(&str, &[&str]); 9] = [
    ("hostPID: true", &["--pid=host"]),
    ("runAsUser: 0", &["--user=0"]),
    ("readOnlyRootFilesystem: true", &["--read-only", "--read-only-tmpfs=false"]),
    ("drop: [\"ALL\"]", &["--cap-drop=ALL"]),
    ("add: [\"BPF\", \"PERFMON\"]", &["--cap-add=BPF,PERFMON"]),
    ("limits: { memory: 512Mi }", &["--memory=512m"]),
    (
        "{ name: config, mountPath: /etc/taskscope, readOnly: true }",
        &["--volume=/opt/pod/etc:/etc/taskscope:ro"],
    ),
    ("{ name: run, mountPath: /run/taskscope }", &["--volume=/opt/pod/run:/run/taskscope"]),
    (
        "{ name: cgroup, mountPath: /sys/fs/cgroup, readOnly: true }",
        &["--volume=/sys/fs/cgroup:/sys/fs/cgroup:ro"],
    ),
];

/// Checks that the parent of zombies is reported with its container and runtime, and that the verdict says that pid 1 of the
/// container does not reap. Tries once more if the kernel skipped calls of programs, which it counts: the event may be among them.
pub(crate) fn names_a_container(run: &mut Run) -> anyhow::Result<()> {
    let lost = || -> anyhow::Result<f64> {
        let now = metrics()?;
        Ok(now
            .iter()
            .filter(|(name, _)| name.starts_with("taskscope_records_lost_total"))
            .map(|(_, lost)| lost)
            .sum())
    };
    let before = lost()?;
    let outcome = name_a_container(run);
    let Err(error) = outcome else { return Ok(()) };
    if lost()? <= before {
        return Err(error);
    }
    println!("guest-systemd: once more, because records were lost: {error:#}");
    podman("rm", &["--force", "--time=0", "leaky"])?;
    name_a_container(run)
}

fn name_a_container(run: &mut Run) -> anyhow::Result<()> {
    let root = Path::new(LEAKY);
    fs::create_dir_all(root).with_context(|| format!("making {}", root.display()))?;
    fs::copy(SCENARIO, root.join("scenario")).with_context(|| format!("copying {SCENARIO}"))?;
    let options = ["--detach", "--name=leaky", "--network=none", "--rootfs", LEAKY];
    let id = podman("run", &[&options[..], &["/scenario", "entry-point"]].concat())?;
    let short = id.get(..12).context("podman answered with no id")?;
    let labels = format!(
        "{{container_id=\"{short}\",parent=\"scenario\",pod_uid=\"\",runtime=\"podman\",unit=\"libpod-{id}.scope\"}}"
    );
    until("the culprit is named by its container", || {
        let now = metrics()?;
        let zombies = now.get(&format!("taskscope_parent_zombies{labels}"));
        let named: Vec<_> = now.keys().filter(|name| name.starts_with("taskscope_parent_zombies{")).collect();
        ensure!(zombies == Some(&3.0), "{zombies:?} zombies of {labels}; there are {named:?}");
        let debt = now.get(&format!("taskscope_parent_reap_debt_seconds{labels}"));
        ensure!(debt.is_some_and(|debt| *debt > 0.0), "a reap debt of {debt:?}");
        Ok(())
    })?;
    run.report("container.culprit", &labels)?;

    let event = get_local(&format!("/v1/events?since=10m&container={short}&action=zombie_began&limit=1"))?;
    let event: Value = serde_json::from_str(event.trim()).with_context(|| format!("no event: {event}"))?;
    ensure!(event["container"]["id"] == id.as_str(), "the event's container: {event}");
    ensure!(event["container"]["runtime"] == "podman", "the event's runtime: {event}");

    let init = podman("inspect", &["--format={{.State.Pid}}", "leaky"])?;
    let tree = sh("taskscope", &["tree", &init])?;
    ensure!(tree.contains(&format!("podman:{short}")), "the tree does not name the container:\n{tree}");
    let children = format!("/proc/{init}/task/{init}/children");
    let children = fs::read_to_string(&children).with_context(|| format!("reading {children}"))?;
    let zombie = children.split_whitespace().next().context("the entry point has no children")?;
    ensure!(status(zombie.parse()?, "State")?.starts_with('Z'), "{zombie} is no zombie");
    // In the first second the verdict is that the parent may be about to wait.
    until("the verdict names the container's init", || {
        let reported = sh("taskscope", &["explain", zombie])?;
        let one_line = reported.split_whitespace().collect::<Vec<_>>().join(" ");
        for words in ["is pid 1 of a container (pid namespace) and does not reap", "docker run --init"] {
            ensure!(one_line.contains(words), "explain does not say `{words}`:\n{reported}");
        }
        Ok(())
    })?;
    podman("rm", &["--force", "--time=0", "leaky"])?;
    until("the culprit is gone with its container", || {
        // The counter of CPU time of ended tasks keeps the container's series.
        let is_culprit = |name: &String| name.starts_with("taskscope_parent_") && name.contains(short);
        let left: Vec<_> = metrics()?.into_keys().filter(is_culprit).collect();
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
}

/// Starts the daemon from the image as in a pod: it observes the host.
pub(crate) fn runs_the_image(run: &mut Run) -> anyhow::Result<()> {
    let loaded = podman("load", &["--input", IMAGE])?;
    let image = loaded.rsplit(' ').next().context("podman load prints nothing")?;
    ensure!(MANIFEST.contains(&format!("image: {image}\n")), "the manifest has another image than {image}");
    for directory in ["/opt/pod/etc", "/opt/pod/run"] {
        fs::create_dir_all(directory).with_context(|| format!("making {directory}"))?;
    }
    fs::write("/opt/pod/etc/taskscope.toml", configuration()?).context("writing the configuration")?;
    let mut more = Vec::new();
    let seen = loop {
        let said = match start_pod(image, &more)? {
            Ok(seen) => break seen,
            Err(said) => said,
        };
        // Some runtimes and kernels need further options; the log and the manifest name them.
        let (remedy, option) = if said.contains("seccomp filter") {
            allow_bpf()?;
            ("a seccomp profile with bpf", "--security-opt=seccomp=/opt/pod/seccomp.json")
        } else {
            ensure!(said.contains("RLIMIT_MEMLOCK") && said.contains("CAP_SYS_RESOURCE"), "it ended: {said}");
            ("SYS_RESOURCE", "--cap-add=SYS_RESOURCE")
        };
        ensure!(!more.contains(&option), "it ended in spite of {remedy}: {said}");
        more.push(option);
        run.report(&format!("image.needs_{}", more.len()), remedy)?;
        podman("rm", &["--force", "pod"])?;
    };
    let tasks = seen.get("taskscope_tasks{state=\"running\"}").copied().unwrap_or_default();
    // The image counts about as many tasks as the service, which runs in no container.
    let host = daemon::metric("taskscope_tasks{state=\"running\"}")?;
    ensure!((tasks - host).abs() < host / 2.0, "the image sees {tasks} tasks, the service {host}");
    until("the image is ready", || answer("/readyz"))?;
    let me = std::process::id();
    let own: Value = serde_json::from_str(&answer(&format!("/v1/tasks/{me}"))?).context("a task's answer")?;
    ensure!(own.to_string().contains("taskscope-guest.service"), "it does not know the unit of {me}: {own}");

    let pid = podman("inspect", &["--format={{.State.Pid}}", "pod"])?.parse()?;
    for field in ["CapEff", "CapBnd", "NoNewPrivs", "Seccomp"] {
        run.report(&format!("image.{field}"), status(pid, field)?)?;
    }
    run.report("image.tasks", tasks)?;
    let said = log();
    ensure!(!said.contains("warning") && !said.contains("error"), "its log has warnings or errors: {said}");
    podman("stop", &["--time=15", "pod"])?;
    let code = podman("inspect", &["--format={{.State.ExitCode}}", "pod"])?;
    ensure!(code == "0", "it ended with {code}: {}", log());
    podman("rm", &["--force", "pod"]).map(drop)
}

fn answer(path: &str) -> anyhow::Result<String> {
    daemon::get_at("/opt/pod/run/taskscope.sock", path)
}

/// Writes the engine's default seccomp profile, with the two system calls allowed.
fn allow_bpf() -> anyhow::Result<()> {
    const DEFAULT: &str = "/usr/share/containers/seccomp.json";
    const CALLS: [&str; 2] = ["bpf", "perf_event_open"];
    let text = fs::read_to_string(DEFAULT).with_context(|| format!("reading {DEFAULT}"))?;
    let mut profile: Value = serde_json::from_str(&text).with_context(|| format!("{DEFAULT} is no JSON"))?;
    let rules = profile["syscalls"].as_array_mut().with_context(|| format!("{DEFAULT} has no rules"))?;
    for names in rules.iter_mut().filter_map(|rule| rule["names"].as_array_mut()) {
        names.retain(|name| !CALLS.contains(&name.as_str().unwrap_or_default()));
    }
    rules.retain(|rule| rule["names"].as_array().is_some_and(|names| !names.is_empty()));
    rules.push(json!({ "names": CALLS, "action": "SCMP_ACT_ALLOW" }));
    fs::write("/opt/pod/seccomp.json", profile.to_string()).context("writing a seccomp profile")
}

/// Starts the image like the manifest; returns its first scrape, or its log if it ended.
fn start_pod(image: &str, more: &[&str]) -> anyhow::Result<Result<BTreeMap<String, f64>, String>> {
    // The pod needs no network here: the socket that it shares with the node serves the same.
    let mut options = vec!["--detach", "--name=pod", "--network=none"];
    for (line, same) in SAME {
        ensure!(MANIFEST.contains(line), "the manifest does not say `{line}` any more");
        options.extend(same);
    }
    podman(
        "run",
        &[&options[..], more, &[image, "run", "--config", "/etc/taskscope/taskscope.toml"]].concat(),
    )?;
    until("the image serves metrics", || {
        if podman("inspect", &["--format={{.State.Status}}", "pod"])? != "running" {
            return Ok(Err(log()));
        }
        daemon::samples(&answer("/metrics")?).map(Ok)
    })
}

/// Returns the text of the manifest's `ConfigMap`.
fn configuration() -> anyhow::Result<String> {
    let (_, rest) =
        MANIFEST.split_once("taskscope.toml: |\n").context("the manifest has no taskscope.toml")?;
    let lines = rest.lines().take_while(|line| line.starts_with("    ") || line.is_empty());
    Ok(lines.map(str::trim_start).collect::<Vec<_>>().join("\n"))
}

/// Runs podman and returns the last line of its output.
pub(crate) fn podman(verb: &str, args: &[&str]) -> anyhow::Result<String> {
    let text = podman_text(verb, args)?;
    Ok(text.lines().last().unwrap_or_default().trim().to_owned())
}

/// Returns the standard error of the daemon in the container, from `podman logs`.
fn log() -> String {
    sh("sh", &["-c", "podman logs pod 2>&1"]).unwrap_or_else(|error| format!("{error:#}"))
}

fn podman_text(verb: &str, args: &[&str]) -> anyhow::Result<String> {
    sh("podman", &[&[verb], args].concat())
}
