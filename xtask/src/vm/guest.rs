//! Makes the files of a guest: static binaries, a manifest, an initramfs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::boot::serial_ports;
use super::cpio::Archive;
use super::results::Id;
use crate::arch::Arch;
use crate::artifacts::{self, Artifact};
use crate::{cross, ebpf};

const INIT: &str = "guest-init";

/// Stands for every test binary that is not one of [`SCENARIOS`].
pub(super) const DAEMON: &str = "daemon";
/// The test binaries whose outcome depends on the kernel and on how its functions are hooked.
const SCENARIOS: [&str; 20] = [
    "arguments",
    "clones",
    "deaths",
    "doctor",
    "exits",
    "first_light",
    "limits",
    "namespaces",
    "naming",
    "older",
    "pid_namespace",
    "places",
    "ptrace",
    "reparenting",
    "senders",
    "signal_storm",
    "storms",
    "threads",
    "workers",
    "zombies",
];

/// The name that stands for the test binaries of [`INTERFACE_TESTS`].
pub(super) const INTERFACES: &str = "interfaces";
/// The test binaries of what the daemon and its clients read and write: command lines, connections, files, pages; and of what they do
/// without more memory, processes or descriptors. Their outcome depends neither on the kernel nor on how its functions are hooked.
const INTERFACE_TESTS: [&str; 35] = [
    "agree",
    "answers",
    "bad_input",
    "connections",
    "exhausted",
    "fleet",
    "history",
    "history_storm",
    "hostile",
    "job",
    "job_past",
    "job_terminal",
    "mcp",
    "metrics_doc",
    "now",
    "openapi",
    "output_nats",
    "output_targets",
    "output_tls",
    "outputs",
    "page",
    "page_pictures",
    "past",
    "perfetto",
    "printed",
    "prometheus",
    "readers",
    "schema",
    "schemathesis",
    "service",
    "top",
    "top_mouse",
    "top_past",
    "tree",
    "watchdog",
];

/// Static executables, with the names of their targets.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Binaries {
    pub(super) arch: Arch,
    /// `taskscope` and the programs of the tests package.
    pub(super) programs: Vec<(String, PathBuf)>,
    /// Integration test binaries.
    pub(super) tests: Vec<(String, PathBuf)>,
}

/// What a guest must run.
#[derive(Debug, Default, Clone)]
pub(super) struct Plan {
    pub(super) attach: Vec<String>,
    pub(super) filter: Option<String>,
    pub(super) exec: Vec<String>,
    pub(super) together: bool,
    /// Whether the cgroup controllers are mounted as hierarchies of v1.
    pub(super) cgroup_v1: bool,
    pub(super) jobs: usize,
    pub(super) test_timeout_s: u64,
    /// Test binaries, and tests, that run under the first family only.
    pub(super) once: Vec<String>,
    /// Test binaries, and tests, that do not run.
    pub(super) skip: Vec<String>,
    /// Tests that have a verdict from an earlier boot.
    pub(super) done: Vec<Id>,
}

/// Builds the daemon as [`Binaries::build`] does.
pub(super) fn taskscope(arch: Arch) -> anyhow::Result<PathBuf> {
    ebpf::ensure(arch)?;
    let mut binaries = Binaries::new(arch);
    binaries.add_taskscope()?;
    binaries.program("taskscope").map(Path::to_path_buf)
}

impl Binaries {
    /// Builds the binaries once for all kernels, and static, so that a guest needs no libraries.
    ///
    /// `tests` are patterns of the names of test binaries; without one, commands can run in a guest even if a test does not compile.
    pub(super) fn build(arch: Arch, tests: &[&str]) -> anyhow::Result<Self> {
        ebpf::ensure(arch)?;
        let mut binaries = Self::new(arch);
        binaries.add_taskscope()?;
        let tests = tests.iter().flat_map(|name| ["--test", name]);
        binaries
            .add(&["--package", "taskscope-tests", "--bins"].into_iter().chain(tests).collect::<Vec<_>>())?;
        binaries.program(INIT)?;
        // Cargo reports them in the order in which they are finished; a fixed order makes runs easier to compare.
        binaries.tests.sort();
        Ok(binaries)
    }

    /// A build of its own, because `--test *` would include the daemon's own tests, which need no kernel.
    fn add_taskscope(&mut self) -> anyhow::Result<()> {
        self.add(&["--package", "taskscope", "--bins"])
    }

    fn new(arch: Arch) -> Self {
        Self { arch, programs: Vec::new(), tests: Vec::new() }
    }

