//! Notifications to systemd (`sd_notify(3)`): ready, status, watchdog. Without systemd they are dropped.
//!
//! The socket is opened once, at the start, because the sandbox or a lack of descriptors could prevent it later.

use std::{
    env,
    fmt::Write as _,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use sd_notify::NotifyState;

use crate::failpoint::{self, Point};

/// `None` without systemd.
static MANAGER: OnceLock<Option<Manager>> = OnceLock::new();

/// The service manager.
struct Manager {
    socket: UnixDatagram,
    /// The path is resolved again for each message, because a manager that was restarted has created a new socket.
    address: SocketAddr,
}

impl Manager {
    fn find() -> io::Result<Option<Self>> {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let address = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(&name)?,
        };
        let socket = UnixDatagram::unbound()?;
        // A manager that does not read must not block the daemon.
        socket.set_nonblocking(true)?;
        Ok(Some(Self { socket, address }))
    }
}

/// Opens the notification socket, if there is one.
pub(super) fn prepare() {
    MANAGER.get_or_init(|| {
        Manager::find().unwrap_or_else(|error| {
            log::warn!("NOTIFY_SOCKET: {error}: systemd gets no notifications");
            None
        })
    });
}

/// Sends a notification. A failure is logged once until sending works again.
pub(super) fn say(states: &[NotifyState<'_>]) {
    static FAILED: AtomicBool = AtomicBool::new(false);
    let Some(Some(manager)) = MANAGER.get() else { return };
    let mut text = String::new();
    for state in states {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{state}");
    }
    let sent = failpoint::check(Point::Notify)
        .and_then(|()| manager.socket.send_to_addr(text.as_bytes(), &manager.address));
    match sent {
        Ok(_) => FAILED.store(false, Ordering::Relaxed),
        Err(error) if !FAILED.swap(true, Ordering::Relaxed) => {
            log::warn!(
                "notifying systemd: {error}; systemd may consider taskscope stuck (NOTIFY_SOCKET, WatchdogSec=)"
            );
        }
        Err(_) => {}
    }
}

/// Returns the interval at which to notify systemd's watchdog, half its limit; `None` if there is no watchdog, or its limit is 0.
pub(super) fn watchdog_every() -> Option<std::time::Duration> {
    sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()).map(|limit| limit / 2)
}
