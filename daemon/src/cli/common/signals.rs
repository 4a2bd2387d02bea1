//! Ctrl-C and SIGTERM: the first one asks to stop, the second one stops at once.

use std::{future::Future, io, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep_until},
};

use crate::cli::exit::Exit;

/// Signals this soon after the first one count as the same request: GNU timeout(1) signals the process and then its process
/// group.
const SAME_REQUEST: Duration = Duration::from_millis(100);

/// Resolves at the first SIGINT, SIGTERM or SIGHUP. After that a second one ends the process at once; the kernel unloads the
/// programs when their file descriptors are closed.
pub(in crate::cli) fn stop() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        let counts_from = Instant::now() + SAME_REQUEST;
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    () = sleep_until(counts_from) => break,
                }
            }
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            log::error!(
                "a second signal ended taskscope before all events were written; the programs are detached"
            );
            std::process::exit(Exit::Failure as i32);
        });
    })
}