    /// Builds what `selection` selects.
    fn add(&mut self, selection: &[&str]) -> anyhow::Result<()> {
        let mut cargo = cross::cargo(self.arch, "-C strip=symbols")?;
        // Programs for another architecture share nothing with other builds, and always run emulated. Most of the time would go to
        // compiling them, and of what they do, reading the kernel's types takes longest.
        let profile = if self.arch.is_host() { "release" } else { "quick" };
        cargo
            .args(["build", "--profile", profile, "--target", self.arch.triple()])
            .args(selection)
            // Tests need neither link-time optimization nor line tables, which cost minutes and megabytes.
            .args(["--config", "profile.release.lto=\"off\"", "--config", "profile.release.debug=false"])
            .args(["--config", "profile.release.package.taskscope-tests.opt-level=1"])
            .args(["--config", "profile.quick.package.aya-obj.opt-level=1"])
            .args(["--config", "profile.quick.package.object.opt-level=1"]);
        for artifact in artifacts::build(&mut cargo).context("building the guest's binaries")? {
            self.note(artifact);
        }
        Ok(())
    }

    /// Returns names of test binaries and tests; [`DAEMON`] and [`INTERFACES`] are replaced by the names for which they stand.
    pub(super) fn expand(&self, names: &[String]) -> Vec<String> {
        let built = |is_wanted: fn(&&str) -> bool| -> Vec<String> {
            let names = self.tests.iter().map(|(name, _)| name.as_str());
            names.filter(is_wanted).map(str::to_owned).collect()
        };
        let expand = |name: &String| match name.as_str() {
            DAEMON => built(|name| !SCENARIOS.contains(name)),
            INTERFACES => built(|name| INTERFACE_TESTS.contains(name)),
            _ => vec![name.clone()],
        };
        names.iter().flat_map(expand).collect()
    }

    /// Fails for a name that no test binary and no test has: a test that was renamed would run where it should not.
    pub(super) fn demand(&self, names: &[String]) -> anyhow::Result<()> {
        let mut unknown: Vec<&String> =
            names.iter().filter(|name| !self.tests.iter().any(|(binary, _)| binary == *name)).collect();
        for (name, path) in &self.tests {
            // Programs of another architecture do not run here.
            if unknown.is_empty() || !self.arch.is_host() {
                return Ok(());
            }
            let listed = Command::new(path).args(["--list", "--format", "terse"]).output();
            let listed = listed.with_context(|| format!("listing the tests of {name}"))?;
            let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
            let tests: Vec<&str> = listed.lines().filter_map(|line| line.strip_suffix(": test")).collect();
            unknown.retain(|name| !tests.contains(&name.as_str()));
        }
        match unknown.first() {
            Some(name) => bail!("no test and no test binary is called {name}"),
            None => Ok(()),
        }
    }

    /// Returns init only, for a guest without tests.
    pub(super) fn only_init(&self) -> Self {
        let programs = self.programs.iter().filter(|(name, _)| name == INIT).cloned().collect();
        Self { arch: self.arch, programs, tests: Vec::new() }
    }

    fn note(&mut self, Artifact { name, kind, path, .. }: Artifact) {
        match kind.as_str() {
            "bin" => self.programs.push((name, path)),
            "test" => self.tests.push((name, path)),
            _ => {}
        }
    }

    pub(super) fn program(&self, name: &str) -> anyhow::Result<&Path> {
        self.programs
            .iter()
            .find_map(|(program, path)| (program == name).then_some(path.as_path()))
            .with_context(|| format!("cargo built no binary called {name}"))
    }

    /// Writes the whole root file system of a guest.
    pub(super) fn initramfs(&self, plan: &Plan, path: &Path) -> anyhow::Result<()> {
        let mut archive = Archive::new(Vec::new());
        for dir in ["bin", "tests", "dev", "proc", "sys", "tmp", "run", "etc"] {
            archive.directory(dir)?;
        }
        // The kernel opens /dev/console for init before anything is mounted.
        archive.character_device("dev/console", 5, 1)?;
        archive.file("init", 0o755, &read(self.program(INIT)?)?)?;
        for (name, program) in self.programs.iter().filter(|(name, _)| name != INIT) {
            archive.file(&format!("bin/{name}"), 0o755, &read(program)?)?;
        }
        for (name, test) in &self.tests {
            archive.file(&format!("tests/{name}"), 0o755, &read(test)?)?;
        }
        archive.file("manifest.json", 0o644, self.manifest(plan).to_string().as_bytes())?;
        let bytes = archive.finish().context("finishing the initramfs")?;
        fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
    }

