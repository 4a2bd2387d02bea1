//! Ctrl-C and SIGTERM: the first asks to stop, the second stops at once.

use std::{future::Future, io};

use tokio::signal::unix::{SignalKind, signal};

use super::exit::Exit;

/// Resolves at the first SIGINT, SIGTERM or SIGHUP. From then on a second one ends the process at once: the kernel takes
/// the programs out when their file descriptors are gone.
pub(super) fn stop() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            log::error!(
                "stopped by a second signal before all events were written; the programs are detached"
            );
            std::process::exit(Exit::Failure as i32);
        });
    })
}
