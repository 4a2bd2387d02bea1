//! Standard output for a stream of lines: a slow reader delays nothing but itself.
//!
//! What the kernel takes without blocking (`RWF_NOWAIT`, `pwritev2(2)`: pipes and sockets) is written at once. The rest, and
//! everything to a file or a terminal, is written by a thread.
//!
//! A batch under load is larger than a pipe, which holds 64 KiB unless its size is set (`F_SETPIPE_SZ`, fcntl(2)), so its size is set.
//!
//! If no thread can be made because pids are exhausted, lines are written directly: a slow reader then delays the caller.
//!
//! The bytes that wait for the reader are bounded. Lines that do not fit are dropped whole and counted; the next line that fits
//! is preceded by one that says how many were lost.

use std::{
    io::{self, IoSlice, Write as _},
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
};

use rustix::{
    io::{Errno, ReadWriteFlags, pwritev2},
    pipe::fcntl_setpipe_size,
};
use tokio::sync::watch;

use crate::cli::exit::Exit;
use crate::failpoint::{self, Point};

/// The most bytes that wait for the reader.
const LIMIT_BYTES: usize = 64 << 20;

/// Bytes that a pipe on standard output holds: what an unprivileged process may set (`/proc/sys/fs/pipe-max-size`).
const PIPE_BYTES: usize = 1 << 20;

/// Capacity of the line buffer that is kept from one batch to the next, bytes.
const KEPT_BYTES: usize = 1 << 20;

/// Writes a text to standard output. A reader that has gone away is not an error.
pub(in crate::cli) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes a command's answer, and logs an error.
pub(in crate::cli) fn answer(text: &str) -> Result<(), Exit> {
    print(text).map_err(|error| Exit::failed_at("writing to standard output", error))
}

/// Lines, and their number. The buffer has no spare capacity, so that waiting lines take no more memory than is counted.
type Lines = (Box<[u8]>, u64);

/// Memory of a batch besides its bytes: its slot in the channel and the allocator's header, rounded up.
const PER_BATCH: usize = 64;

/// The writing end. After the end, each line that was passed in is either written or not written.
pub(in crate::cli) struct Output {
    sender: Option<Sender<Lines>>,
    written: Arc<AtomicU64>,
    waiting: Arc<AtomicUsize>,
    batches: Arc<AtomicUsize>,
    closed: watch::Receiver<bool>,
    writer: Option<Writer>,
    lost_now: u64,
    /// Whether writing at once is worth a try.
    takes_at_once: bool,
    /// Lines that were passed in, including those about gaps.
    pub(in crate::cli) handed: u64,
}

/// What writes the lines that are not written at once.
enum Writer {
    /// A thread.
    Thread(JoinHandle<io::Result<()>>),
    /// The caller. Holds the result of writing, and notifies of its end.
    Inline(io::Result<()>, watch::Sender<bool>),
}

impl Output {
    /// Starts the writer.
    pub(in crate::cli) fn start() -> io::Result<Self> {
        // Fails for what is not a pipe, and if the user's pipes are too large already: then the thread writes more.
        let _ = fcntl_setpipe_size(io::stdout().as_fd(), PIPE_BYTES);
        let (sender, receiver) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let batches = Arc::new(AtomicUsize::new(0));
        let written = Arc::new(AtomicU64::new(0));
        let (ended, closed) = watch::channel(false);
        let report_end = ended.clone();
        let thread = {
            let (waiting, batches) = (Arc::clone(&waiting), Arc::clone(&batches));
            let written = Arc::clone(&written);
            failpoint::check(Point::ThreadSpawn)?;
            std::thread::Builder::new().name("stdout".into()).spawn(move || {
                let outcome = write_all(&receiver, &waiting, &batches, &written);
                ended.send_replace(true);
                outcome
            })
        };
        let writer = match thread {
            Ok(thread) => Writer::Thread(thread),
            Err(error) => {
                log::warn!(
                    "starting the thread that writes standard output: {error}; it is written in line, and a slow reader delays observing"
                );
                Writer::Inline(Ok(()), report_end)
            }
        };
        Ok(Self {
            sender: Some(sender),
            waiting,
            batches,
            closed,
            writer: Some(writer),
            lost_now: 0,
            takes_at_once: true,
            handed: 0,
            written,
        })
    }

