//! Shows a view in the whole terminal, and passes keys to it.

use std::{
    cell::RefCell,
    io::{self, Write},
    os::fd::AsFd as _,
    rc::Rc,
    time::Duration,
};

use crossterm::{
    queue,
    terminal::{Clear, ClearType},
};
use ratatui::{Terminal, backend::CrosstermBackend, buffer::Buffer, layout::Rect};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::{
    io::Interest,
    select,
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep_until},
};

use super::{
    input::{self, Key},
    taken,
};
use crate::{
    cli::{signals, stdout::Stdout},
    fd::watch,
};

/// The interval of frames without a key.
const REFRESH: Duration = Duration::from_millis(200);

/// A key is complete if no more bytes arrive within this time, because the Escape key is the beginning of other keys.
const KEY: Duration = Duration::from_millis(50);

/// A view that takes the whole terminal.
pub(in crate::cli) trait App {
    /// Draws a frame.
    fn draw(&mut self, area: Rect, out: &mut Buffer);

    /// Handles a key; returns true if it ends the view.
    fn press(&mut self, key: Key) -> bool;

    /// Whether the terminal is to report the mouse.
    fn has_mouse(&self) -> bool;

    /// Waits for a change, and takes it. Nothing is lost if the caller stops waiting.
    async fn change(&mut self) -> io::Result<Due>;
}

/// When a frame must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Due {
    /// At once.
    Now,
    /// With other changes, within a fifth of a second.
    Soon,
}

/// How a view ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Ended {
    /// By this key.
    ByKey(Key),
    /// By SIGINT, SIGTERM or SIGHUP.
    BySignal,
}

/// Output that is drawn and not written yet.
#[derive(Clone, Default)]
struct Drawn(Rc<RefCell<Vec<u8>>>);

impl Write for Drawn {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Shows a view until a key or a signal ends it. The terminal must be taken ([`super::Taken`]).
pub(in crate::cli) async fn show(app: &mut impl App) -> io::Result<Ended> {
    let mut drawn = Drawn::default();
    let mut terminal = Terminal::new(CrosstermBackend::new(drawn.clone()))?;
    // Another view may have drawn before. Terminal::clear would ask the terminal where the cursor is, and the reply would arrive as keys.
    queue!(drawn, Clear(ClearType::All))?;
    let mut stdout = Stdout::new();
    let stop = signals::stop()?;
    tokio::pin!(stop);
    let mut resized = signal(SignalKind::window_change())?;
    let keys = watch(io::stdin().as_fd().try_clone_to_owned()?, Interest::READABLE)?;
    let (mut typed, mut ends) = (Vec::new(), None);
    let mut due = Some(Instant::now());
    loop {
        if due.is_some_and(|due| due <= Instant::now()) {
            due = None;
            terminal.draw(|frame| app.draw(frame.area(), frame.buffer_mut()))?;
            let mut bytes = std::mem::take(&mut *drawn.0.borrow_mut());
            bytes.extend_from_slice(taken::mouse(app.has_mouse()));
            select! {
                () = &mut stop => return Ok(Ended::BySignal),
                written = stdout.write(&bytes) => written?,
            }
        }
        let next = due.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
        select! {
            biased;
            () = &mut stop => return Ok(Ended::BySignal),
            ready = keys.readable() => {
                let mut ready = ready?;
                if !read_now(&mut typed)? {
                    ready.clear_ready();
                }
                if let Some(key) = press(app, &mut typed, true) {
                    return Ok(Ended::ByKey(key));
                }
                ends = (!typed.is_empty()).then(|| Instant::now() + KEY);
                due = Some(Instant::now());
            }
            () = sleep_until(ends.unwrap_or(next)), if ends.is_some() => {
                ends = None;
                if let Some(key) = press(app, &mut typed, false) {
                    return Ok(Ended::ByKey(key));
                }
                due = Some(Instant::now());
            }
            _ = resized.recv() => {
                terminal.autoresize()?;
                due = Some(Instant::now());
            }
            change = app.change() => {
                due = match change? {
                    Due::Now => Some(Instant::now()),
                    Due::Soon => due.or_else(|| Some(Instant::now() + REFRESH)),
                };
            }
            () = sleep_until(next) => {}
        }
        if !taken::is_taken() {
            return Err(io::Error::other("a thread has panicked"));
        }
    }
}

/// Passes the complete keys to the view; returns the key that ends it.
fn press(app: &mut impl App, typed: &mut Vec<u8>, is_to_come: bool) -> Option<Key> {
    input::keys(typed, is_to_come).into_iter().find(|key| app.press(*key))
}

/// Reads input, if there is any; returns false if there is none, and an error if the terminal has hung up.
fn read_now(typed: &mut Vec<u8>) -> io::Result<bool> {
    let stdin = io::stdin();
    let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    if poll(&mut fds, Some(&at_once))? == 0 {
        return Ok(false);
    }
    let mut bytes = [0; 1024];
    // In raw mode, read(2) returns the bytes that are available.
    let count = rustix::io::read(&stdin, &mut bytes)?;
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    typed.extend_from_slice(bytes.get(..count).unwrap_or_default());
    Ok(true)
}
