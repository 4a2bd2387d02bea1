//! A directory tree with the files of a package.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::packaging;
use crate::shell;

/// A directory that stands for `/`. When this is dropped, it is removed with the directories beside it.
pub(super) struct Tree {
    base: PathBuf,
}

impl Tree {
    /// Creates an empty tree.
    pub(super) fn new(base: PathBuf) -> Result<Self> {
        if base.exists() {
            fs::remove_dir_all(&base).with_context(|| format!("removing {}", base.display()))?;
        }
        let tree = Self { base };
        fs::create_dir_all(tree.root()).with_context(|| format!("making {}", tree.root().display()))?;
        Ok(tree)
    }

    pub(super) fn root(&self) -> PathBuf {
        self.base.join("root")
    }

    /// Creates a directory that is no part of the package.
    pub(super) fn beside(&self, name: &str) -> Result<PathBuf> {
        let path = self.base.join(name);
        fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(path)
    }

    /// Writes a file with this content.
    pub(super) fn write(&self, place: &str, mode: u32, content: &[u8]) -> Result<PathBuf> {
        let path = self.root().join(place);
        let parent = path.parent().unwrap_or(&path);
        fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
        fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            .with_context(|| format!("setting the mode of {}", path.display()))?;
        Ok(path)
    }

    /// Copies a file into the tree.
    pub(super) fn copy(&self, from: &Path, place: &str, mode: u32) -> Result<PathBuf> {
        let content = fs::read(from).with_context(|| format!("reading {}", from.display()))?;
        self.write(place, mode, &content)
    }

    /// Copies `packaging/FILE` into the tree.
    pub(super) fn copy_packaging(&self, file: &str, place: &str) -> Result<PathBuf> {
        self.copy(&packaging(file), place, 0o644)
    }

    /// Copies the documentation of the workspace.
    pub(super) fn copy_documents(&self, directory: &str) -> Result<()> {
        let workspace = shell::workspace();
        self.copy(&workspace.join("README.md"), &format!("{directory}/README.md"), 0o644)?;
        for entry in fs::read_dir(workspace.join("docs")).context("reading docs")? {
            let path = entry?.path();
            if let Some(name) = path.file_name().filter(|_| path.extension().is_some_and(|ext| ext == "md")) {
                self.copy(&path, &format!("{directory}/{}", name.to_string_lossy()), 0o644)?;
            }
        }
        Ok(())
    }

    /// Sets the modes of directories, which otherwise depend on the umask here.
    pub(super) fn set_directory_modes(&self) -> Result<()> {
        fn below(directory: &Path) -> std::io::Result<()> {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
            for entry in fs::read_dir(directory)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    below(&entry.path())?;
                }
            }
            Ok(())
        }
        below(&self.root()).with_context(|| format!("setting modes below {}", self.root().display()))
    }

    /// Returns the size of all files, KiB, as dpkg counts it.
    pub(super) fn kib(&self) -> Result<u64> {
        fn below(path: &Path) -> std::io::Result<u64> {
            let mut sum = 1;
            for entry in fs::read_dir(path)? {
                let entry = entry?;
                let meta = entry.metadata()?;
                sum += if meta.is_dir() { below(&entry.path())? } else { meta.len().div_ceil(1024) };
            }
            Ok(sum)
        }
        below(&self.root()).with_context(|| format!("reading {}", self.root().display()))
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.base) {
            eprintln!("dist: removing {}: {error}", self.base.display());
        }
    }
}

/// Replaces `FILE` by `FILE.gz`, without name and time in it, so that the same content gives the same bytes.
pub(super) fn gzip(file: &Path) -> Result<()> {
    shell::run(Command::new("gzip").args(["-9", "-n", "--force"]).arg(file))
}
