//! Shows the view in a terminal, handles keys, and restores the terminal, however the view ends.

use std::{
    cell::RefCell,
    io::{self, Write},
    os::fd::AsFd as _,
    panic,
    rc::Rc,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use crossterm::{
    cursor::{Hide, Show},
    execute,
    terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
};
use log::LevelFilter;
use ratatui::{Terminal, backend::CrosstermBackend};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::{
    io::Interest,
    select,
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep_until},
};

use super::{
    channels::{Moment, Reply, Request, Wants},
    draw::{self, TerminalCaps},
    input,
    keys::{self, Choice, Over, Then},
    view,
    watcher::Watcher,
};
use crate::{
    answer::text::escape,
    cli::{exit::Exit, past, signals, stdout::Stdout, terminal},
    fd::{watch, write_now},
    view::{Input, View},
};

/// The interval of frames without a key.
const REFRESH: Duration = Duration::from_millis(200);

/// A key is complete if no more bytes arrive within this time, because the Escape key is the beginning of other keys.
const KEY: Duration = Duration::from_millis(50);

/// Events after which a frame is due: the view keeps no more.
const EVENTS: usize = 1000;

/// Whether the terminal is in raw mode and must be restored.
static IS_OURS: AtomicBool = AtomicBool::new(false);

/// Whether the terminal reports the mouse, which must be switched off at the end.
static HAS_MOUSE: AtomicBool = AtomicBool::new(false);

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

/// The terminal in raw mode with its alternate screen, until this is dropped.
struct Taken {
    level: LevelFilter,
}

impl Taken {
    fn take() -> io::Result<Self> {
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

/// Restores the terminal; returns false if it is restored already. Never waits for a terminal that takes nothing.
fn give_back() -> bool {
    if !IS_OURS.swap(false, Ordering::SeqCst) {
        return false;
    }
    let mut end = Vec::new();
    if HAS_MOUSE.swap(false, Ordering::SeqCst) {
        end.extend_from_slice(input::MOUSE_OFF);
    }
    // Writing to a Vec does not fail; whether the terminal is still there does not matter now.
    let _ = execute!(end, LeaveAlternateScreen, Show);
    let _ = write_now(io::stdout(), &end);
    let _ = disable_raw_mode();
    true
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> Exit {
    log::error!("{what}: {error}");
    Exit::Failure
}

/// Shows the view until a key or a signal ends it.
pub(super) fn run(mut watcher: Watcher, mouse: bool) -> Result<(), Exit> {
    let taken = Taken::take().map_err(|error| failed("preparing the terminal", &error))?;
    let style = terminal::style();
    let screen = Screen {
        view: view(),
        choice: Choice { mouse, ..Choice::default() },
        moment: None,
        caps: TerminalCaps { colour: style.colour, unicode: style.unicode },
    };
    let outcome = {
        let Watcher { inputs, wants, requests, replies, runtime, .. } = &mut watcher;
        let mut channels = Channels { inputs, wants, requests, replies };
        runtime.block_on(screen.show(&mut channels))
    };
    drop(taken);
    watcher.stop();
    outcome.map_err(|error| failed("showing the view", &error))
}

/// The channels of the watcher.
struct Channels<'a> {
    inputs: &'a mut tokio::sync::mpsc::Receiver<Input>,
    wants: &'a tokio::sync::watch::Sender<Wants>,
    requests: &'a tokio::sync::mpsc::Sender<Request>,
    replies: &'a mut tokio::sync::mpsc::Receiver<Reply>,
}

struct Screen {
    view: View,
    choice: Choice,
    /// The past time that is shown or asked for.
    moment: Option<Moment>,
    caps: TerminalCaps,
}

impl Screen {
    async fn show(mut self, channels: &mut Channels<'_>) -> io::Result<()> {
        let drawn = Drawn::default();
        let mut terminal = Terminal::new(CrosstermBackend::new(drawn.clone()))?;
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
                self.draw(&mut terminal, channels)?;
                let mut bytes = std::mem::take(&mut *drawn.0.borrow_mut());
                if HAS_MOUSE.swap(self.choice.mouse, Ordering::SeqCst) != self.choice.mouse {
                    bytes.extend_from_slice(if self.choice.mouse {
                        input::MOUSE_ON
                    } else {
                        input::MOUSE_OFF
                    });
                }
                select! {
                    () = &mut stop => return Ok(()),
                    written = stdout.write(&bytes) => written?,
                }
            }
            let next = due.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
            select! {
                biased;
                () = &mut stop => return Ok(()),
                ready = keys.readable() => {
                    let mut ready = ready?;
                    if !read_now(&mut typed)? {
                        ready.clear_ready();
                    }
                    if self.press(&mut typed, true, channels) {
                        return Ok(());
                    }
                    ends = (!typed.is_empty()).then(|| Instant::now() + KEY);
                    due = Some(Instant::now());
                }
                () = sleep_until(ends.unwrap_or(next)), if ends.is_some() => {
                    ends = None;
                    if self.press(&mut typed, false, channels) {
                        return Ok(());
                    }
                    due = Some(Instant::now());
                }
                _ = resized.recv() => {
                    terminal.autoresize()?;
                    due = Some(Instant::now());
                }
                // Replies come before inputs, because inputs can arrive without end.
                Some(reply) = channels.replies.recv() => {
                    self.choice.note = None;
                    self.take(reply);
                    due = Some(Instant::now());
                }
                input = channels.inputs.recv() => {
                    let Some(input) = input else {
                        return Err(io::Error::other("the thread that asks for answers has ended"));
                    };
                    self.apply(input, channels);
                    due = due.or_else(|| Some(Instant::now() + REFRESH));
                }
                () = sleep_until(next) => {}
            }
            if !IS_OURS.load(Ordering::SeqCst) {
                return Err(io::Error::other("a thread has panicked"));
            }
        }
    }

