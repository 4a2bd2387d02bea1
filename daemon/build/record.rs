//! What setup found: which compiler and which linker make the eBPF object. Kept in the user's cache directory, written by
//! `cargo xtask setup`, which includes this file, and read by the build script.

use std::env;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Number of the format and of the rules behind it: a record with another number is ignored, and setup runs again.
const FORMAT: &str = "1";

/// A compiler for `bpfel-unknown-none` and the linker that reads its bitcode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Where cargo and rustc are.
    pub(crate) compiler: Compiler,
    /// What that rustc reports about itself, see [`fingerprint`]: an upgraded compiler may need another linker.
    pub(crate) fingerprint: String,
    /// Whether `RUSTC_BOOTSTRAP=1` is needed: not on a nightly.
    pub(crate) bootstrap: bool,
    /// The source of `core`, which is compiled with the programs.
    pub(crate) core: PathBuf,
    /// bpf-linker.
    pub(crate) linker: PathBuf,
}

/// How to run cargo and rustc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Compiler {
    /// The rustup toolchain of this name.
    Rustup(String),
    /// The programs in this directory, where there is no rustup.
    Directory(PathBuf),
}

impl Compiler {
    /// This compiler's rustc.
    pub(crate) fn rustc(&self) -> Command {
        match self {
            Self::Rustup(name) => {
                let mut cmd = Command::new("rustup");
                cmd.args(["run", name, "rustc"]);
                cmd
            }
            Self::Directory(dir) => Command::new(dir.join("rustc")),
        }
    }
}

impl Record {
    /// The record's file; an error when the user has no home.
    pub(crate) fn path() -> Result<PathBuf, String> {
        Ok(cache_dir()?.join("ebpf-toolchain"))
    }

    /// Reads the record and checks that it is still valid; the error says what is not.
    pub(crate) fn load() -> Result<Self, String> {
        let path = Self::path()?;
        let text = std::fs::read_to_string(&path).map_err(|err| match err.kind() {
            ErrorKind::NotFound => format!("there is no {}", path.display()),
            _ => format!("reading {}: {err}", path.display()),
        })?;
        let record = Self::parse(&text).ok_or_else(|| format!("{} is of another version", path.display()))?;
        record.check()?;
        Ok(record)
    }

    /// Whether compiler, source and linker are still those that were found.
    fn check(&self) -> Result<(), String> {
        for part in [&self.core, &self.linker] {
            if !part.exists() {
                return Err(format!("{} is gone", part.display()));
            }
        }
        let output = self.compiler.rustc().arg("-vV").output();
        match output.ok().filter(|output| output.status.success()) {
            None => Err(format!("{} does not run", self.compiler)),
            Some(output) if fingerprint(&String::from_utf8_lossy(&output.stdout)) != self.fingerprint => {
                Err(format!("{} has changed since", self.compiler))
            }
            Some(_) => Ok(()),
        }
    }

    /// Returns the text of the record's file.
    pub(crate) fn to_text(&self) -> String {
        let (key, compiler) = match &self.compiler {
            Compiler::Rustup(name) => ("rustup", name.clone()),
            Compiler::Directory(dir) => ("directory", dir.display().to_string()),
        };
        let mut text = String::from("# written by `cargo xtask setup`\n");
        let bootstrap = if self.bootstrap { "1" } else { "0" };
        let (core, linker) = (self.core.display().to_string(), self.linker.display().to_string());
        for (key, value) in [
            ("format", FORMAT),
            (key, &compiler),
            ("fingerprint", &self.fingerprint),
            ("bootstrap", bootstrap),
            ("core", &core),
            ("linker", &linker),
        ] {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{key} = {value}");
        }
        text
    }

    /// The inverse of [`Record::to_text`]; `None` for another format or a missing line.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let get = |wanted: &str| {
            text.lines()
                .filter_map(|line| line.split_once(" = "))
                .find(|(key, _)| *key == wanted)
                .map(|(_, value)| value)
        };
        if get("format")? != FORMAT {
            return None;
        }
        let compiler = match get("rustup") {
            Some(name) => Compiler::Rustup(name.to_owned()),
            None => Compiler::Directory(get("directory")?.into()),
        };
        Some(Self {
            compiler,
            fingerprint: get("fingerprint")?.to_owned(),
            bootstrap: get("bootstrap")? == "1",
            core: get("core")?.into(),
            linker: get("linker")?.into(),
        })
    }
}

impl std::fmt::Display for Compiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rustup(name) => write!(f, "rustc of the rustup toolchain {name}"),
            Self::Directory(dir) => write!(f, "{}", dir.join("rustc").display()),
        }
    }
}

/// The lines of `rustc -vV` that distinguish one rustc from another: its version line and its LLVM.
pub(crate) fn fingerprint(version: &str) -> String {
    let llvm = version.lines().find(|line| line.starts_with("LLVM version"));
    [version.lines().next(), llvm].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// taskscope's directory in the user's cache, so that a second clone finds what the first one built.
pub(crate) fn cache_dir() -> Result<PathBuf, String> {
    let absolute = |dir: PathBuf| Path::is_absolute(&dir).then_some(dir);
    env::var_os("XDG_CACHE_HOME")
        .and_then(|dir| absolute(dir.into()))
        .or_else(|| env::home_dir().and_then(absolute).map(|home| home.join(".cache")))
        .map(|cache| cache.join("taskscope"))
        .ok_or_else(|| {
            "no cache directory: neither XDG_CACHE_HOME nor HOME is set to an absolute path".to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(compiler: Compiler) -> Record {
        Record {
            compiler,
            fingerprint: "rustc 1.96.0 (abc 2026-05-25), LLVM version: 22.1.8".to_owned(),
            bootstrap: true,
            core: "/usr/lib/rustlib/src/rust/library/core".into(),
            linker: "/home/a b/.cache/taskscope/bin/bpf-linker".into(),
        }
    }

    #[test]
    fn a_record_survives_its_file() {
        for compiler in [Compiler::Rustup("nightly".to_owned()), Compiler::Directory("/usr/bin".into())] {
            let record = record(compiler);
            assert_eq!(Record::parse(&record.to_text()), Some(record));
        }
    }

    #[test]
    fn a_record_of_another_format_or_with_a_line_missing_is_refused() {
        let text = record(Compiler::Rustup("nightly".to_owned())).to_text();
        assert_eq!(Record::parse(&text.replace("format = 1", "format = 0")), None);
        for missing in text.lines().skip(1) {
            assert_eq!(Record::parse(&text.replace(missing, "")), None, "without {missing:?}");
        }
    }

    #[test]
    fn a_record_whose_linker_is_gone_does_not_hold() {
        let mut record = record(Compiler::Directory("/nonexistent".into()));
        record.core = "/".into();
        record.linker = "/nonexistent/bpf-linker".into();
        assert_eq!(record.check(), Err("/nonexistent/bpf-linker is gone".to_owned()));
    }

    #[test]
    fn the_fingerprint_is_the_version_and_its_llvm() {
        let text = "rustc 1.96.0 (ac68 2026-05-25)\nbinary: rustc\nrelease: 1.96.0\nLLVM version: 22.1.8\n";
        assert_eq!(fingerprint(text), "rustc 1.96.0 (ac68 2026-05-25), LLVM version: 22.1.8");
    }
}
