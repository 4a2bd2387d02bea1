//! Takes the terminal for a view, and restores it, however the view ends.

use std::{
    io, panic,
    sync::atomic::{AtomicBool, Ordering},
};

use crossterm::{
    cursor::{Hide, Show},
    execute,
    terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
};
use log::LevelFilter;

use super::input;
use crate::{cli::exit::Exit, fd::write_now};

/// Whether the terminal is in raw mode and must be restored.
static IS_OURS: AtomicBool = AtomicBool::new(false);

/// Whether the terminal reports the mouse, which must be switched off at the end.
static HAS_MOUSE: AtomicBool = AtomicBool::new(false);

/// The terminal in raw mode with its alternate screen, until this is dropped.
pub(in crate::cli) struct Taken {
    level: LevelFilter,
}

impl Taken {
    /// Takes the terminal.
    pub(in crate::cli) fn take() -> Result<Self, Exit> {
        Self::try_take().map_err(|error| Exit::failed_at("preparing the terminal", error))
    }

    fn try_take() -> io::Result<Self> {
        // Lines of the log would disturb the frame.
        let level = log::max_level();
        let previous = panic::take_hook();
        // A panic of any thread restores the terminal, so that its report is readable even if the process ends at once.
        panic::set_hook(Box::new(move |info| {
            if give_back() {
                log::set_max_level(level);
            }
            previous(info);
        }));
        enable_raw_mode()?;
        IS_OURS.store(true, Ordering::SeqCst);
        let taken = Self { level };
        log::set_max_level(LevelFilter::Off);
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        Ok(taken)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        give_back();
        log::set_max_level(self.level);
    }
}

/// Whether the terminal is taken. A panic gives it back.
pub(super) fn is_taken() -> bool {
    IS_OURS.load(Ordering::SeqCst)
}

/// Notes whether the terminal is to report the mouse; returns the bytes that switch the reports on or off, if that changes.
pub(super) fn mouse(wanted: bool) -> &'static [u8] {
    match (HAS_MOUSE.swap(wanted, Ordering::SeqCst), wanted) {
        (false, true) => input::MOUSE_ON,
        (true, false) => input::MOUSE_OFF,
        _ => &[],
    }
}

/// Restores the terminal; returns false if it is restored already. Never waits for a terminal that accepts no output.
fn give_back() -> bool {
    if !IS_OURS.swap(false, Ordering::SeqCst) {
        return false;
    }
    let mut end = mouse(false).to_vec();
    // Writing to a Vec does not fail; whether the terminal is still there does not matter now.
    let _ = execute!(end, LeaveAlternateScreen, Show);
    let _ = write_now(io::stdout(), &end);
    let _ = disable_raw_mode();
    true
}
