//! The manifest of `cargo xtask vm`: what this guest must do.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

/// The manifest, as the host wrote it into the initramfs.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// Character device that takes the verdict lines.
    pub(crate) results: String,
    /// Values of `TASKSCOPE_ATTACH`; the whole suite runs once for each.
    pub(crate) attach: Vec<String>,
    /// Environment of every test.
    pub(crate) env: Vec<(String, String)>,
    /// libtest binaries.
    pub(crate) programs: Vec<Program>,
    /// Command lines to run in place of the tests, their output sent to the host.
    pub(crate) exec: Vec<Vec<String>>,
    /// Only tests whose name contains this.
    pub(crate) filter: Option<String>,
    /// Test binaries, and tests, that run under the first family only.
    pub(crate) once: Vec<String>,
    /// Test binaries, and tests, that do not run.
    pub(crate) skip: Vec<String>,
    /// Family, program and name of tests that have their verdict already.
    pub(crate) done: Vec<Vec<String>>,
    /// Whether the tests of a binary run in one process, one after the other, and failed ones once more alone.
    pub(crate) together: bool,
    /// Whether the cgroup controllers are mounted as hierarchies of v1, with v2 beside them, or all as v2.
    pub(crate) cgroup_v1: bool,
    /// How many tests of one binary run at once, if they do not run in one process.
    pub(crate) jobs: usize,
    /// A test that runs longer is killed and has failed.
    pub(crate) test_timeout: Duration,
}

impl Manifest {
    /// Whether a test is to be run under a family.
    pub(crate) fn wants(&self, attach: &str, program: &str, test: &str) -> bool {
        let is_later = self.attach.first().is_some_and(|first| first != attach);
        let is_done = self.done.iter().any(|done| done == &[attach, program, test]);
        let has = |list: &[String]| list.iter().any(|name| name == program || name == test);
        let was_run = is_later && has(&self.once);
        !(is_done || was_run || has(&self.skip))
    }
}

/// One test binary.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) path: String,
}

impl Manifest {
    pub(crate) fn read(path: &str) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
        Self::parse(&text).with_context(|| format!("parsing {path}"))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let root: Value = serde_json::from_str(text)?;
        let env = root["env"].as_object().context("`env` is not an object")?;
        let programs = root["programs"].as_array().context("`programs` is not a list")?;
        let exec = root["exec"].as_array().context("`exec` is not a list")?;
        let done = root["done"].as_array().context("`done` is not a list")?;
        Ok(Self {
            results: string(&root["results"], "results")?,
            attach: strings(&root["attach"], "attach")?,
            env: env
                .iter()
                .map(|(key, value)| Ok((key.clone(), string(value, key)?)))
                .collect::<anyhow::Result<_>>()?,
            programs: programs
                .iter()
                .map(|program| {
                    Ok(Program {
                        name: string(&program["name"], "programs[].name")?,
                        path: string(&program["path"], "programs[].path")?,
                    })
                })
                .collect::<anyhow::Result<_>>()?,
            exec: exec.iter().map(|argv| strings(argv, "exec[]")).collect::<anyhow::Result<_>>()?,
            filter: root["filter"].as_str().map(str::to_owned),
            once: strings(&root["once"], "once")?,
            skip: strings(&root["skip"], "skip")?,
            done: done.iter().map(|test| strings(test, "done[]")).collect::<anyhow::Result<_>>()?,
            together: root["together"].as_bool().context("`together` is neither true nor false")?,
            cgroup_v1: root["cgroup_v1"].as_bool().context("`cgroup_v1` is neither true nor false")?,
            jobs: usize::try_from(root["jobs"].as_u64().unwrap_or(0))
                .ok()
                .filter(|jobs| *jobs > 0)
                .context("`jobs` is not a positive number")?,
            test_timeout: Duration::from_secs(
                root["test_timeout_s"].as_u64().context("`test_timeout_s` is not a number")?,
            ),
        })
    }
}

fn string(value: &Value, name: &str) -> anyhow::Result<String> {
    value.as_str().map(str::to_owned).with_context(|| format!("`{name}` is not a string"))
}

fn strings(value: &Value, name: &str) -> anyhow::Result<Vec<String>> {
    let list = value.as_array().with_context(|| format!("`{name}` is not a list"))?;
    list.iter().map(|item| string(item, name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = r#"{"results": "/dev/ttyS1", "attach": ["kprobe", "fentry"],
        "env": {"TASKSCOPE_VM": "1"}, "programs": [{"name": "a", "path": "/tests/a"}],
        "exec": [["taskscope", "doctor"]], "filter": "fork", "once": ["cli", "a_slow_one"], "skip": ["soak"], "done": [["fentry", "a", "one"]],
        "together": true, "cgroup_v1": true, "jobs": 2, "test_timeout_s": 90}"#;

    #[test]
    fn a_manifest_names_families_programs_and_limits() {
        let manifest = Manifest::parse(SAMPLE).unwrap();
        assert_eq!(manifest.attach, ["kprobe", "fentry"]);
        assert_eq!(manifest.env, [("TASKSCOPE_VM".to_owned(), "1".to_owned())]);
        assert_eq!(manifest.programs, [Program { name: "a".into(), path: "/tests/a".into() }]);
        assert_eq!(manifest.exec, [["taskscope", "doctor"]]);
        assert_eq!(manifest.filter.as_deref(), Some("fork"));
        assert!(manifest.together && manifest.cgroup_v1);
        assert_eq!((manifest.once.len(), manifest.skip.len()), (2, 1));
        assert_eq!(manifest.done, [["fentry", "a", "one"]]);
        assert_eq!(manifest.jobs, 2);
        assert_eq!(manifest.test_timeout, Duration::from_secs(90));
    }

    #[test]
    fn tests_that_are_done_or_ran_under_the_first_family_are_not_wanted() {
        let manifest = Manifest::parse(SAMPLE).unwrap();
        assert!(manifest.wants("kprobe", "a", "one") && manifest.wants("fentry", "a", "two"));
        assert!(!manifest.wants("fentry", "a", "one"), "this test is done");
        assert!(manifest.wants("kprobe", "cli", "x") && !manifest.wants("fentry", "cli", "x"));
        assert!(manifest.wants("kprobe", "a", "a_slow_one") && !manifest.wants("fentry", "a", "a_slow_one"));
        assert!(!manifest.wants("kprobe", "soak", "x"));
    }

    #[test]
    fn a_missing_field_is_named() {
        let error = Manifest::parse(&SAMPLE.replace("\"jobs\": 2", "\"jobs\": 0")).unwrap_err();
        assert!(error.to_string().contains("`jobs`"), "{error}");
        let error = Manifest::parse(&SAMPLE.replace("attach", "atach")).unwrap_err();
        assert!(error.to_string().contains("`attach`"), "{error}");
    }
}
