//! Shows the hosts in a terminal, and a host's own view in their place.

use std::io;

use ratatui::{buffer::Buffer, layout::Rect};
use tokio::runtime::Runtime;

use super::{
    draw,
    keys::{self, Choice, Then},
    poller::Poller,
};
use crate::{
    cli::{
        exit::Exit,
        full_screen::{self, App, Due, Ended, Taken, TerminalCaps, input::Key},
        terminal,
    },
    event_loop,
    view::fleet::{FleetInput, FleetView},
};

/// The most answers that are taken between two frames.
const AT_ONCE: usize = 1000;

struct Screen<'a> {
    view: &'a mut FleetView,
    choice: &'a mut Choice,
    poller: &'a mut Poller,
    caps: TerminalCaps,
    /// The host that the user opened.
    opened: Option<usize>,
}

/// Shows the hosts until a key or a signal ends the view. `open` shows one of them until a key or a signal ends that.
pub(super) fn run(
    view: &mut FleetView,
    poller: Poller,
    mouse: bool,
    open: impl FnMut(usize, bool) -> io::Result<Ended>,
) -> Result<(), Exit> {
    let runtime = event_loop::start().map_err(Exit::failed)?;
    let taken = Taken::take()?;
    let outcome = show(view, poller, mouse, &runtime, open);
    drop(taken);
    outcome.map_err(|error| Exit::failed_at("showing the view", error))
}

fn show(
    view: &mut FleetView,
    mut poller: Poller,
    mouse: bool,
    runtime: &Runtime,
    mut open: impl FnMut(usize, bool) -> io::Result<Ended>,
) -> io::Result<()> {
    let style = terminal::style();
    let caps = TerminalCaps { colour: style.colour, unicode: style.unicode };
    let mut choice = Choice { mouse, ..Choice::default() };
    loop {
        let mut screen =
            Screen { view: &mut *view, choice: &mut choice, poller: &mut poller, caps, opened: None };
        let ended = runtime.block_on(full_screen::show(&mut screen))?;
        let Some(index) = screen.opened.filter(|_| ended != Ended::BySignal) else { return Ok(()) };
        // The hosts are not visible meanwhile.
        poller.paused.send_replace(true);
        match open(index, choice.mouse) {
            Ok(Ended::ByKey(Key::Control(_)) | Ended::BySignal) => return Ok(()),
            Ok(Ended::ByKey(_)) => {}
            // If the terminal has failed, the view of the hosts ends with the same error.
            Err(error) => choice.note = Some(format!("showing the host: {error}").into()),
        }
        poller.paused.send_replace(view.is_paused());
    }
}

impl App for Screen<'_> {
    fn draw(&mut self, area: Rect, out: &mut Buffer) {
        self.view.refresh();
        draw::draw(self.view, Some(self.poller.every), self.choice, self.caps, area, out);
    }

    fn press(&mut self, key: Key) -> bool {
        let then = keys::press(key, self.view, self.choice);
        let paused = self.view.is_paused();
        self.poller.paused.send_if_modified(|before| std::mem::replace(before, paused) != paused);
        match then {
            Then::Go => false,
            Then::Quit => true,
            Then::Open(index) => {
                self.opened = Some(index);
                true
            }
        }
    }

    fn has_mouse(&self) -> bool {
        self.choice.mouse
    }

    async fn change(&mut self) -> io::Result<Due> {
        let input = self.poller.inputs.recv().await;
        let mut next: Option<FleetInput> =
            Some(input.ok_or_else(|| io::Error::other("the thread that asks the hosts has ended"))?);
        let mut taken = 0;
        while let Some(input) = next {
            self.view.apply(input);
            taken += 1;
            next = if taken < AT_ONCE { self.poller.inputs.try_recv().ok() } else { None };
        }
        Ok(Due::Soon)
    }
}
