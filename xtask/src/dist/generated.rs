//! The files of packages that the program itself generates: manual pages and completions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::tree::{Tree, gzip};
use super::{VERSION, config_page, packaging};
use crate::shell;

/// The shells with completions.
const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// The directory of zsh's completions below `share`, which distributions call differently.
#[derive(Debug, Clone, Copy)]
pub(super) enum Zsh {
    /// Debian's name.
    Vendor,
    /// The name of zsh itself, which Fedora and others keep.
    Site,
}

/// A directory of generated files. They are the same for every architecture.
pub(super) struct Generated(PathBuf);

impl Generated {
    /// Makes the files in `directory`, which is emptied before. `program` is a taskscope that runs on this machine.
    pub(super) fn by(program: &Path, directory: PathBuf) -> Result<Self> {
        if directory.exists() {
            fs::remove_dir_all(&directory).with_context(|| format!("removing {}", directory.display()))?;
        }
        let man = directory.join("man");
        fs::create_dir_all(&man).with_context(|| format!("making {}", man.display()))?;
        shell::run(Command::new(program).arg("man").arg(&man))?;
        let config = packaging("taskscope.toml");
        let text = fs::read_to_string(&config).with_context(|| format!("reading {}", config.display()))?;
        let page = config_page::page(&text, VERSION).with_context(|| config.display().to_string())?;
        fs::write(man.join("taskscope.toml.5"), page).context("writing taskscope.toml.5")?;
        for name in SHELLS {
            let output = Command::new(program)
                .args(["completions", name])
                .output()
                .with_context(|| format!("running {}", program.display()))?;
            ensure!(output.status.success(), "taskscope completions {name}: {}", output.status);
            fs::write(directory.join(name), output.stdout).with_context(|| format!("completions {name}"))?;
        }
        Ok(Self(directory))
    }

    /// Copies manual pages, compressed, and completions into directories below `share` of a tree.
    pub(super) fn copy(&self, tree: &Tree, share: &str, zsh: Zsh) -> Result<()> {
        let man = self.0.join("man");
        for entry in fs::read_dir(&man).with_context(|| format!("reading {}", man.display()))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let section = path.extension().unwrap_or_default().to_string_lossy().into_owned();
            gzip(&tree.copy(&path, &format!("{share}/man/man{section}/{name}"), 0o644)?)?;
        }
        let zsh = match zsh {
            Zsh::Vendor => "zsh/vendor-completions/_taskscope",
            Zsh::Site => "zsh/site-functions/_taskscope",
        };
        let places =
            ["bash-completion/completions/taskscope", zsh, "fish/vendor_completions.d/taskscope.fish"];
        for (name, place) in SHELLS.into_iter().zip(places) {
            tree.copy(&self.0.join(name), &format!("{share}/{place}"), 0o644)?;
        }
        Ok(())
    }
}
