//! A directory for the files of one test.

use std::{env, fs, path::PathBuf, process};

/// A directory that is removed with all that is in it.
#[derive(Debug)]
pub struct Directory(pub PathBuf);

impl Directory {
    /// Creates a directory. The name is for this process only.
    pub fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("taskscope-{}-{name}", process::id()));
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("making {}: {error}", path.display()));
        Self(path)
    }

    /// Returns the path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
