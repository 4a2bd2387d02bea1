//! Shows a console while it is written.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Copies a growing file to stderr; when this is dropped, copies the rest of it.
pub(super) struct Tail {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Tail {
    pub(super) fn follow(path: PathBuf) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let over = Arc::clone(&over);
            move || copy(&path, &over)
        });
        Self { over, thread: Some(thread) }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(Err(error))) => eprintln!("vm: showing the console: {error}"),
            Some(Err(_)) => eprintln!("vm: the thread that shows the console panicked"),
            _ => {}
        }
    }
}

/// Copies the file once QEMU has made it. The file of an earlier boot must be removed before.
fn copy(path: &PathBuf, over: &AtomicBool) -> io::Result<()> {
    let mut file = None;
    let mut buffer = Vec::new();
    loop {
        // The flag is read before the file, so that no output before the end is missed.
        let last = over.load(Ordering::Acquire);
        if file.is_none() {
            file = File::open(path).ok();
        }
        if let Some(file) = &mut file {
            buffer.clear();
            file.read_to_end(&mut buffer)?;
            io::stderr().write_all(&buffer)?;
        }
        if last {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(100));
    }
}
