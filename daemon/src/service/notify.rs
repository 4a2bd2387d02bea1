//! Words to systemd: ready, how it goes, that it lives (`sd_notify(3)`). Without systemd they go nowhere.

use sd_notify::NotifyState;

/// Says something. Failing to is worth a word, not an end.
pub(super) fn say(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::debug!("telling systemd: {error}");
    }
}

/// How often the watchdog wants to hear, if it does: twice within its limit.
pub(super) fn watchdog_every() -> Option<std::time::Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}
