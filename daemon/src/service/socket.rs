//! The API's Unix socket: one daemon, mode 0660, a group of its own.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use thiserror::Error;

use super::config::DEFAULT_SOCKET;

/// Why there is no socket.
#[derive(Debug, Error)]
pub enum SocketError {
    /// Another daemon uses it.
    #[error("another taskscope answers on {0}; stop it, or start this one with another --socket")]
    Taken(PathBuf),
    /// A file that is not a socket has its name.
    #[error("{0} exists and is not a socket; remove it, or use another --socket")]
    NoSocket(PathBuf),
    /// Its directory does not exist, and the daemon does not create it.
    #[error(
        "{directory} for the socket {path} does not exist; make it (mkdir -p {directory}), or use another --socket"
    )]
    NoDirectory {
        /// The path.
        path: PathBuf,
        /// The directory.
        directory: PathBuf,
    },
    /// It cannot be made.
    #[error("creating the socket {path}: {source}")]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A socket's file. Dropping this removes it, unless another daemon has replaced it in the meantime.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    id: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        match fs::symlink_metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == self.id => {
                // If the file is gone already, there is nothing to do.
                let _ = fs::remove_file(&self.path);
            }
            Ok(_) => log::info!("{} now belongs to another daemon; it is not removed", self.path.display()),
            Err(_) => {}
        }
    }
}

/// Creates the socket. It replaces a socket that a killed daemon left behind.
pub(super) fn bind(path: &Path, group: &str) -> Result<(UnixListener, SocketFile), SocketError> {
    let failed = |source| SocketError::Io { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(SocketError::NoSocket(path.to_owned())),
        Ok(_) => {
            if UnixStream::connect(path).is_ok() {
                return Err(SocketError::Taken(path.to_owned()));
            }
            fs::remove_file(path).map_err(failed)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_directory(path)?;
        }
        Err(error) => return Err(failed(error)),
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    let found = fs::symlink_metadata(path).map_err(failed)?;
    let file = SocketFile { path: path.to_owned(), id: (found.dev(), found.ino()) };
    // Without a group of its own, the socket would get the daemon's group, which may not be intended.
    let mode = |mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed);
    mode(0o600)?;
    match group_id(group) {
        Some(id) => match chown(path, None, Some(id)) {
            Ok(()) => mode(0o660)?,
            Err(error) => log::warn!(
                "giving {} to the group {group}: {error}; only its owner may use it",
                path.display()
            ),
        },
        None => log::warn!(
            "there is no group {group}: only the owner of {} may use it; make one (groupadd --system {group}), or set \
             socket_group",
            path.display()
        ),
    }
    Ok((listener, file))
}

/// Creates `/run/taskscope`, which is ours. Any other directory must exist, because a mistyped path must not leave directories
/// behind.
fn make_directory(path: &Path) -> Result<(), SocketError> {
    let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) else {
        return Ok(());
    };
    if Path::new(DEFAULT_SOCKET).parent() == Some(directory) {
        return fs::create_dir_all(directory)
            .map_err(|source| SocketError::Io { path: path.to_owned(), source });
    }
    if directory.is_dir() {
        return Ok(());
    }
    Err(SocketError::NoDirectory { path: path.to_owned(), directory: directory.to_owned() })
}

/// Returns the gid of a group, from /etc/group, or else from other sources of the host (LDAP, systemd) if they can be asked.
fn group_id(name: &str) -> Option<u32> {
    fs::read_to_string("/etc/group").ok().and_then(|text| id_in(&text, name)).or_else(|| elsewhere(name))
}

/// Returns the gid from the lines `name:password:id:members`.
fn id_in(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.split(':').nth(1)?.parse().ok())
}

/// A static C library would load the host's NSS modules, which are built for another C library, and crash.
#[cfg(target_feature = "crt-static")]
const fn elsewhere(_name: &str) -> Option<u32> {
    None
}

/// Asks getgrnam(3). No crate has a safe function for it, because its result is in memory of the C library.
#[cfg(not(target_feature = "crt-static"))]
fn elsewhere(name: &str) -> Option<u32> {
    let name = std::ffi::CString::new(name).ok()?;
    // SAFETY: `name` ends with NUL. The answer points to static memory that the next call overwrites; nothing else here asks
    // for groups, and it is read before this returns.
    unsafe { libc::getgrnam(name.as_ptr()).as_ref() }.map(|group| group.gr_gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_daemons_exit_leaves_a_newer_daemons_socket_alone() {
        let path = std::env::temp_dir().join(format!("taskscope-socket-test-{}", std::process::id()));
        let (old, old_file) = bind(&path, "no such group").unwrap();
        assert!(matches!(bind(&path, "no such group"), Err(SocketError::Taken(_))));
        // Remove the socket, as an administrator might do.
        fs::remove_file(&path).unwrap();
        let (_new, new_file) = bind(&path, "no such group").unwrap();
        drop((old, old_file));
        assert!(path.exists(), "the newer one's is gone");
        drop(new_file);
        assert!(!path.exists());
    }

    #[test]
    fn a_directory_that_is_not_there_is_not_made() {
        let directory =
            std::env::temp_dir().join(format!("taskscope-no-such-directory-{}", std::process::id()));
        let error = bind(&directory.join("socket"), "no such group").unwrap_err();
        assert!(error.to_string().contains("mkdir -p"), "{error}");
        assert!(!directory.exists());
    }

    #[test]
    fn a_group_is_found_by_its_whole_name() {
        let text = "root:x:0:\ntaskscope-old:x:7:\ntaskscope:x:997:alice,bob\nbroken\n:::\n";
        assert_eq!(id_in(text, "taskscope"), Some(997));
        assert_eq!(id_in(text, "root"), Some(0));
        for name in ["task", "alice", "broken", "nobody", ""] {
            assert_eq!(id_in(text, name), None, "{name}");
        }
        assert_eq!(group_id("root"), Some(0));
        assert_eq!(group_id("no such group"), None);
    }
}
