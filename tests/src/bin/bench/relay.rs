//! A Unix socket in front of the daemon's that counts the bytes of its answers.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use anyhow::Context as _;

/// Accepts connections until the process ends.
pub(crate) struct Relay {
    path: PathBuf,
    answered: Arc<AtomicU64>,
}

impl Relay {
    /// Listens on `path` and connects each client to `daemon`.
    pub(crate) fn start(path: &Path, daemon: &Path) -> anyhow::Result<Self> {
        // A run that was killed leaves its socket behind.
        let _ = fs::remove_file(path);
        let listener =
            UnixListener::bind(path).with_context(|| format!("listening on {}", path.display()))?;
        let answered = Arc::new(AtomicU64::new(0));
        let (counted, daemon) = (Arc::clone(&answered), daemon.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A client whose connection fails connects again.
                if let Ok(server) = UnixStream::connect(&daemon) {
                    let _ = connect(client, server, &counted);
                }
            }
        });
        Ok(Self { path: path.to_owned(), answered })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the number of bytes of answers so far.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Copies in both directions, each in a thread of its own.
fn connect(client: UnixStream, server: UnixStream, answered: &Arc<AtomicU64>) -> io::Result<()> {
    let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
    let answered = Arc::clone(answered);
    thread::spawn(move || copy(from_client, to_server, |_| ()));
    thread::spawn(move || {
        copy(server, client, |bytes| {
            answered.fetch_add(bytes, Ordering::Relaxed);
        });
    });
    Ok(())
}

fn copy(mut from: UnixStream, mut to: UnixStream, count: impl Fn(u64)) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        count(read as u64);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // Fails if the other direction has closed both already.
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
