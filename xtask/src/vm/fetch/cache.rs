//! The cache for downloads that all clones of this project on a machine share.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process};

use anyhow::Context as _;

/// `${XDG_CACHE_HOME:-$HOME/.cache}/taskscope/vm`.
///
/// Files are made in a scratch directory and renamed to their final path when complete, so that two simultaneous runs need no lock.
#[derive(Debug)]
pub(in crate::vm) struct Cache {
    root: PathBuf,
}

impl Cache {
    pub(in crate::vm) fn open() -> anyhow::Result<Self> {
        let base = match env::var_os("XDG_CACHE_HOME").filter(|value| Path::new(value).is_absolute()) {
            Some(base) => PathBuf::from(base),
            None => PathBuf::from(
                env::var_os("HOME")
                    .context("neither XDG_CACHE_HOME nor HOME is set, so the cache has no path")?,
            )
            .join(".cache"),
        };
        Self::at(base.join("taskscope/vm"))
    }

    pub(in crate::vm) fn at(root: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir_all(&root).with_context(|| format!("making the cache {}", root.display()))?;
        let cache = Self { root };
        cache.sweep()?;
        Ok(cache)
    }

    /// Removes the scratch directories of runs that were killed.
    fn sweep(&self) -> anyhow::Result<()> {
        let entries = fs::read_dir(&self.root).with_context(|| format!("reading {}", self.root.display()))?;
        for entry in entries {
            let path = entry?.path();
            let owner = path.file_name().and_then(|name| owner_of_scratch(name.to_str()?));
            if owner.is_some_and(|owner| !Path::new("/proc").join(owner.to_string()).exists()) {
                fs::remove_dir_all(&path).with_context(|| format!("removing {}", path.display()))?;
            }
        }
        Ok(())
    }

    pub(in crate::vm) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// Makes a directory of this process, removed when it is dropped.
    pub(in crate::vm) fn scratch(&self, purpose: &str) -> anyhow::Result<Scratch> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join(format!("scratch-{purpose}-{}-{count}", process::id()));
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Scratch(path))
    }

    /// Moves a finished file or directory to its final path. If another run was faster, its result stays.
    pub(in crate::vm) fn settle(&self, from: &Path, relative: &str) -> anyhow::Result<PathBuf> {
        let to = self.path(relative);
        let parent = to.parent().unwrap_or(&self.root);
        fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
        match fs::rename(from, &to) {
            Err(error) if !to.exists() => {
                Err(error).with_context(|| format!("moving {} to {}", from.display(), to.display()))
            }
            _ => Ok(to),
        }
    }
}

/// Returns the process id in `scratch-PURPOSE-PID-COUNT`.
fn owner_of_scratch(name: &str) -> Option<u32> {
    let (head, _count) = name.strip_prefix("scratch-")?.rsplit_once('-')?;
    head.rsplit_once('-')?.1.parse().ok()
}

/// See [`Cache::scratch`].
#[derive(Debug)]
pub(in crate::vm) struct Scratch(PathBuf);

impl Scratch {
    pub(in crate::vm) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("vm: removing {}: {error}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moved_files_stay_and_scratch_directories_are_removed() {
        let root = env::temp_dir().join(format!("taskscope-cache-test-{}", process::id()));
        let cache = Cache::at(root.clone()).unwrap();
        let scratch = cache.scratch("test").unwrap();
        let path = scratch.path().to_owned();
        fs::write(path.join("a"), "x").unwrap();
        let settled = cache.settle(&path.join("a"), "kernels/6.1/a").unwrap();
        drop(scratch);
        assert!(!path.exists());

        let killed = root.join("scratch-apt-4194305-0");
        fs::create_dir(&killed).unwrap();
        let ours = cache.scratch("test").unwrap();
        Cache::at(root.clone()).unwrap();
        assert!(!killed.exists(), "the scratch directory of an impossible pid stays");
        assert!(ours.path().exists(), "the scratch directory of a living process was removed");
        drop(ours);
        assert_eq!(fs::read_to_string(settled).unwrap(), "x");
        fs::remove_dir_all(root).unwrap();
    }
}
