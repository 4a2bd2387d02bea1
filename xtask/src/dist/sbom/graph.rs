//! The crates that are linked into a binary, with what each depends on, as cargo resolves them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::shell;

/// A crate of one version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Crate {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) license: String,
    /// Whether it is in this workspace.
    local: bool,
}

impl Crate {
    /// Returns what identifies the crate in the document, which for crates of a registry is their package URL.
    pub(super) fn reference(&self) -> String {
        let prefix = if self.local { "" } else { "pkg:cargo/" };
        // In a URL a plus sign can mean a blank.
        format!("{prefix}{}@{}", self.name, self.version.replace('+', "%2B"))
    }

    /// Parses `NAME vVERSION (PATH)`; only crates of the workspace have a path.
    fn parse(package: &str, license: &str) -> Option<Self> {
        let mut words = package.split_whitespace();
        let name = words.next()?.to_owned();
        let version = words.next()?.strip_prefix('v')?.to_owned();
        let local = words.next().is_some_and(|word| word.starts_with("(/"));
        // Older crates separate the licenses to choose from by a slash.
        let license = license.split('/').map(str::trim).collect::<Vec<_>>().join(" OR ");
        Some(Self { name, version, license, local })
    }
}

/// Crates, each with the crates that it uses directly.
#[derive(Debug, Default)]
pub(super) struct Graph {
    root: Option<Crate>,
    uses: BTreeMap<Crate, BTreeSet<Crate>>,
}

impl Graph {
    /// Asks cargo for the crates that are linked into `package` for a target. Macros and build scripts run at build time only.
    pub(super) fn of(package: &str, target: &str) -> Result<Self> {
        let mut cargo = shell::cargo();
        cargo.args(["tree", "--locked", "--package", package, "--target", target]);
        cargo.args(["--edges", "normal,no-proc-macro", "--prefix", "depth", "--format", "\t{p}\t{l}"]);
        let text = shell::answer(&mut cargo).with_context(|| format!("{} failed", shell::line(&cargo)))?;
        Self::parse(&text).with_context(|| format!("the output of {}", shell::line(&cargo)))
    }

    /// Parses the output of cargo tree, one line for each crate: depth, name and version, license. cargo leaves out
    /// the dependencies of a crate that it has listed before.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut graph = Self::default();
        let mut above: Vec<Crate> = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let parsed = || {
                let mut fields = line.trim_end_matches(" (*)").split('\t');
                let depth: usize = fields.next()?.parse().ok()?;
                let each = Crate::parse(fields.next()?, fields.next()?)?;
                (depth <= above.len()).then_some((depth, each))
            };
            let (depth, each) = parsed().with_context(|| format!("no crate: {line:?}"))?;
            above.truncate(depth);
            if let Some(user) = above.last() {
                graph.uses.entry(user.clone()).or_default().insert(each.clone());
            }
            graph.root.get_or_insert_with(|| each.clone());
            graph.uses.entry(each.clone()).or_default();
            above.push(each);
        }
        Ok(graph)
    }

    /// Adds all of `other`, whose root becomes a crate that our root uses.
    pub(super) fn include(&mut self, other: Self) {
        if let (Some(root), Some(used)) = (&self.root, other.root) {
            self.uses.entry(root.clone()).or_default().insert(used);
        }
        for (each, uses) in other.uses {
            self.uses.entry(each).or_default().extend(uses);
        }
    }

    pub(super) fn root(&self) -> Result<&Crate> {
        self.root.as_ref().context("cargo listed no crate")
    }

    pub(super) fn crates(&self) -> impl Iterator<Item = &Crate> {
        self.uses.keys()
    }

    /// Returns an entry for each crate with the crates that it uses.
    pub(super) fn dependencies(&self) -> Vec<Value> {
        let entry = |(each, uses): (&Crate, &BTreeSet<Crate>)| {
            let uses: Vec<_> = uses.iter().map(Crate::reference).collect();
            json!({ "ref": each.reference(), "dependsOn": uses })
        };
        self.uses.iter().map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "0\ttop v0.1.0 (/x/top)\tMIT\n1\ta v1.0.0\tMIT/Apache-2.0\n2\tb v1.0.0\tZlib\n1\tc v2.0.0\tISC\n2\ta v1.0.0\tMIT/Apache-2.0 (*)\n";

    #[test]
    fn what_a_crate_uses_is_below_it() {
        let graph = Graph::parse(TREE).unwrap();
        let used = |name: &str| -> Vec<&str> {
            let (_, uses) = graph.uses.iter().find(|(each, _)| each.name == name).unwrap();
            uses.iter().map(|each| each.name.as_str()).collect()
        };
        assert_eq!(used("top"), ["a", "c"]);
        assert_eq!(used("a"), ["b"]);
        assert_eq!(used("c"), ["a"]);
        assert_eq!(graph.crates().count(), 4, "a crate that is used twice is listed once");
    }

    #[test]
    fn the_programs_of_the_kernel_are_used_by_the_daemon() {
        let mut graph = Graph::parse(TREE).unwrap();
        graph
            .include(Graph::parse("0\tprobe v0.1.0 (/x/probe)\tMIT\n1\ta v1.0.0\tMIT/Apache-2.0\n").unwrap());
        let root = graph.root().unwrap().clone();
        assert!(graph.uses[&root].iter().any(|each| each.name == "probe"));
        assert_eq!(graph.crates().count(), 5);
    }

    #[test]
    fn a_plus_sign_is_escaped_in_a_url() {
        let graph = Graph::parse("0\ta v1.0.0+b\tMIT").unwrap();
        assert_eq!(graph.root().unwrap().reference(), "pkg:cargo/a@1.0.0%2Bb");
    }

    #[test]
    fn other_output_is_an_error() {
        for text in ["x\ta v1.0.0\tMIT", "0\ta\tMIT", "2\ta v1.0.0\tMIT", "0\ta v1.0.0"] {
            assert!(Graph::parse(text).is_err(), "{text}");
        }
    }
}
