//! Words to systemd: ready, how it goes, that it lives (`sd_notify(3)`). Without systemd they go nowhere.

use std::sync::atomic::{AtomicBool, Ordering};

use sd_notify::NotifyState;

use crate::failpoint::{self, Point};

/// Says something. Failing to is worth a word, once until it works again, and not an end.
pub(super) fn say(states: &[NotifyState<'_>]) {
    static TOLD: AtomicBool = AtomicBool::new(false);
    match failpoint::check(Point::Notify).and_then(|()| sd_notify::notify(states)) {
        Ok(()) => TOLD.store(false, Ordering::Relaxed),
        Err(error) if !TOLD.swap(true, Ordering::Relaxed) => {
            log::warn!(
                "telling systemd: {error}; it may take taskscope for stuck (NOTIFY_SOCKET, WatchdogSec=)"
            );
        }
        Err(_) => {}
    }
}

/// How often the watchdog wants to hear, if it does: twice within its limit.
pub(super) fn watchdog_every() -> Option<std::time::Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}
