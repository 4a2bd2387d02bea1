//! Where tasks live: cgroups made here, named as systemd and container runtimes name theirs.

use std::{
    fs,
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use taskscope_tests::{service::Service, setting};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A cgroup of the v2 hierarchy, removed with its parents.
struct Cgroup(Vec<PathBuf>);

impl Cgroup {
    /// `None` where there is no v2 hierarchy that we may write to.
    fn make(names: &[&str]) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
        let root = mounts.lines().find_map(|line| {
            let mut fields = line.split(' ');
            let (point, kind) = (fields.nth(1)?, fields.next()?);
            (kind == "cgroup2").then(|| PathBuf::from(point))
        })?;
        let mut made = Vec::new();
        let mut path = root;
        for name in names {
            path = path.join(name);
            if let Err(error) = fs::create_dir(&path) {
                println!("skipped: making {}: {error}", path.display());
                drop(Self(made));
                return None;
            }
            made.push(path.clone());
        }
        Some(Self(made))
    }

    fn path(&self) -> &Path {
        self.0.last().map_or(Path::new("/"), PathBuf::as_path)
    }

    /// A short scenario that begins there.
    fn run(&self) -> Command {
        let mut command = Command::new(setting::scenario(env!("CARGO_BIN_EXE_scenario")));
        command.args(["burst", "1"]).stdout(Stdio::null());
        let file = fs::OpenOptions::new().write(true).open(self.path().join("cgroup.procs"));
        let mut file = file.unwrap_or_else(|error| panic!("{}: {error}", self.path().display()));
        // SAFETY: one write(2) to a file that is open already, which is async-signal-safe.
        unsafe {
            command.pre_exec(move || file.write_all(b"0"));
        }
        command
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            // Its last task may still be on its way out.
            for _ in 0..100 {
                match fs::remove_dir(path) {
                    Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                        std::thread::sleep(std::time::Duration::from_millis(20));
                    }
                    _ => break,
                }
            }
        }
    }
}

#[test]
fn events_say_unit_container_and_pod_and_can_be_chosen_by_them() {
    let slice = format!("taskscope{}.slice", std::process::id());
    let unit = format!("demo{}.service", std::process::id());
    let container = format!("docker-{ID}.scope");
    let pod = "pod11111111-2222-3333-4444-555555555555";
    let Some(cgroup) = Cgroup::make(&[&slice, &unit, pod, &container]) else { return };
    let service = Service::start(&[]);
    let by_container = service.events("?container=0123456789ab&action=group_exited&limit=1", "");
    let by_unit = service.events("?unit=docker-*&action=execed&limit=1", "");
    let other = service.events("?unit=nothing*&since=1h&limit=1", "");
    let status = cgroup.run().status().unwrap_or_else(|error| panic!("the scenario: {error}"));
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