    /// Resolves when the writer has ended: all is written, the reader has gone away, or writing failed. [`Output::finish`] says
    /// which.
    pub(in crate::cli) fn closed(&self) -> impl Future<Output = ()> + use<> {
        let mut closed = self.closed.clone();
        async move {
            // An error means that the writer is gone, which is what is waited for.
            let _ = closed.wait_for(|ended| *ended).await;
        }
    }

    /// Whether the writer has ended.
    pub(in crate::cli) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Passes in `count` lines and leaves `lines` empty. `gap` makes the line that reports earlier losses.
    pub(in crate::cli) fn push(&mut self, lines: &mut Vec<u8>, count: u64, gap: impl FnOnce(u64) -> Vec<u8>) {
        if lines.is_empty() {
            return;
        }
        self.handed += count;
        let kept = self.waiting() + self.batches.load(Ordering::Relaxed) * PER_BATCH;
        if kept + lines.len() > LIMIT_BYTES {
            self.lost_now += count;
            lines.clear();
            return;
        }
        if self.lost_now > 0 {
            let line = gap(std::mem::take(&mut self.lost_now));
            self.handed += 1;
            self.send(&line, 1);
        }
        self.send(lines, count);
        lines.clear();
        lines.shrink_to(KEPT_BYTES);
    }

    fn send(&mut self, bytes: &[u8], count: u64) {
        let rest = bytes.get(self.write_at_once(bytes)..).unwrap_or_default();
        if let Some(Writer::Inline(outcome, ended)) = &mut self.writer {
            if outcome.is_ok() {
                *outcome = write_out(rest);
            }
            if outcome.is_ok() {
                self.written.fetch_add(count, Ordering::Relaxed);
            } else {
                ended.send_replace(true);
            }
        } else if rest.is_empty() {
            self.written.fetch_add(count, Ordering::Relaxed);
        } else {
            self.leave(rest, count);
        }
    }

    /// Writes as much as can be written without blocking. Returns how much that was. Nothing may overtake the lines that wait.
    fn write_at_once(&mut self, bytes: &[u8]) -> usize {
        /// The offset that means the file's position, as for `write(2)`.
        const HERE: u64 = u64::MAX;
        if !self.takes_at_once || self.batches.load(Ordering::Acquire) > 0 {
            return 0;
        }
        if failpoint::check(Point::StdoutWrite).is_err() {
            return 0;
        }
        match pwritev2(io::stdout().as_fd(), &[IoSlice::new(bytes)], HERE, ReadWriteFlags::NOWAIT) {
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            // Kinds of files and kernels that do not support this, and errors that the thread will see as well.
            Err(_) => {
                self.takes_at_once = false;
                0
            }
        }
    }

    /// Leaves the last part of `count` lines to the thread.
    fn leave(&self, bytes: &[u8], count: u64) {
        self.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
        self.batches.fetch_add(1, Ordering::Relaxed);
        if let Some(sender) = &self.sender {
            // Fails only if the writer has ended, which `closed` reports.
            let _ = sender.send((bytes.into(), count));
        }
    }

    /// Returns how many bytes wait for the reader.
    pub(in crate::cli) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Returns how many lines the kernel took, in whole batches.
    pub(in crate::cli) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Accepts no more lines. The writer ends after it has written the lines that wait.
    pub(in crate::cli) fn close(&mut self) {
        self.sender = None;
        if let Some(Writer::Inline(_, ended)) = &self.writer {
            ended.send_replace(true);
        }
    }

    /// Waits for the writer and returns its result. A reader that has gone away is not an error.
    pub(in crate::cli) fn finish(&mut self) -> io::Result<()> {
        self.close();
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let outcome = match writer {
            Writer::Thread(thread) => thread
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("the thread that writes standard output panicked"))),
            Writer::Inline(outcome, _) => outcome,
        };
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            outcome => outcome,
        }
    }
}

/// Writes to standard output, however long the reader takes.
pub(in crate::cli) fn write_out(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

fn write_all(
    receiver: &Receiver<Lines>,
    waiting: &AtomicUsize,
    batches: &AtomicUsize,
    written: &AtomicU64,
) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for (bytes, count) in receiver {
        // Write in pieces, so that the progress of a slow reader is visible.
        for piece in bytes.chunks(64 << 10) {
            failpoint::check(Point::StdoutWrite)?;
            stdout.write_all(piece)?;
            stdout.flush()?;
            waiting.fetch_sub(piece.len(), Ordering::Relaxed);
        }
        batches.fetch_sub(1, Ordering::Release);
        written.fetch_add(count, Ordering::Relaxed);
    }
    Ok(())
}