    /// Returns the manifest, which `guest-init` parses.
    fn manifest(&self, plan: &Plan) -> Value {
        let programs: Vec<Value> = self
            .tests
            .iter()
            .map(|(name, _)| json!({ "name": name, "path": format!("/tests/{name}") }))
            .collect();
        let exec: Vec<Vec<&str>> =
            plan.exec.iter().map(|command| command.split_whitespace().collect()).collect();
        json!({
            "results": serial_ports(self.arch).1,
            "attach": plan.attach,
            "env": {
                "HOME": "/",
                "PATH": "/bin",
                "TASKSCOPE_BIN": "/bin/taskscope",
                "TASKSCOPE_SCENARIO": "/bin/scenario",
                "TASKSCOPE_VM": "1",
                "TMPDIR": "/tmp",
            },
            "programs": programs,
            "exec": exec,
            "filter": plan.filter,
            "once": plan.once,
            "skip": plan.skip,
            "done": plan.done.iter().map(|id| json!([id.attach, id.program, id.test])).collect::<Value>(),
            "together": plan.together,
            "cgroup_v1": plan.cgroup_v1,
            "jobs": plan.jobs,
            "test_timeout_s": plan.test_timeout_s,
        })
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell;

    fn plan() -> Plan {
        Plan {
            attach: vec!["kprobe".into()],
            filter: None,
            exec: vec!["taskscope doctor --format json".into()],
            together: true,
            cgroup_v1: false,
            jobs: 2,
            test_timeout_s: 60,
            once: vec!["cli".into()],
            skip: vec!["soak".into()],
            done: vec![Id { attach: "kprobe".into(), program: "forks".into(), test: "one".into() }],
        }
    }

    #[test]
    fn executables_are_distinguished_by_their_kind() {
        let mut binaries = Binaries::new(Arch::X86_64);
        for (kind, name, path) in
            [("bin", "taskscope", "/t/a"), ("test", "forks", "/t/b"), ("lib", "x", "/t/c")]
        {
            let (name, kind, path) = (name.to_owned(), kind.to_owned(), PathBuf::from(path));
            binaries.note(Artifact { name, kind, is_test: false, path });
        }
        assert_eq!(binaries.programs, [("taskscope".to_owned(), PathBuf::from("/t/a"))]);
        assert_eq!(binaries.tests, [("forks".to_owned(), PathBuf::from("/t/b"))]);
        assert!(binaries.program(INIT).unwrap_err().to_string().contains(INIT));
    }

    #[test]
    fn daemon_stands_for_all_test_binaries_without_scenarios() {
        let tests = ["cli", "exits", "trust"].map(|name| (name.to_owned(), PathBuf::new())).to_vec();
        let binaries = Binaries { tests, ..Binaries::new(Arch::X86_64) };
        assert_eq!(binaries.expand(&["x".to_owned(), DAEMON.to_owned()]), ["x", "cli", "trust"]);
        let targets = named_targets();
        for name in SCENARIOS.iter().chain(&INTERFACE_TESTS) {
            assert!(targets.iter().any(|(known, _)| known == name), "tests/Cargo.toml has no test {name}");
        }
    }

    /// Cargo itself finds only `tests/tests/*.rs` and `tests/tests/*/main.rs`.
    #[test]
    fn every_file_of_tests_in_a_folder_is_a_target_with_the_files_name() {
        let mut targets = vec![];
        for folder in entries(&shell::workspace().join("tests/tests")) {
            let is_found_by_cargo = folder.join("main.rs").exists();
            if folder.is_dir() && !is_found_by_cargo && !folder.ends_with("common") {
                targets.extend(entries(&folder).iter().filter_map(|path| target_of(path)));
            }
        }
        targets.sort();
        assert!(targets.len() > 50, "{targets:?}");
        assert_eq!(named_targets(), targets);
    }

    fn entries(folder: &Path) -> Vec<PathBuf> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    /// Returns name and path of the target that a file, or a folder with a `main.rs`, is.
    fn target_of(path: &Path) -> Option<(String, String)> {
        let name = path.file_stem()?.to_str()?.to_owned();
        let source = if path.is_dir() { path.join("main.rs") } else { path.to_path_buf() };
        if !source.exists() || source.extension()? != "rs" {
            return None;
        }
        let tests = shell::workspace().join("tests");
        let source = source.strip_prefix(tests).ok()?.to_str()?.to_owned();
        Some((name, source))
    }

    /// Returns names and paths of the `[[test]]` tables in tests/Cargo.toml, sorted by name.
    fn named_targets() -> Vec<(String, String)> {
        let manifest = fs::read_to_string(shell::workspace().join("tests/Cargo.toml")).unwrap();
        let value = |table: &str, key: &str| {
            let line = table.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
            line.unwrap().trim_matches('"').to_owned()
        };
        let mut targets: Vec<_> = manifest
            .split("[[test]]")
            .skip(1)
            .map(|table| (value(table, "name"), value(table, "path")))
            .collect();
        targets.sort();
        targets
    }

    #[test]
    fn the_manifest_has_every_field_that_guest_init_asks_for() {
        let tests = vec![("forks".into(), "/t/b".into())];
        let binaries = Binaries { tests, ..Binaries::new(Arch::X86_64) };
        let manifest = binaries.manifest(&plan());
        assert_eq!(manifest["programs"][0]["path"], "/tests/forks");
        assert_eq!(manifest["exec"][0][1], "doctor");
        assert_eq!(manifest["attach"][0], "kprobe");
        assert_eq!(manifest["test_timeout_s"], 60);
        assert_eq!(manifest["jobs"], 2);
        assert_eq!(manifest["together"], true);
        assert_eq!(manifest["once"][0], "cli");
        assert_eq!(manifest["skip"][0], "soak");
        assert_eq!(manifest["done"], json!([["kprobe", "forks", "one"]]));
        assert!(manifest["env"].is_object() && manifest["results"].is_string());
        assert!(manifest["filter"].is_null());
    }
}