    /// Applies an input and those that wait behind it. Events that come in many pieces are applied at once, because each time the
    /// rows are filtered and sorted again.
    fn apply(&mut self, input: Input, channels: &mut Channels<'_>) {
        let mut events = Vec::new();
        let mut next = Some(input);
        while let Some(input) = next {
            match input {
                Input::Events(more) => events.extend(more),
                other => self.view.apply(other),
            }
            next = if events.len() < EVENTS { channels.inputs.try_recv().ok() } else { None };
        }
        if !events.is_empty() {
            self.view.apply(Input::Events(events));
        }
    }

    /// Handles the complete keys; returns true if one ends the view.
    fn press(&mut self, typed: &mut Vec<u8>, is_to_come: bool, channels: &Channels<'_>) -> bool {
        for key in input::keys(typed, is_to_come) {
            match keys::press(key, &mut self.view, &mut self.choice) {
                Then::Go => {}
                Then::Quit => return true,
                Then::Explain(selector) => self.ask(Request::Explain(selector), channels),
                Then::Past(text) => match past::parsed(text.trim()) {
                    Ok((_, ms)) => {
                        // A duration ago is meant from now.
                        let moment = Moment { utc: past::utc(ms), ms };
                        self.moment = Some(moment.clone());
                        self.ask(Request::Past(moment), channels);
                    }
                    Err(error) => {
                        self.choice.note = Some(escape(&error).into());
                        self.choice.over = Over::Time(text);
                    }
                },
                Then::Present => {
                    self.moment = None;
                    self.view.leave_past();
                }
            }
        }
        false
    }

    /// Asks a question. Only one is asked at a time; further ones are ignored.
    fn ask(&mut self, request: Request, channels: &Channels<'_>) {
        self.choice.note = Some(match channels.requests.try_send(request) {
            Ok(()) => "asking".into(),
            Err(_) => "the last question is not answered yet".into(),
        });
    }

    fn take(&mut self, reply: Reply) {
        match reply {
            Reply::Story(story) => self.choice.over = Over::Text("Story", story, 0),
            Reply::Past(moment, answer) if self.moment.as_ref() == Some(&moment) => {
                self.view.show_past(*answer);
            }
            // The user has returned to the present meanwhile.
            Reply::Past(..) => {}
            Reply::NoPast(why) => self.choice.note = Some(why.into()),
        }
    }

    fn draw(
        &mut self,
        terminal: &mut Terminal<CrosstermBackend<Drawn>>,
        channels: &Channels<'_>,
    ) -> io::Result<()> {
        let Self { view, choice, caps, .. } = self;
        let mut is_tree_seen = false;
        terminal.draw(|frame| {
            is_tree_seen = draw::draw(view, choice, *caps, frame.area(), frame.buffer_mut());
        })?;
        let wants = Wants { paused: view.is_paused(), tree: is_tree_seen, past: view.past().is_some() };
        channels.wants.send_if_modified(|before| std::mem::replace(before, wants) != wants);
        Ok(())
    }
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
